//! Kinds of values: how each stands in JSON.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use core::marker::PhantomData;

use serde_json::Value;

use super::JsonError;
use super::read::{self, Reader};
use super::table::{self, Table, Unit};
use super::write::Writer;
use crate::decimal::Scale;
use crate::v1;

/// How a value is written and read.
pub(crate) trait Kind {
    /// Type of the value in the generated message.
    type Rust;
    /// What it is measured in.
    const UNIT: Unit = Unit::None;

    /// Writes the value.
    fn write(value: &Self::Rust, writer: &mut Writer<'_>);

    /// Reads the value. It is not `null`.
    fn read(value: &Value, reader: &mut Reader) -> Result<Self::Rust, JsonError>;
}

/// A decimal string at the price scale.
pub(crate) struct Price;
/// A decimal string at the quantity scale.
pub(crate) struct Quantity;
/// A string of digits.
pub(crate) struct U64;
/// A number.
pub(crate) struct U32;
/// `true` or `false`.
pub(crate) struct Bool;
/// A string.
pub(crate) struct Text;
/// The name of a value of an enum, or its number if it has no name.
pub(crate) struct Enum<E>(PhantomData<E>);
/// An object.
pub(crate) struct Nested<M>(PhantomData<M>);
/// Bits of `Update.flags`: an array of names; a bit without a name stands as a number.
pub(crate) struct Flags;
/// An object from names to strings of digits.
pub(crate) struct Extras;
/// An object from numbers (as names) to strings.
pub(crate) struct Names;
/// An `InstrumentInfo`: its tick size is at its own price scale.
pub(crate) struct Info;

impl Kind for Price {
    type Rust = i64;
    const UNIT: Unit = Unit::Price;

    fn write(value: &i64, writer: &mut Writer<'_>) {
        writer.decimal(*value, writer.price);
    }

    fn read(value: &Value, reader: &mut Reader) -> Result<i64, JsonError> {
        read_decimal(value, reader.scales.map(|(price, _)| price))
    }
}

impl Kind for Quantity {
    type Rust = i64;
    const UNIT: Unit = Unit::Quantity;

    fn write(value: &i64, writer: &mut Writer<'_>) {
        writer.decimal(*value, writer.quantity);
    }

    fn read(value: &Value, reader: &mut Reader) -> Result<i64, JsonError> {
        read_decimal(value, reader.scales.map(|(_, quantity)| quantity))
    }
}

fn read_decimal(value: &Value, scale: Option<Scale>) -> Result<i64, JsonError> {
    let scale = scale.ok_or_else(|| JsonError::new("belongs to an instrument that was not announced"))?;
    read::decimal(value)?.at(scale).map_err(JsonError::new)
}

impl Kind for U64 {
    type Rust = u64;

    fn write(value: &u64, writer: &mut Writer<'_>) {
        writer.integer_text(*value);
    }

    fn read(value: &Value, _reader: &mut Reader) -> Result<u64, JsonError> {
        read::integer(value)
    }
}

impl Kind for U32 {
    type Rust = u32;

    fn write(value: &u32, writer: &mut Writer<'_>) {
        writer.integer(*value);
    }

    fn read(value: &Value, _reader: &mut Reader) -> Result<u32, JsonError> {
        read::integer(value)
    }
}

impl Kind for Bool {
    type Rust = bool;

    fn write(value: &bool, writer: &mut Writer<'_>) {
        writer.raw(if *value { "true" } else { "false" });
    }

    fn read(value: &Value, _reader: &mut Reader) -> Result<bool, JsonError> {
        value.as_bool().ok_or_else(|| JsonError::new("is neither true nor false"))
    }
}

impl Kind for Text {
    type Rust = String;

    fn write(value: &String, writer: &mut Writer<'_>) {
        writer.text(value);
    }

    fn read(value: &Value, _reader: &mut Reader) -> Result<String, JsonError> {
        read::text(value).map(ToString::to_string)
    }
}

impl<E: SchemaEnum> Kind for Enum<E> {
    type Rust = i32;

    fn write(value: &i32, writer: &mut Writer<'_>) {
        match E::try_from(*value) {
            Ok(known) => writer.text(known.name()),
            Err(_) => writer.integer(*value),
        }
    }

    fn read(value: &Value, reader: &mut Reader) -> Result<i32, JsonError> {
        let Some(name) = value.as_str() else {
            let number = read::integer(value)?;
            return match E::try_from(number) {
                Err(_) if reader.strict => Err(JsonError::new("is not a value of the schema")),
                _ => Ok(number),
            };
        };
        match E::from_name(name) {
            Some(known) => Ok(known.into()),
            None if reader.strict => Err(JsonError::new("is not a name of the schema")),
            None => Ok(0),
        }
    }
}

impl<M: Table> Kind for Nested<M> {
    type Rust = M;

    fn write(value: &M, writer: &mut Writer<'_>) {
        writer.open(b'{');
        value.write(writer);
        writer.close(b'}');
    }

    fn read(value: &Value, reader: &mut Reader) -> Result<M, JsonError> {
        table::read(read::object(value)?, reader)
    }
}

impl Kind for Flags {
    type Rust = u32;

    fn write(value: &u32, writer: &mut Writer<'_>) {
        writer.open(b'[');
        for bit in (0..u32::BITS).map(|shift| 1 << shift).filter(|bit| value & bit != 0) {
            writer.comma();
            match v1::UpdateFlag::try_from(bit as i32) {
                Ok(known) => writer.text(known.as_str_name()),
                Err(_) => writer.integer(bit),
            }
        }
        writer.close(b']');
    }

    fn read(value: &Value, reader: &mut Reader) -> Result<u32, JsonError> {
        let Some(names) = value.as_array() else { return read::integer(value) };
        names.iter().enumerate().try_fold(0, |flags, (index, name)| match name.as_str().map(v1::UpdateFlag::from_str_name) {
            Some(Some(known)) => Ok(flags | known as u32),
            Some(None) if reader.strict => Err(JsonError::new("is not a name of the schema").within_element(index)),
            Some(None) => Ok(flags),
            None => read::integer::<u32>(name).map(|bit| flags | bit).map_err(|error| error.within_element(index)),
        })
    }
}

impl Kind for Extras {
    type Rust = BTreeMap<String, i64>;

    fn write(value: &Self::Rust, writer: &mut Writer<'_>) {
        writer.open(b'{');
        for (name, count) in value {
            writer.key_text(name);
            writer.integer_text(*count);
        }
        writer.close(b'}');
    }

    fn read(value: &Value, _reader: &mut Reader) -> Result<Self::Rust, JsonError> {
        let members = read::object(value)?.iter();
        members.map(|(name, count)| Ok((name.clone(), read::integer(count).map_err(|error| error.within(name))?))).collect()
    }
}

impl Kind for Names {
    type Rust = BTreeMap<u32, String>;

    fn write(value: &Self::Rust, writer: &mut Writer<'_>) {
        writer.open(b'{');
        for (id, name) in value {
            writer.key_text(itoa::Buffer::new().format(*id));
            writer.text(name);
        }
        writer.close(b'}');
    }

    fn read(value: &Value, _reader: &mut Reader) -> Result<Self::Rust, JsonError> {
        let members = read::object(value)?.iter();
        let member = |(id, name): (&String, &Value)| {
            let id = id.parse().map_err(|_| JsonError::new("is not the number of an outcome"))?;
            Ok((id, read::text(name)?.to_string()))
        };
        members.map(|(id, name)| member((id, name)).map_err(|error: JsonError| error.within(id))).collect()
    }
}

impl Kind for Info {
    type Rust = v1::InstrumentInfo;

    fn write(value: &Self::Rust, writer: &mut Writer<'_>) {
        writer.price = Scale::new(value.price_scale).unwrap_or_default();
        Nested::write(value, writer);
    }

    fn read(value: &Value, reader: &mut Reader) -> Result<Self::Rust, JsonError> {
        let places = match read::object(value)?.get("price_scale") {
            None | Some(Value::Null) => 0,
            Some(places) => read::integer(places).map_err(|error| error.within("price_scale"))?,
        };
        let scale = Scale::new(places).ok();
        let before = core::mem::replace(&mut reader.scales, scale.map(|scale| (scale, scale)));
        let info = Nested::read(value, reader);
        reader.scales = before;
        info
    }
}

/// An enum of the schema.
pub(crate) trait SchemaEnum: TryFrom<i32> + Into<i32> {
    /// Its name in the schema.
    fn name(&self) -> &'static str;

    /// The value called `name`.
    fn from_name(name: &str) -> Option<Self>;
}

macro_rules! schema_enum {
    ($($type:ident)*) => {
        $(impl SchemaEnum for v1::$type {
            fn name(&self) -> &'static str {
                self.as_str_name()
            }

            fn from_name(name: &str) -> Option<Self> {
                Self::from_str_name(name)
            }
        })*
    };
}
schema_enum!(AssetClass TradingPhase FeedHealth Side Retry Resume NoticeKind);

impl SchemaEnum for v1::ErrorCode {
    fn name(&self) -> &'static str {
        Self::name(*self)
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::from_str_name(name)
    }
}
