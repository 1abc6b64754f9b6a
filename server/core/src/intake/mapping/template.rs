//! Symbols made from a text with holes.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use super::super::{Cause, Poison};
use super::pointer::Pointer;
use super::text_of;

/// Text with `{key}` for the routing key and `{/pointer}` for a value.
#[derive(Clone, Debug)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Key,
    Value(Pointer),
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (hole, after) = after.split_once('}').ok_or_else(|| format!("{text:?} has a {{ without its }}"))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_string()));
            }
            parts.push(if hole == "key" { Part::Key } else { Part::Value(Pointer::parse(hole)?) });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_string()));
        }
        Ok(Self(parts))
    }

    /// The symbol of one element; whether it is one is for the intake to say.
    pub(super) fn fill(&self, key: &str, element: &Value) -> Result<String, Poison> {
        let mut symbol = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => symbol.push_str(text),
                Part::Key => symbol.push_str(key),
                Part::Value(at) => {
                    let value = at.find(element).and_then(text_of).filter(|text| !text.is_empty());
                    symbol.push_str(&value.ok_or_else(|| Poison::new(Cause::BadSymbol, format!("{at} is no text or number")))?);
                }
            }
        }
        Ok(symbol)
    }
}
