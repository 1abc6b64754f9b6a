//! What feeds publish as JSON: parsed at once, brought to the scales of its instruments later.

use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use super::JsonError;
use super::read::{self, Reader};
use super::table::{self, Field, Table, Unit};
use super::tables::BODIES;
use crate::decimal::Scale;
use crate::v1;

/// A feed message in JSON, parsed but not yet brought to scales: its numbers are still decimals as the feed wrote them.
///
/// Either a `FeedMessage` (`{"updates":[…],"info":{…},"alive":{…}}`) or the short form of one update, whose body stands at the top
/// (`{"quote":{"bid":"187.42"}}`); the short form can have the other members of a `FeedMessage` beside its body. Of duplicate names the
/// last wins.
#[derive(Debug)]
pub struct FeedJson {
    head: v1::FeedMessage,
    updates: Vec<Value>,
    /// Whether the only update is the whole message.
    short: bool,
}

/// One update of a [`FeedJson`].
#[derive(Clone, Copy, Debug)]
pub struct FeedJsonUpdate<'a> {
    value: &'a Value,
    /// Its place in `updates`; `None` for the short form.
    index: Option<usize>,
}

/// Decimal places that the values of an update need; trailing zeros do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Of its prices.
    pub price: u32,
    /// Of its quantities.
    pub quantity: u32,
}

impl FeedJson {
    /// Parses `body`. Unknown fields are skipped.
    ///
    /// # Errors
    /// Not JSON, not an object, nested deeper than the schema, or a field of the wrong type outside `updates`.
    pub fn parse(body: &[u8]) -> Result<Self, JsonError> {
        let mut object = read::parse_object(body)?;
        let head = table::read(&object, &mut Reader::strict(None))?;
        let short = BODIES.iter().any(|name| object.get(*name).is_some_and(|body| !body.is_null()));
        let updates = match object.remove("updates") {
            None | Some(Value::Null) if short => [Value::Object(object)].into(),
            None | Some(Value::Null) => Vec::new(),
            Some(_) if short => return Err(JsonError::new("stands beside the body of a short message").within("updates")),
            Some(Value::Array(updates)) => updates,
            Some(_) => return Err(JsonError::new("is not an array").within("updates")),
        };
        Ok(Self { head, updates, short })
    }

    /// A message of these updates, each an object as it stands in `updates`, and nothing else.
    pub fn of_updates(updates: Vec<Value>) -> Self {
        Self { head: v1::FeedMessage::default(), updates, short: false }
    }

    /// Everything but the updates; `info.tick_size` is at `info.price_scale`.
    pub fn head(&self) -> &v1::FeedMessage {
        &self.head
    }

    /// The updates, in order.
    pub fn updates(&self) -> impl ExactSizeIterator<Item = FeedJsonUpdate<'_>> {
        self.updates.iter().enumerate().map(|(index, value)| FeedJsonUpdate { value, index: (!self.short).then_some(index) })
    }
}

impl FeedJsonUpdate<'_> {
    /// The symbol that it names, if it does not go by the routing key. One that is no string is an error of [`Self::resolve`].
    pub fn symbol(&self) -> Option<&str> {
        self.value.get("symbol")?.as_str().filter(|symbol| !symbol.is_empty())
    }

    /// When it happened, if it says so.
    pub fn time_us(&self) -> Option<u64> {
        self.value.get("ts_event_us").and_then(|value| read::integer(value).ok())
    }

    /// What its values need.
    ///
    /// # Errors
    /// A value is no decimal.
    pub fn places(&self) -> Result<Places, JsonError> {
        self.measure().map_err(|error| self.locate(error))
    }

    /// The update with its values at these scales. `null` in a body goes to `clear`, whose numbers are in order.
    ///
    /// # Errors
    /// A field has the wrong type, a value does not fit, or there is no body.
    pub fn resolve(&self, price: Scale, quantity: Scale) -> Result<v1::Update, JsonError> {
        let mut reader = Reader::strict(Some((price, quantity)));
        let update = super::frame::read_update(self.value, &mut reader).map_err(|error| self.locate(error))?;
        if update.body.is_none() {
            return Err(self.locate(JsonError::new("has no body")));
        }
        Ok(update)
    }

    fn measure(&self) -> Result<Places, JsonError> {
        let mut places = Places::default();
        let update = read::object(self.value)?;
        let tables: [(&str, &[Field]); 4] =
            [("quote", v1::Quote::FIELDS), ("trade", v1::Trade::FIELDS), ("bar", v1::Bar::FIELDS), ("odds", v1::Odds::FIELDS)];
        for (name, fields) in tables {
            let Some(body) = update.get(name).filter(|body| !body.is_null()) else { continue };
            read::object(body).and_then(|body| places.grow(body, fields)).map_err(|error| error.within(name))?;
        }
        Ok(places)
    }

    fn locate(&self, error: JsonError) -> JsonError {
        match self.index {
            Some(index) => error.within_element(index).within("updates"),
            None => error,
        }
    }
}

/// Names of the fields of a body (`quote`, `trade`, `bar`, `status`, `score`, `odds`), or of one of the `outcomes`; `None` for another name.
pub fn feed_fields(body: &str) -> Option<Vec<&'static str>> {
    let fields = match body {
        "quote" => v1::Quote::FIELDS,
        "trade" => v1::Trade::FIELDS,
        "bar" => v1::Bar::FIELDS,
        "status" => v1::Status::FIELDS,
        "score" => v1::Score::FIELDS,
        "odds" => v1::Odds::FIELDS,
        "outcomes" => v1::Outcome::FIELDS,
        _ => return None,
    };
    Some(fields.iter().map(|field| field.name).collect())
}

impl Places {
    /// Makes room for the decimals of one message.
    fn grow(&mut self, object: &Map<String, Value>, fields: &[Field]) -> Result<(), JsonError> {
        for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            let Some(field) = fields.iter().find(|field| field.name == name) else { continue };
            let result = match field.unit {
                Unit::None => Ok(()),
                Unit::Price => read::decimal(value).map(|decimal| self.price = self.price.max(decimal.places_needed())),
                Unit::Quantity => read::decimal(value).map(|decimal| self.quantity = self.quantity.max(decimal.places_needed())),
                Unit::Outcomes => self.grow_outcomes(value),
            };
            result.map_err(|error| error.within(name))?;
        }
        Ok(())
    }

    fn grow_outcomes(&mut self, outcomes: &Value) -> Result<(), JsonError> {
        for (index, outcome) in read::array(outcomes)?.iter().enumerate() {
            read::object(outcome)
                .and_then(|outcome| self.grow(outcome, v1::Outcome::FIELDS))
                .map_err(|error| error.within_element(index))?;
        }
        Ok(())
    }
}
