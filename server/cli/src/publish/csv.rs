//! Lines of CSV (RFC 4180, one record on each line): a header that names fields of the feed format, then values.

use anyhow::{Result, bail};
use serde_json::{Map, Value};
use tickwire_proto::json::feed_fields;

use super::line::{Refusal, Said, TIME, Update, What};
use super::time::{self, Unit, shown};

/// What flags say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) delimiter: char,
    /// Of columns without a dot.
    pub(crate) body: &'a str,
    /// `FIELD=COLUMN`.
    pub(crate) columns: &'a [String],
    /// Whether columns may stand for nothing.
    pub(crate) ignore: bool,
    pub(crate) symbol: &'a str,
    pub(crate) symbol_prefix: &'a str,
    pub(crate) time: &'a str,
    pub(crate) time_unit: Unit,
}

/// What the columns stand for.
#[derive(Debug)]
pub(crate) struct Columns {
    delimiter: char,
    symbol_prefix: String,
    time_unit: Unit,
    columns: Vec<Column>,
}

#[derive(Debug, PartialEq, Eq)]
enum Column {
    Symbol,
    Time,
    /// Names of flags, separated by spaces.
    Flags,
    Field {
        body: &'static str,
        field: &'static str,
    },
    /// A key of `score.extra`.
    Extra(String),
    Nothing,
}

/// Checks what can be checked without a header.
///
/// # Errors
/// The body is none, or a column is not of the form FIELD=COLUMN.
pub(crate) fn check_settings(settings: &Settings<'_>) -> Result<()> {
    if !BODIES.contains(&settings.body) {
        bail!("--body {:?} is not one of {}", settings.body, BODIES.join(", "));
    }
    for pair in settings.columns {
        let Some((field, column)) = pair.split_once('=') else { bail!("--column {pair:?} is not of the form FIELD=COLUMN") };
        if column.is_empty() || column_of(field, settings).is_none() {
            bail!("--column {pair:?}: {field:?} is no field; {}", hint(settings.body));
        }
    }
    Ok(())
}

impl Columns {
    /// Reads the header.
    pub(crate) fn read_header(line: &str, settings: &Settings<'_>) -> Result<Self, Refusal> {
        let names = split(line.trim_start_matches('\u{feff}'), settings.delimiter)?;
        let mut columns = Vec::with_capacity(names.len());
        for name in names.iter().map(|name| name.trim()) {
            let renamed = settings.columns.iter().filter_map(|pair| pair.split_once('=')).find(|(_, column)| *column == name);
            let column = match renamed {
                Some((field, _)) => column_of(field, settings),
                None if name == settings.symbol => Some(Column::Symbol),
                None if name == settings.time => Some(Column::Time),
                None => column_of(name, settings),
            };
            columns.push(match column {
                Some(column) if columns.contains(&column) => {
                    return Err(Refusal::new("bad_header", format!("{:?} stands for what another column stands for", shown(name))));
                }
                Some(column) => column,
                None if settings.ignore => Column::Nothing,
                None => {
                    let text = format!("{:?} stands for nothing; --ignore-columns leaves it out; {}", shown(name), hint(settings.body));
                    return Err(Refusal::new("unknown_column", text));
                }
            });
            if columns.len() > COLUMNS_MAX {
                return Err(Refusal::new("bad_header", format!("has more than {COLUMNS_MAX} columns")));
            }
        }
        if !columns.contains(&Column::Symbol) {
            return Err(Refusal::new("bad_header", format!("no column is called {:?}, which is to have the symbol", settings.symbol)));
        }
        let symbol_prefix = settings.symbol_prefix.to_owned();
        Ok(Self { delimiter: settings.delimiter, symbol_prefix, time_unit: settings.time_unit, columns })
    }

    /// What a line says. Each body that has a value becomes an update.
    pub(crate) fn read(&self, line: &str) -> Result<Said, Refusal> {
        let values = split(line, self.delimiter)?;
        if values.len() != self.columns.len() {
            return Err(Refusal::new("bad_row", format!("has {} values, the header {}", values.len(), self.columns.len())));
        }
        let (mut symbol, mut time_us, mut flags) = (None, None, Vec::new());
        let mut bodies: Vec<(&'static str, Map<String, Value>)> = Vec::new();
        for (column, value) in self.columns.iter().zip(&values) {
            let value = value.trim();
            let (body, field) = match column {
                _ if value.is_empty() => continue,
                Column::Nothing => continue,
                Column::Symbol => {
                    symbol = Some(format!("{}{value}", self.symbol_prefix));
                    continue;
                }
                Column::Time => {
                    time_us = Some(time::parse(value, self.time_unit)?);
                    continue;
                }
                Column::Flags => {
                    flags = value.split_whitespace().map(Value::from).collect();
                    continue;
                }
                Column::Field { body, field } => (*body, Some(*field)),
                Column::Extra(_) => ("score", None),
            };
            let at = bodies.iter().position(|(name, _)| *name == body).unwrap_or_else(|| {
                bodies.push((body, Map::new()));
                bodies.len() - 1
            });
            let members = &mut bodies[at].1;
            match (field, column) {
                (Some(field), _) => {
                    members.insert(field.to_owned(), json(value));
                }
                (None, Column::Extra(key)) => {
                    if let Value::Object(extra) = members.entry("extra").or_insert_with(|| Map::new().into()) {
                        extra.insert(key.clone(), json(value));
                    }
                }
                (None, _) => {}
            }
        }
        let symbol = symbol.ok_or_else(|| Refusal::new("no_symbol", "has no symbol"))?;
        if bodies.is_empty() {
            return Err(Refusal::new("bad_update", "says nothing"));
        }
        let all = bodies.into_iter().map(|(body, members)| {
            let mut update = Map::from_iter([(body.to_owned(), Value::Object(members))]);
            if !flags.is_empty() {
                update.insert("flags".to_owned(), flags.clone().into());
            }
            (symbol.clone(), What::Update(Update::new(update, time_us)))
        });
        Ok(Said { time_us, all: all.collect() })
    }
}

/// What a name stands for: `bid`, `quote.bid`, `extra.corners`, `flags`, `symbol` or `ts_event_us`.
fn column_of(name: &str, settings: &Settings<'_>) -> Option<Column> {
    match name {
        "symbol" => return Some(Column::Symbol),
        TIME => return Some(Column::Time),
        "flags" => return Some(Column::Flags),
        _ => {}
    }
    if let Some(key) = name.strip_prefix("score.extra.").or_else(|| name.strip_prefix("extra.")) {
        return Some(Column::Extra(key.to_owned()));
    }
    let (body, field) = name.split_once('.').unwrap_or((settings.body, name));
    let body = BODIES.into_iter().find(|known| *known == body)?;
    let field = feed_fields(body)?.into_iter().find(|known| *known == field && !SERVERS.contains(known) && *known != "extra")?;
    Some(Column::Field { body, field })
}

/// Fields that a column can stand for, in one line.
fn hint(body: &str) -> String {
    let fields = feed_fields(body).unwrap_or_default();
    let fields: Vec<&str> = fields.into_iter().filter(|field| !SERVERS.contains(field)).collect();
    format!("fields of {body} are {}; those of other bodies are written with a dot, as status.phase", fields.join(", "))
}

/// A value as JSON. Numbers stay texts, which are read exactly; only what has to be true or false is.
fn json(value: &str) -> Value {
    match value {
        "null" => Value::Null,
        "true" => true.into(),
        "false" => false.into(),
        _ => value.into(),
    }
}

/// The values of a line. Quoted ones may have the delimiter in them, and `""` for a quote.
fn split(line: &str, delimiter: char) -> Result<Vec<String>, Refusal> {
    let (mut values, mut rest) = (Vec::new(), line);
    loop {
        let (value, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find(delimiter).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        values.push(value);
        match after.strip_prefix(delimiter) {
            Some(more) => rest = more,
            None if after.trim().is_empty() => return Ok(values),
            None => return Err(Refusal::new("bad_row", "has something between a closing quote and the next value")),
        }
    }
}

/// The text up to the closing quote, and what comes behind it.
fn unquote(quoted: &str) -> Result<(String, &str), Refusal> {
    let (mut value, mut rest) = (String::new(), quoted);
    loop {
        let Some(end) = rest.find('"') else { return Err(Refusal::new("bad_row", "has a quote that is not closed on its line")) };
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                value.push('"');
                rest = more;
            }
            None => return Ok((value, rest)),
        }
    }
}

/// Bodies whose fields a column can hold. Outcomes of a market need JSON.
const BODIES: [&str; 6] = ["quote", "trade", "bar", "status", "score", "odds"];
/// Fields that the server decides, or that no single value can hold.
const SERVERS: [&str; 4] = ["interval_high", "interval_low", "outcomes", "conditions"];
/// Columns of a file. One with more is refused.
const COLUMNS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Settings<'static> = Settings {
        delimiter: ',',
        body: "quote",
        columns: &[],
        ignore: false,
        symbol: "symbol",
        symbol_prefix: "stock.",
        time: "ts",
        time_unit: Unit::Ms,
    };

    fn read(settings: &Settings<'_>, header: &str, line: &str) -> Result<String, String> {
        let columns = Columns::read_header(header, settings).map_err(|refusal| refusal.to_string())?;
        let said = columns.read(line).map_err(|refusal| refusal.to_string())?;
        let all = said.all.into_iter().map(|(symbol, what)| match what {
            What::Update(update) => format!("{symbol} {}", update.text(false)),
            What::Message(_) => panic!("no column announces anything"),
        });
        Ok(all.collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn column_names_are_field_names() {
        assert_eq!(
            read(&PLAIN, "\u{feff}symbol,ts,bid,ask,volume,status.phase", "AAPL,1500,187.420,null,,HALTED").unwrap(),
            concat!(
                r#"stock.AAPL {"quote":{"ask":null,"bid":"187.420"},"ts_event_us":"1500000"}; "#,
                r#"stock.AAPL {"status":{"phase":"HALTED"},"ts_event_us":"1500000"}"#
            )
        );
        let score = Settings { body: "score", ..PLAIN };
        assert_eq!(
            read(&score, "symbol,ts,home,in_play,extra.corners,flags", "A.B,1,2,true,7,EVENT").unwrap(),
            r#"stock.A.B {"flags":["EVENT"],"score":{"extra":{"corners":"7"},"home":"2","in_play":true},"ts_event_us":"1000"}"#
        );
    }

    #[test]
    fn columns_can_be_called_otherwise() {
        let columns = ["bid=Bid Price".to_owned(), "status.phase=State".to_owned()];
        let foreign = Settings { delimiter: ';', columns: &columns, ignore: true, symbol: "Ticker", time: "At", ..PLAIN };
        assert!(check_settings(&foreign).is_ok());
        assert_eq!(
            read(&foreign, "At;Ticker;Bid Price;Comment", "2;\"X\";\"1;5\";\"say \"\"hi\"\"\"").unwrap(),
            r#"stock.X {"quote":{"bid":"1;5"},"ts_event_us":"2000"}"#
        );
        let wrong = ["price=Px".to_owned()];
        assert!(check_settings(&Settings { columns: &wrong, ..PLAIN }).unwrap_err().to_string().contains("\"price\" is no field"));
        assert!(check_settings(&Settings { body: "lunch", ..PLAIN }).is_err());
    }

    #[test]
    fn what_is_wrong_has_a_code() {
        for (header, line, code) in [
            ("symbol,bid,colour", "", "unknown_column: \"colour\" stands for nothing"),
            ("bid,ask", "", "bad_header: no column is called \"symbol\""),
            ("symbol,bid,quote.bid", "", "bad_header: \"quote.bid\" stands for what another"),
            ("symbol,bid", "A", "bad_row: has 1 values, the header 2"),
            ("symbol,bid", "A,\"1", "bad_row: has a quote that is not closed"),
            ("symbol,bid", "\"A\"x,1", "bad_row: has something between"),
            ("symbol,bid", ",1", "no_symbol: "),
            ("symbol,bid", "A,", "bad_update: says nothing"),
            ("symbol,ts,bid", "A,noon,1", "bad_time: "),
        ] {
            let refused = read(&PLAIN, header, line).unwrap_err();
            assert!(refused.starts_with(code), "{refused}");
        }
    }
}
