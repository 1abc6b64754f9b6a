//! From bytes to messages: which encoding it is, and whether it may be decoded at all.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use prost::Message as _;
use tickwire_proto::json::FeedJson;
use tickwire_proto::v1;

use super::{Cause, IntakeConfig, Message, Poison, mapping};

/// A decoded body. Nothing in it has been checked.
#[derive(Debug)]
pub(super) enum Decoded {
    /// Values are mantissas.
    Protobuf(v1::FeedMessage),
    /// Values are decimals.
    Json(FeedJson),
    /// The same, made from a message in another form. It may have nothing for us.
    Mapped(FeedJson),
}

/// Decodes the body of `message`, within the limits of `config`. `key` is its routing key without the prefix. What is wrong with parts of it
/// goes to `poison`.
pub(super) fn decode(message: &Message<'_>, key: &str, config: &IntakeConfig, poison: &mut Vec<Poison>) -> Result<Decoded, Poison> {
    if message.body.len() > config.body_bytes_max {
        return Err(Poison::new(Cause::TooLarge, format!("{} bytes, at most {} are taken", message.body.len(), config.body_bytes_max)));
    }
    if message.body.is_empty() {
        return Err(Poison::new(Cause::Empty, "no body"));
    }
    // Whoever publishes what is mapped may call it `text/plain` or nothing at all; only our own protobuf is known by its name.
    if !is_protobuf(message.content_type)
        && let Some(mapped) = mapping::map(&config.mappings, key, message.body, config.updates_max)
    {
        let (json, mut refused) = mapped?;
        poison.append(&mut refused);
        return Ok(Decoded::Mapped(json));
    }
    let decoded = match format_of(message)? {
        Format::Protobuf => protobuf(message.body, config)?,
        Format::Json => FeedJson::parse(message.body).map(Decoded::Json).map_err(|e| Poison::new(Cause::Undecodable, e.to_string()))?,
    };
    match decoded.updates_len() {
        many if many > config.updates_max => Err(too_many(many, config)),
        _ => Ok(decoded),
    }
}

impl Decoded {
    /// Everything but the updates.
    pub(super) fn head(&self) -> &v1::FeedMessage {
        match self {
            Self::Protobuf(message) => message,
            Self::Json(json) | Self::Mapped(json) => json.head(),
        }
    }

    /// How many updates it carries.
    pub(super) fn updates_len(&self) -> usize {
        match self {
            Self::Protobuf(message) => message.updates.len(),
            Self::Json(json) | Self::Mapped(json) => json.updates().len(),
        }
    }
}

enum Format {
    Protobuf,
    Json,
}

/// The table of content types. Parameters (`; charset=utf-8`) are tolerated, an unknown type is poison rather than a guess.
fn format_of(message: &Message<'_>) -> Result<Format, Poison> {
    let Some(content_type) = message.content_type else {
        let first = message.body.iter().find(|byte| !byte.is_ascii_whitespace());
        return Ok(if first == Some(&b'{') { Format::Json } else { Format::Protobuf });
    };
    if is_protobuf(Some(content_type)) {
        return Ok(Format::Protobuf);
    }
    if essence(content_type).eq_ignore_ascii_case("application/json") {
        return Ok(Format::Json);
    }
    Err(Poison::about(Cause::ContentType, content_type, "is neither application/x-protobuf nor application/json"))
}

fn is_protobuf(content_type: Option<&str>) -> bool {
    let names = ["application/x-protobuf", "application/protobuf"];
    content_type.is_some_and(|content_type| names.iter().any(|name| essence(content_type).eq_ignore_ascii_case(name)))
}

/// A content type without its parameters.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

fn protobuf(body: &[u8], config: &IntakeConfig) -> Result<Decoded, Poison> {
    // Two bytes of body can stand for an update of some hundred bytes in memory: count before decoding.
    let counts = count(body).ok_or_else(|| Poison::new(Cause::Undecodable, "not protobuf"))?;
    if counts.updates > config.updates_max {
        return Err(too_many(counts.updates, config));
    }
    if counts.outcomes > OUTCOMES_MAX {
        return Err(Poison::new(Cause::TooLarge, format!("{} outcomes, at most {OUTCOMES_MAX} are taken", counts.outcomes)));
    }
    // Updates are large: a list that grows while it is filled would move each of them twice.
    let mut message = v1::FeedMessage { updates: Vec::with_capacity(counts.updates), ..Default::default() };
    message.merge(body).map_err(|e| Poison::new(Cause::Undecodable, e.to_string()))?;
    Ok(Decoded::Protobuf(message))
}

fn too_many(updates: usize, config: &IntakeConfig) -> Poison {
    Poison::new(Cause::TooManyUpdates, format!("{updates} updates, at most {} are taken", config.updates_max))
}

#[derive(Default)]
struct Counts {
    updates: usize,
    outcomes: usize,
}

/// Counts what `body` would become, without memory. `None` if it is no protobuf message.
fn count(body: &[u8]) -> Option<Counts> {
    let mut counts = Counts::default();
    walk(body, &mut |tag, update| {
        if tag != TAG_UPDATES {
            return Some(());
        }
        counts.updates += 1;
        walk(update, &mut |tag, odds| {
            if tag != TAG_ODDS {
                return Some(());
            }
            walk(odds, &mut |tag, _| {
                counts.outcomes += usize::from(tag == TAG_OUTCOMES);
                Some(())
            })
        })
    })?;
    Some(counts)
}

/// Visits the length-delimited fields of one message, and skips the others.
fn walk<'a>(mut rest: &'a [u8], visit: &mut dyn FnMut(u64, &'a [u8]) -> Option<()>) -> Option<()> {
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let length = match key & 7 {
            0 => {
                varint(&mut rest)?;
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut rest)?).ok()?,
            5 => 4,
            // Groups are not part of the schema, and prost would have to nest for them.
            _ => return None,
        };
        let (field, after) = rest.split_at_checked(length)?;
        rest = after;
        if key & 7 == 2 {
            visit(key >> 3, field)?;
        }
    }
    Some(())
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

const TAG_UPDATES: u64 = 1;
const TAG_ODDS: u64 = 15;
const TAG_OUTCOMES: u64 = 1;

/// Outcomes in all updates of one message. A message with more is poison.
const OUTCOMES_MAX: usize = 20_000;
