//! Messages that publishers already write: a table says where in their JSON our fields are, and what becomes of them.
//!
//! A mapped message is brought to the form of a [`FeedJson`] and is checked like any other from there on. Numbers stay decimals.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Map, Value};
use thiserror::Error;
use tickwire_proto::json::{FeedJson, feed_fields};
use tickwire_proto::{Pattern, Symbol};

use super::{Cause, Poison};

mod pointer;
mod template;
mod time;

use pointer::Pointer;
use template::Template;
pub use time::TimeUnit;

/// A mapping as the operator writes it. Empty texts and lists are defaults.
#[derive(Clone, Debug, Default)]
pub struct MappingSpec {
    /// Routing keys, without the routing prefix, of the messages it reads.
    pub pattern: String,
    /// JSON pointer to the array whose elements are an update each; default: the message, or each of its elements if it is an array.
    pub each: String,
    /// `POINTER=VALUE`: takes only elements that have this value there. All of them have to hold.
    pub when: Vec<String>,
    /// Symbol of an element: text with `{key}` for the routing key and `{/pointer}` for a value. Default: the routing key.
    pub symbol: String,
    /// The body that elements become: `quote`, `trade`, `bar`, `status`, `score` or `odds`.
    pub body: String,
    /// `FIELD=POINTER`. Below `outcomes`, pointers start at an element of the array that `outcomes` points to.
    pub fields: Vec<String>,
    /// `FIELD:VALUE=OURS`: what a value of a field is called here, such as `phase:H=HALTED`.
    pub values: Vec<String>,
    /// JSON pointer to the time of the event. Default: none, so that the order of the log decides.
    pub time: String,
    /// What times are counted in.
    pub time_unit: TimeUnit,
    /// Whether an element says everything about the body, so that what it leaves out is unknown.
    pub image: bool,
}

/// What is wrong with a [`MappingSpec`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} {text}")]
pub struct MappingError {
    /// Name of the wrong member.
    pub field: &'static str,
    /// What is wrong, to be read after the name.
    pub text: String,
}

/// A mapping, checked.
#[derive(Clone, Debug)]
pub struct Mapping {
    pattern: Pattern,
    each: Option<Pointer>,
    when: Vec<(Pointer, String)>,
    symbol: Option<Template>,
    body: String,
    fields: Vec<Assignment>,
    values: Vec<Translation>,
    time: Option<Pointer>,
    time_unit: TimeUnit,
    image: bool,
}

/// One field and where it comes from.
#[derive(Clone, Debug)]
struct Assignment {
    /// Name in the schema: `bid`, `extra.corners`, `outcomes`, `outcomes.back`.
    field: String,
    from: Pointer,
}

/// What a value is called here.
#[derive(Clone, Debug)]
struct Translation {
    field: String,
    theirs: String,
    ours: Value,
}

/// What the mappings made of one message.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    pub(super) updates: Vec<Value>,
    /// What was wrong with elements; the others are kept.
    pub(super) poison: Vec<Poison>,
}

impl Mapping {
    /// Checks a mapping.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn new(spec: &MappingSpec) -> Result<Self, MappingError> {
        let pattern = Pattern::parse(&spec.pattern).map_err(|error| wrong("pattern", error))?;
        let names = feed_fields(&spec.body).filter(|_| spec.body != OUTCOMES);
        let names = names.ok_or_else(|| wrong("body", "is not one of quote, trade, bar, status, score, odds"))?;
        if spec.fields.is_empty() || spec.fields.len() > FIELDS_MAX {
            return Err(wrong("fields", format!("needs 1 to {FIELDS_MAX} of FIELD=/POINTER")));
        }
        if spec.values.len().max(spec.when.len()) > VALUES_MAX {
            return Err(wrong("values", format!("and when take at most {VALUES_MAX} each")));
        }
        let fields: Vec<Assignment> = spec.fields.iter().map(|text| Assignment::parse(text, &names)).collect::<Result<_, _>>()?;
        if let Some(orphan) = fields.iter().find(|one| one.outcome_field().is_some() && !fields.iter().any(|two| two.field == OUTCOMES)) {
            return Err(wrong("fields", format!("has {} but not outcomes=/POINTER, where the outcomes are", orphan.field)));
        }
        let values = spec.values.iter().map(|text| Translation::parse(text, &fields)).collect::<Result<_, _>>()?;
        Ok(Self {
            pattern,
            each: pointer("each", &spec.each)?,
            when: spec.when.iter().map(|text| condition(text)).collect::<Result<_, _>>()?,
            symbol: match spec.symbol.as_str() {
                "" => None,
                text => Some(Template::parse(text).map_err(|text| wrong("symbol", text))?),
            },
            body: spec.body.clone(),
            fields,
            values,
            time: pointer("time", &spec.time)?,
            time_unit: spec.time_unit,
            image: spec.image,
        })
    }

    /// Whether it reads messages with this routing key.
    pub(super) fn reads(&self, key: &Symbol) -> bool {
        self.pattern.matches(key)
    }

    /// Adds what this mapping makes of a message, at most `updates_max` in all.
    fn map(&self, key: &str, message: &Value, updates_max: usize, mapped: &mut Mapped) -> Result<(), Poison> {
        for element in self.elements(message)? {
            if !self
                .when
                .iter()
                .all(|(at, wanted)| at.find(element).is_some_and(|value| text_of(value).is_some_and(|text| text == *wanted)))
            {
                continue;
            }
            if mapped.updates.len() >= updates_max {
                return Err(Poison::new(Cause::TooManyUpdates, format!("more than {updates_max} updates")));
            }
            match self.element(key, element) {
                Ok(update) => mapped.updates.push(update),
                Err(poison) => mapped.poison.push(poison),
            }
        }
        Ok(())
    }

    fn elements<'a>(&self, message: &'a Value) -> Result<&'a [Value], Poison> {
        match (&self.each, message) {
            (None, Value::Array(elements)) => Ok(elements),
            (None, single) => Ok(core::slice::from_ref(single)),
            // A message of another kind under the same routing key has nothing there; `when` need not be written twice.
            (Some(each), message) => match each.find(message) {
                None => Ok(&[]),
                Some(Value::Array(elements)) => Ok(elements),
                Some(_) => Err(Poison::new(Cause::Undecodable, format!("{each} is not an array"))),
            },
        }
    }

    /// One element as an update in our JSON.
    fn element(&self, key: &str, element: &Value) -> Result<Value, Poison> {
        let mut update = Map::new();
        if let Some(symbol) = &self.symbol {
            update.insert("symbol".to_string(), Value::String(symbol.fill(key, element)?));
        }
        if let Some(time) = &self.time
            && let Some(value) = time.find(element).filter(|value| !value.is_null())
        {
            update.insert("ts_event_us".to_string(), self.time(time, value)?);
        }
        let body = self.body(element)?;
        if body.is_empty() {
            return Err(Poison::new(Cause::Empty, format!("has no field that the mapping to {} names", self.body)));
        }
        update.insert(self.body.clone(), Value::Object(body));
        if self.image {
            update.insert("flags".to_string(), Value::Array([Value::String("IMAGE".to_string())].into()));
        }
        Ok(Value::Object(update))
    }

    fn body(&self, element: &Value) -> Result<Map<String, Value>, Poison> {
        let mut body = Map::new();
        for one in self.fields.iter().filter(|one| one.outcome_field().is_none()) {
            let Some(found) = one.from.find(element) else { continue };
            let value = if one.field == OUTCOMES { self.outcomes(&one.from, found)? } else { self.value(one, found)? };
            match one.field.split_once('.') {
                None => drop(body.insert(one.field.clone(), value)),
                Some((map, name)) => {
                    let map = body.entry(map.to_string()).or_insert_with(|| Value::Object(Map::new()));
                    map.as_object_mut().map(|map| map.insert(name.to_string(), value));
                }
            }
        }
        Ok(body)
    }

    fn outcomes(&self, at: &Pointer, found: &Value) -> Result<Value, Poison> {
        let Value::Array(elements) = found else { return Err(Poison::new(Cause::BadValue, format!("{at} is not an array"))) };
        let outcomes: Result<Vec<Value>, Poison> = elements
            .iter()
            .map(|element| {
                let mut outcome = Map::new();
                for one in &self.fields {
                    let Some(name) = one.outcome_field() else { continue };
                    let Some(found) = one.from.find(element) else { continue };
                    outcome.insert(name.to_string(), self.value(one, found)?);
                }
                Ok(Value::Object(outcome))
            })
            .collect();
        outcomes.map(Value::Array)
    }

    /// A value as our JSON has it: translated, a time in microseconds, or as it is.
    fn value(&self, one: &Assignment, found: &Value) -> Result<Value, Poison> {
        if let Some(theirs) = text_of(found)
            && let Some(translation) = self.values.iter().find(|known| known.field == one.field && known.theirs == theirs)
        {
            return Ok(translation.ours.clone());
        }
        match found {
            Value::Number(number) if TEXTS.contains(&one.field.as_str()) => Ok(Value::String(number.to_string())),
            Value::Null => Ok(Value::Null),
            _ if one.field.ends_with("_us") => self.time(&one.from, found),
            _ => Ok(found.clone()),
        }
    }

    fn time(&self, at: &Pointer, value: &Value) -> Result<Value, Poison> {
        let us = text_of(value).and_then(|text| self.time_unit.microseconds(&text));
        let us = us.ok_or_else(|| Poison::new(Cause::BadValue, format!("{at} is no time in {}", self.time_unit.name())))?;
        Ok(Value::String(us.to_string()))
    }
}

/// What the mappings that read `key` make of a body; `None` if there are none.
///
/// Costs one visit per mapping, element and field.
pub(super) fn map(mappings: &[Mapping], key: &str, body: &[u8], updates_max: usize) -> Option<Result<(FeedJson, Vec<Poison>), Poison>> {
    let symbol = (!mappings.is_empty()).then(|| Symbol::parse(key).ok())??;
    let mut reading = mappings.iter().filter(|mapping| mapping.reads(&symbol)).peekable();
    reading.peek()?;
    let message: Value = match serde_json::from_slice(body) {
        Ok(message) => message,
        Err(error) => return Some(Err(Poison::new(Cause::Undecodable, error.to_string()))),
    };
    let mut mapped = Mapped::default();
    Some(
        reading
            .try_for_each(|mapping| mapping.map(key, &message, updates_max, &mut mapped))
            .map(|()| (FeedJson::of_updates(mapped.updates), mapped.poison)),
    )
}

impl Assignment {
    fn parse(text: &str, names: &[&str]) -> Result<Self, MappingError> {
        let (field, from) = text.split_once('=').ok_or_else(|| wrong("fields", format!("has {text:?}, which is not FIELD=/POINTER")))?;
        let (field, from) = (field.trim(), from.trim());
        let known = match field.split_once('.') {
            None => names.contains(&field) && field != EXTRA,
            Some((EXTRA, name)) => names.contains(&EXTRA) && !name.is_empty(),
            Some((OUTCOMES, name)) => names.contains(&OUTCOMES) && feed_fields(OUTCOMES).is_some_and(|names| names.contains(&name)),
            Some(_) => false,
        };
        if !known {
            return Err(wrong("fields", format!("has {field:?}, but the body has {}", names.join(", "))));
        }
        let from = Pointer::parse(from).map_err(|text| wrong("fields", format!("has {field}, whose pointer {text}")))?;
        Ok(Self { field: field.to_string(), from })
    }

    /// Name of the field of an outcome, if it is one.
    fn outcome_field(&self) -> Option<&str> {
        self.field.strip_prefix(OUTCOMES)?.strip_prefix('.')
    }
}

impl Translation {
    fn parse(text: &str, fields: &[Assignment]) -> Result<Self, MappingError> {
        let parts = text.split_once(':').and_then(|(field, rest)| Some((field, rest.rsplit_once('=')?)));
        let (field, (theirs, ours)) = parts.ok_or_else(|| wrong("values", format!("has {text:?}, which is not FIELD:VALUE=OURS")))?;
        if !fields.iter().any(|one| one.field == field) {
            return Err(wrong("values", format!("has {field:?}, which is not among the fields")));
        }
        let ours = match ours {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            text => Value::String(text.to_string()),
        };
        Ok(Self { field: field.to_string(), theirs: theirs.to_string(), ours })
    }
}

fn condition(text: &str) -> Result<(Pointer, String), MappingError> {
    let (at, value) = text.split_once('=').ok_or_else(|| wrong("when", format!("has {text:?}, which is not /POINTER=VALUE")))?;
    let at = Pointer::parse(at).map_err(|problem| wrong("when", format!("has {text:?}, whose pointer {problem}")))?;
    Ok((at, value.to_string()))
}

fn pointer(field: &'static str, text: &str) -> Result<Option<Pointer>, MappingError> {
    if text.is_empty() { Ok(None) } else { Pointer::parse(text).map(Some).map_err(|text| wrong(field, text)) }
}

fn wrong(field: &'static str, text: impl ToString) -> MappingError {
    MappingError { field, text: text.to_string() }
}

/// A text, number or flag as text, for comparing and for names.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

const OUTCOMES: &str = "outcomes";
const EXTRA: &str = "extra";
/// Fields that are texts here and often numbers elsewhere.
const TEXTS: &[&str] = &["trade_id", "reason"];
/// Fields of a mapping. The schema's largest body has fewer; `extra` of a score takes the rest.
const FIELDS_MAX: usize = 64;
/// Translations of a mapping, and conditions.
const VALUES_MAX: usize = 256;
