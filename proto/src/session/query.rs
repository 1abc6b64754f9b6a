//! Query of the SSE request.

use alloc::string::String;

use super::wanted::Terms;

/// `?symbols=a,b&…`: targets in order, one rate for all.
pub(super) fn sse<'a>(targets: impl Iterator<Item = &'a str>, terms: Terms, heartbeat_ms: u32) -> String {
    let mut query = String::from("?symbols=");
    for (n, target) in targets.enumerate() {
        if n > 0 {
            query.push(',');
        }
        push_escaped(&mut query, target);
    }
    if let Some(conflate_ms) = terms.conflate_ms {
        push_number(&mut query, "&conflate_ms=", conflate_ms);
    }
    push_number(&mut query, "&heartbeat_ms=", heartbeat_ms);
    if terms.trades {
        query.push_str("&trades=true");
    }
    query
}

/// Symbols and patterns are ASCII; these three of their characters mean something else in a query.
fn push_escaped(query: &mut String, target: &str) {
    for letter in target.chars() {
        match letter {
            '%' => query.push_str("%25"),
            '+' => query.push_str("%2B"),
            '#' => query.push_str("%23"),
            _ => query.push(letter),
        }
    }
}

fn push_number(query: &mut String, name: &str, value: u32) {
    query.push_str(name);
    query.push_str(itoa::Buffer::new().format(value));
}
