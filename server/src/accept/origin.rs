//! Which pages may talk to us: an `Origin` has to be listed, or be this very host.

use super::head::Head;
use super::refusal::Refusal;
use tickwire_proto::v1::ErrorCode;

/// Checks the `Origin` of a request, and returns the CORS header lines of the answer. A request without one does not come from a page.
///
/// # Errors
/// `OriginRefused`. Origins are compared whole; `null` and a second one are refused.
pub(super) fn check(head: &Head, listed: &[String]) -> Result<String, Refusal> {
    if !head.has("origin") {
        return Ok("Vary: Origin\r\n".to_owned());
    }
    let origin = head.one("origin").filter(|origin| is_own(origin, head) || listed.iter().any(|one| one == origin));
    match origin {
        Some(origin) => Ok(format!("Access-Control-Allow-Origin: {origin}\r\nVary: Origin\r\n")),
        None => Err(Refusal::new(ErrorCode::OriginRefused, "pages of this origin may not connect; the operator lists those that may")),
    }
}

fn is_own(origin: &str, head: &Head) -> bool {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    host.is_some_and(|host| head.one("host").is_some_and(|own| host.eq_ignore_ascii_case(own)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_one(origins: &[&str], allowed: bool) {
        let lines: String = origins.iter().map(|origin| format!("Origin: {origin}\r\n")).collect();
        let head = Head::parse(format!("GET /v1/ws HTTP/1.1\r\nHost: ticks.example:7447\r\n{lines}\r\n").as_bytes()).unwrap().unwrap();
        let listed = ["https://app.example".to_owned(), "https://app.example:8443".to_owned()];
        assert_eq!(check(&head, &listed).is_ok(), allowed, "{origins:?}");
    }

    #[test]
    fn origins_are_compared_whole() {
        for good in ["https://app.example", "https://app.example:8443", "http://ticks.example:7447", "https://ticks.example:7447"] {
            check_one(&[good], true);
        }
        check_one(&[], true);
        for bad in [
            "null",
            "",
            "http://app.example",
            "https://app.example:444",
            "https://evil-app.example",
            "https://app.example.evil",
            "https://app.example@evil",
            "https://APP.example",
            "https://ticks.example",
            "https://ticks.example:7447.evil",
        ] {
            check_one(&[bad], false);
        }
        check_one(&["https://app.example", "https://app.example"], false);
    }
}
