//! Lines of JSON: feed messages that name their symbol.

use serde_json::{Map, Value};
use tickwire::v1::FeedMessage;
use tickwire_proto::json::FeedJson;

use super::line::{Refusal, Said, TIME, Update, What};
use super::time::{self, Unit};

/// How lines are read.
#[derive(Debug)]
pub(crate) struct Lines {
    /// Member with the symbol.
    pub(crate) symbol: String,
    /// Stands before every symbol.
    pub(crate) symbol_prefix: String,
    /// Member with the time.
    pub(crate) time: String,
    /// What it is counted in.
    pub(crate) time_unit: Unit,
}

impl Lines {
    /// What a line says.
    pub(crate) fn read(&self, line: &str) -> Result<Said, Refusal> {
        let mut message: Map<String, Value> = serde_json::from_str(line).map_err(|error| Refusal::new("bad_json", error))?;
        let symbol = self.take_symbol(&mut message)?;
        let mut said = Said::default();
        if ["info", "alive"].iter().any(|name| message.get(*name).is_some_and(|value| !value.is_null())) {
            let head = FeedJson::parse(line.as_bytes()).map_err(|error| Refusal::new("bad_json", error))?;
            let symbol = symbol.clone().ok_or_else(|| self.no_symbol())?;
            let (info, alive) = (head.head().info.clone(), head.head().alive.clone());
            said.all.push((symbol, What::Message(FeedMessage { info, alive, ..Default::default() }.into())));
        }
        for member in ["info", "alive", "publisher", "publisher_seq", "ts_publish_us"] {
            message.remove(member);
        }
        match message.remove("updates") {
            None | Some(Value::Null) if message.is_empty() && !said.all.is_empty() => {}
            None | Some(Value::Null) => self.push(message, symbol, &mut said)?,
            Some(Value::Array(updates)) => {
                for update in updates {
                    let Value::Object(mut update) = update else {
                        return Err(Refusal::new("bad_json", "updates has something other than objects"));
                    };
                    let symbol = self.take_symbol(&mut update)?.or_else(|| symbol.clone());
                    self.push(update, symbol, &mut said)?;
                }
            }
            Some(_) => return Err(Refusal::new("bad_json", "updates is not an array")),
        }
        if said.all.is_empty() {
            return Err(Refusal::new("bad_update", "says nothing"));
        }
        Ok(said)
    }

    fn push(&self, mut update: Map<String, Value>, symbol: Option<String>, said: &mut Said) -> Result<(), Refusal> {
        let symbol = symbol.ok_or_else(|| self.no_symbol())?;
        let time_us = match update.remove(&self.time) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(time::parse(&text, self.time_unit)?),
            Some(other) => Some(time::parse(&other.to_string(), self.time_unit)?),
        };
        // Of a line with several, the newest is when it is due.
        said.time_us = said.time_us.max(time_us);
        if time_us.is_some() {
            update.remove(TIME);
        }
        said.all.push((symbol, What::Update(Update::new(update, time_us))));
        Ok(())
    }

    fn take_symbol(&self, message: &mut Map<String, Value>) -> Result<Option<String>, Refusal> {
        match message.remove(&self.symbol) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(symbol)) => Ok(Some(format!("{}{symbol}", self.symbol_prefix))),
            Some(_) => Err(Refusal::new("bad_symbol", format!("{} is not a string", self.symbol))),
        }
    }

    fn no_symbol(&self) -> Refusal {
        Refusal::new("no_symbol", format!("has no {}", self.symbol))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Vec<String>, &'static str> {
        let lines = Lines { symbol: "sym".into(), symbol_prefix: "stock.".into(), time: "t".into(), time_unit: Unit::Ms };
        let said = lines.read(line).map_err(|refusal| refusal.code)?;
        let one = |(symbol, what): (String, What)| match what {
            What::Update(update) if said.time_us.is_some() => format!("{symbol} {}", update.text(false)),
            What::Update(_) => symbol,
            What::Message(message) => format!("{symbol} info={} alive={}", message.info.is_some(), message.alive.is_some()),
        };
        Ok(said.all.into_iter().map(one).collect())
    }

    #[test]
    fn a_line_is_an_update_or_a_message() {
        assert_eq!(
            read(r#"{"sym":"A","t":1500,"ts_event_us":"9","quote":{"bid":187.420}}"#).unwrap(),
            [r#"stock.A {"quote":{"bid":187.420},"ts_event_us":"1500000"}"#]
        );
        let batch = r#"{"sym":"A","updates":[{"quote":{"bid":1}},{"sym":"B","quote":{"bid":2}}],"publisher":"x"}"#;
        assert_eq!(read(batch).unwrap(), ["stock.A", "stock.B"]);
        assert_eq!(read(r#"{"sym":"A","info":{"price_scale":2}}"#).unwrap(), ["stock.A info=true alive=false"]);
        assert_eq!(
            read(r#"{"sym":"A","info":{"price_scale":2},"alive":{"interval_ms":1000},"quote":{"bid":1}}"#).unwrap(),
            ["stock.A info=true alive=true", "stock.A"]
        );
    }

    #[test]
    fn what_is_wrong_has_a_code() {
        for (line, code) in [
            ("{", "bad_json"),
            ("[]", "bad_json"),
            (r#"{"quote":{}}"#, "no_symbol"),
            (r#"{"sym":7,"quote":{}}"#, "bad_symbol"),
            (r#"{"sym":"A","t":"noon","quote":{}}"#, "bad_time"),
            (r#"{"sym":"A","updates":7}"#, "bad_json"),
            (r#"{"sym":"A","updates":[7]}"#, "bad_json"),
            (r#"{"sym":"A","updates":[]}"#, "bad_update"),
            (r#"{"sym":"A","info":7}"#, "bad_json"),
        ] {
            assert_eq!(read(line), Err(code), "{line}");
        }
    }
}
