//! Why a connection ended, and what that asks for.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::serving::retry_of;
use crate::v1::{self, ErrorCode, Retry};

/// The end of a connection.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) code: Option<ErrorCode>,
    pub(super) retry: Retry,
    /// For people.
    pub(super) reason: String,
    /// Least wait before the next try, if the server named one.
    pub(super) wait: Option<Duration>,
}

impl Ending {
    /// The session itself gave the connection up, or the server said goodbye with `code`.
    pub(super) fn new(code: Option<ErrorCode>, reason: String) -> Self {
        Self { code, retry: code.map_or(Retry::Later, ErrorCode::retry), reason, wait: None }
    }

    /// The transport ended, with a WebSocket close code or HTTP status if there was one. An Error frame that came last tells the rest.
    ///
    /// `can_renew`: a refused token can be replaced, so that 401 is no end.
    pub(super) fn of_transport(close: Option<u16>, last_words: Option<&v1::Error>, can_renew: bool) -> Self {
        let mut ending = match (close, last_words) {
            (Some(400), _) => Self::new(Some(ErrorCode::BadMessage), String::from("the server refused the request (HTTP 400)")),
            (Some(401), _) if can_renew => Self::new(Some(ErrorCode::AuthExpired), String::from("the server refused the token (HTTP 401)")),
            (Some(401), _) => Self::new(Some(ErrorCode::AuthRequired), String::from("the server refused the token (HTTP 401)")),
            (Some(403), _) => Self::new(Some(ErrorCode::NotEntitled), String::from("the server refused access (HTTP 403)")),
            (Some(413 | 414 | 431), _) => {
                Self::new(Some(ErrorCode::MessageTooLarge), String::from("the request is too large: too much is wanted for one request"))
            }
            (Some(426), _) => Self::new(Some(ErrorCode::Unsupported), String::from("the server speaks another protocol (HTTP 426)")),
            (Some(429), _) => Self::new(Some(ErrorCode::RateLimited), String::from("the server is busy (HTTP 429)")),
            (Some(503), _) => Self::new(None, String::from("the server is not available (HTTP 503)")),
            (Some(close), last) => match ErrorCode::from_close_code(close) {
                Some(code) => Self::new(Some(code), last.map_or_else(|| String::from(code.name()), |error| error.text.clone())),
                None => last.map_or_else(|| Self::new(None, format!("connection closed with code {close}")), Self::of_error),
            },
            (None, Some(error)) => Self::of_error(error),
            (None, None) => Self::new(None, String::from("connection lost")),
        };
        ending.wait = last_words
            .and_then(|error| error.retry_after_ms)
            .map(|ms| Duration::from_millis(u64::from(ms)))
            .or_else(|| ending.code.and_then(slow_wait));
        ending
    }

    fn of_error(error: &v1::Error) -> Self {
        let code = ErrorCode::try_from(error.code).ok().filter(|code| *code != ErrorCode::Unspecified);
        Self { code, retry: retry_of(error), reason: error.text.clone(), wait: None }
    }
}

/// Refusals that trying again at once would only repeat.
fn slow_wait(code: ErrorCode) -> Option<Duration> {
    matches!(code, ErrorCode::TooManyConnections | ErrorCode::RateLimited).then_some(SLOW_WAIT)
}

/// Least wait after a refusal for being too many or too fast.
const SLOW_WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    /// What the end of a transport comes to: code, retry rule, seconds to wait at least, and words.
    fn check(close: Option<u16>, last_words: Option<v1::Error>, expected: (Option<ErrorCode>, Retry, Option<u64>, &str)) {
        let ending = Ending::of_transport(close, last_words.as_ref(), false);
        let wait_s = ending.wait.map(|wait| wait.as_secs());
        assert_eq!((ending.code, ending.retry, wait_s, ending.reason.as_str()), expected, "{close:?} after {last_words:?}");
    }

    fn error(code: ErrorCode, text: &str, retry_after_ms: Option<u32>) -> v1::Error {
        v1::Error { code: code as i32, text: text.into(), retry: code.retry() as i32, retry_after_ms, ..v1::Error::default() }
    }

    #[test]
    fn a_refused_request_says_what_to_do() {
        use ErrorCode::{AuthRequired, BadMessage, MessageTooLarge, NotEntitled, RateLimited, Unsupported};
        check(Some(400), None, (Some(BadMessage), Retry::Never, None, "the server refused the request (HTTP 400)"));
        check(Some(401), None, (Some(AuthRequired), Retry::Never, None, "the server refused the token (HTTP 401)"));
        check(Some(403), None, (Some(NotEntitled), Retry::Never, None, "the server refused access (HTTP 403)"));
        for status in [413, 414, 431] {
            check(
                Some(status),
                None,
                (Some(MessageTooLarge), Retry::Never, None, "the request is too large: too much is wanted for one request"),
            );
        }
        check(Some(426), None, (Some(Unsupported), Retry::Never, None, "the server speaks another protocol (HTTP 426)"));
        check(Some(429), None, (Some(RateLimited), Retry::Later, Some(5), "the server is busy (HTTP 429)"));
        check(Some(503), None, (None, Retry::Later, None, "the server is not available (HTTP 503)"));
        let renewable = Ending::of_transport(Some(401), None, true);
        assert_eq!(renewable.code, Some(ErrorCode::AuthExpired), "a token that can be replaced has only grown old");
    }

    #[test]
    fn the_last_words_tell_what_a_close_code_does_not() {
        use ErrorCode::{ServerFull, ShuttingDown, SlowConsumer, TooManyConnections};
        let slow = SlowConsumer.close_code();
        check(Some(slow), None, (Some(SlowConsumer), Retry::Later, None, "SLOW_CONSUMER"));
        check(Some(slow), Some(error(SlowConsumer, "too slow", None)), (Some(SlowConsumer), Retry::Later, None, "too slow"));
        check(Some(1006), None, (None, Retry::Later, None, "connection closed with code 1006"));
        check(Some(1006), Some(error(ServerFull, "full", Some(9_000))), (Some(ServerFull), Retry::Later, Some(9), "full"));
        check(None, Some(error(ShuttingDown, "later", Some(2_000))), (Some(ShuttingDown), Retry::Later, Some(2), "later"));
        check(None, None, (None, Retry::Later, None, "connection lost"));
        check(Some(TooManyConnections.close_code()), None, (Some(TooManyConnections), Retry::Later, Some(5), "TOO_MANY_CONNECTIONS"));
        // A code that this version does not know: the server's own rule counts.
        let unknown = v1::Error { code: 5_999, text: "new".into(), retry: Retry::Never as i32, ..v1::Error::default() };
        check(None, Some(unknown), (None, Retry::Never, None, "new"));
    }
}
