//! gRPC for backend services: `tickwire.v1.Ticker/Subscribe`, and the health and reflection services that tools expect.
//!
//! A call is a session like any other, with the same engine, outbox and conflation. Its frames come from a shard already encoded and
//! pass through as bytes; what HTTP/2's flow control does not let through waits in a bounded pipe, and behind that as dirty marks.

mod call;
mod codec;
mod health;
mod status;
mod time_out;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use http::{Request, Response, header};
use hyper::body::Incoming;
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;
use tonic_reflection::server::Builder;

pub(crate) use codec::{EncodedFrames, push_frame};

use crate::accept::Reception;
use crate::ingest::Readiness;
use call::Calls;
use generated::ticker_server::TickerServer;

#[allow(unreachable_pub, clippy::default_constructed_unit_structs, reason = "written by tonic-build")]
mod generated {
    include!("generated/tickwire.v1.Ticker.rs");
}

/// All gRPC services. Cheap to clone.
#[derive(Clone)]
pub(crate) struct GrpcSide {
    ticker: TickerServer<Calls>,
    health: HealthServer<HealthService>,
    reflection: Erased,
    /// The same by its older name, which many tools still ask first.
    reflection_alpha: Erased,
}

/// A service whose type its library does not name.
type Erased = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<Response<Body>, Infallible> + Send + Sync>;

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl GrpcSide {
    /// Serves sessions from `reception`; the health service follows `readiness`.
    ///
    /// # Errors
    /// The description of the schema cannot be read.
    pub(crate) fn new(reception: Arc<Reception>, readiness: watch::Receiver<Readiness>, message_bytes_max: usize) -> anyhow::Result<Self> {
        let ticker = TickerServer::new(Calls::new(reception.clone())).max_decoding_message_size(message_bytes_max);
        Ok(Self {
            ticker,
            health: HealthServer::new(health::follow(readiness, reception.leaving().clone())),
            reflection: erase(describe().build_v1()?),
            reflection_alpha: erase(describe().build_v1alpha()?),
        })
    }

    /// Answers one call.
    pub(crate) async fn answer(mut self, request: Request<Incoming>) -> Response<Body> {
        let service = request.uri().path().split('/').nth(1).unwrap_or_default();
        let answered: Result<_, Infallible> = match service {
            generated::ticker_server::SERVICE_NAME => self.ticker.call(request).await,
            <HealthServer<HealthService> as NamedService>::NAME => self.health.call(request).await,
            "grpc.reflection.v1.ServerReflection" => (self.reflection)(request).await,
            "grpc.reflection.v1alpha.ServerReflection" => (self.reflection_alpha)(request).await,
            _ => Ok(Status::unimplemented("there is no such service here").into_http()),
        };
        let Ok(response) = answered;
        response
    }
}

/// Whether a request is a call.
pub(crate) fn is_call<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    content_type.starts_with(b"application/grpc")
}

fn erase<S>(service: S) -> Erased
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = BoxFuture<Response<Body>, Infallible>>
        + Clone
        + Send
        + Sync
        + 'static,
{
    Arc::new(move |request| service.clone().call(request))
}

fn describe() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(include_bytes!("generated/tickwire.v1.descriptors.bin"))
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
