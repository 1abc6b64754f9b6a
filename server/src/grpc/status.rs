//! How refusals and endings are told to callers: a gRPC status, with our code in the metadata.

use tickwire_proto::v1::ErrorCode;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::accept::{Refusal, retry_after_s};
use crate::shard::Ending;

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        status(refusal.code, refusal.text)
    }
}

impl From<Ending> for Status {
    fn from(ending: Ending) -> Self {
        status(ending.code, ending.text)
    }
}

/// The status of `code`.
pub(super) fn status(code: ErrorCode, text: impl Into<String>) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert("tickwire-code", MetadataValue::from_static(code.name()));
    if let Some(seconds) = retry_after_s(code) {
        // What retry policies of gRPC libraries go by.
        metadata.insert("grpc-retry-pushback-ms", MetadataValue::from(seconds * 1_000));
    }
    Status::with_metadata(grpc_code(code), text, metadata)
}

/// The gRPC code that says most nearly the same.
fn grpc_code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::Unspecified => Code::Unknown,
        ErrorCode::AuthRequired | ErrorCode::AuthInvalid | ErrorCode::AuthExpired => Code::Unauthenticated,
        ErrorCode::NotEntitled | ErrorCode::OriginRefused => Code::PermissionDenied,
        ErrorCode::BadMessage | ErrorCode::BadSymbol => Code::InvalidArgument,
        ErrorCode::Unsupported => Code::Unimplemented,
        ErrorCode::UnknownSymbol | ErrorCode::SymbolRetired => Code::NotFound,
        ErrorCode::HelloTimeout => Code::DeadlineExceeded,
        ErrorCode::MessageTooLarge
        | ErrorCode::TooManySubscriptions
        | ErrorCode::RateLimited
        | ErrorCode::TooManyConnections
        | ErrorCode::SlowConsumer => Code::ResourceExhausted,
        ErrorCode::ServerFull | ErrorCode::ShuttingDown => Code::Unavailable,
        ErrorCode::Gap => Code::DataLoss,
        ErrorCode::ResumeExpired => Code::FailedPrecondition,
        ErrorCode::Internal => Code::Internal,
    }
}
