//! Field tables: each message of the schema says once what its fields are called and how they stand in JSON, for writing and reading.

use alloc::vec::Vec;

use serde_json::{Map, Value};

use super::JsonError;
use super::kind::Kind;
use super::read::{self, Reader};
use super::write::Writer;

/// A message with a field table, written by [`table!`].
pub(crate) trait Table: Default {
    /// What is known about each field, apart from the choices of a oneof.
    const FIELDS: &'static [Field];

    /// Writes the members, without brackets.
    fn write(&self, writer: &mut Writer<'_>);

    /// Reads the member that is field `number`.
    fn read_field(&mut self, number: u32, value: &Value, reader: &mut Reader) -> Result<(), JsonError>;

    /// Reads a member that is no field, but may be a choice of the oneof.
    fn read_choice(&mut self, name: &str, value: &Value, reader: &mut Reader) -> Result<(), JsonError>;
}

/// One row of a field table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// Number in the schema.
    pub(crate) number: u32,
    /// Name in the schema and in JSON.
    pub(crate) name: &'static str,
    /// What its value is measured in.
    pub(crate) unit: Unit,
    /// Whether `null` clears it.
    pub(crate) clears: bool,
}

/// What a value is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Not a decimal.
    None,
    /// A decimal at the price scale.
    Price,
    /// A decimal at the quantity scale.
    Quantity,
    /// Outcomes, whose fields have units of their own.
    Outcomes,
}

/// Reads a message from the members of an object. Unknown members are skipped.
pub(crate) fn read<T: Table>(object: &Map<alloc::string::String, Value>, reader: &mut Reader) -> Result<T, JsonError> {
    let mut message = T::default();
    for (name, value) in object {
        let field = T::FIELDS.iter().find(|field| field.name == name);
        let result = match field {
            Some(field) if value.is_null() && field.clears => {
                reader.clear.push(field.number);
                Ok(())
            }
            _ if value.is_null() => Ok(()),
            Some(field) => message.read_field(field.number, value, reader),
            None => message.read_choice(name, value, reader),
        };
        result.map_err(|error| error.within(name))?;
    }
    Ok(message)
}

/// The choices of a oneof, written by [`choice!`].
pub(crate) trait Choice: Sized {
    /// Writes the member that the choice is.
    fn write(&self, writer: &mut Writer<'_>);

    /// Reads the choice called `name`, or `None` if there is no such choice.
    fn read(name: &str, value: &Value, reader: &mut Reader) -> Result<Option<Self>, JsonError>;
}

/// Puts a choice that was read into its field.
pub(crate) fn choose<C: Choice>(into: &mut Option<C>, name: &str, value: &Value, reader: &mut Reader) -> Result<(), JsonError> {
    let Some(choice) = C::read(name, value, reader)? else { return Ok(()) };
    match into.replace(choice) {
        None => Ok(()),
        Some(_) => Err(JsonError::new("stands beside another of which only one may be given")),
    }
}

/// How a field is present or absent.
pub(crate) trait Rule<K: Kind> {
    /// Type of the field in the generated message.
    type Rust;
    /// Whether `null` clears it.
    const CLEARS: bool = false;
    /// What it is measured in.
    const UNIT: Unit = K::UNIT;

    /// Writes the member, if it is present. `key` is `,"name":`.
    fn write(value: &Self::Rust, key: &'static str, number: u32, writer: &mut Writer<'_>);

    /// Reads the member into its field.
    fn read(into: &mut Self::Rust, value: &Value, reader: &mut Reader) -> Result<(), JsonError>;
}

/// Absent, set, or cleared.
pub(crate) struct Optional;
/// Always written; default when absent.
pub(crate) struct Always;
/// Written unless it has its default.
pub(crate) struct Plain;
/// A map that merges: as [`Plain`], but `null` clears it.
pub(crate) struct Merged;
/// An array, left out when empty.
pub(crate) struct List;

impl<K: Kind> Rule<K> for Optional {
    type Rust = Option<K::Rust>;
    const CLEARS: bool = true;

    fn write(value: &Self::Rust, key: &'static str, number: u32, writer: &mut Writer<'_>) {
        match value {
            Some(value) => {
                writer.key(key);
                K::write(value, writer);
            }
            None => write_null(key, number, writer),
        }
    }

    fn read(into: &mut Self::Rust, value: &Value, reader: &mut Reader) -> Result<(), JsonError> {
        *into = Some(K::read(value, reader)?);
        Ok(())
    }
}

impl<K: Kind> Rule<K> for Always {
    type Rust = K::Rust;

    fn write(value: &Self::Rust, key: &'static str, _number: u32, writer: &mut Writer<'_>) {
        writer.key(key);
        K::write(value, writer);
    }

    fn read(into: &mut Self::Rust, value: &Value, reader: &mut Reader) -> Result<(), JsonError> {
        *into = K::read(value, reader)?;
        Ok(())
    }
}

impl<K: Kind<Rust: Default + PartialEq>> Rule<K> for Plain {
    type Rust = K::Rust;

    fn write(value: &Self::Rust, key: &'static str, number: u32, writer: &mut Writer<'_>) {
        if *value != K::Rust::default() {
            <Always as Rule<K>>::write(value, key, number, writer);
        }
    }

    fn read(into: &mut Self::Rust, value: &Value, reader: &mut Reader) -> Result<(), JsonError> {
        <Always as Rule<K>>::read(into, value, reader)
    }
}

impl<K: Kind<Rust: Default + PartialEq>> Rule<K> for Merged {
    type Rust = K::Rust;
    const CLEARS: bool = true;

    fn write(value: &Self::Rust, key: &'static str, number: u32, writer: &mut Writer<'_>) {
        if *value == K::Rust::default() {
            write_null(key, number, writer);
        } else {
            <Always as Rule<K>>::write(value, key, number, writer);
        }
    }

    fn read(into: &mut Self::Rust, value: &Value, reader: &mut Reader) -> Result<(), JsonError> {
        <Always as Rule<K>>::read(into, value, reader)
    }
}

impl<K: Kind> Rule<K> for List {
    type Rust = Vec<K::Rust>;

    fn write(value: &Self::Rust, key: &'static str, _number: u32, writer: &mut Writer<'_>) {
        if value.is_empty() {
            return;
        }
        writer.key(key);
        writer.open(b'[');
        for element in value {
            writer.comma();
            K::write(element, writer);
        }
        writer.close(b']');
    }

    fn read(into: &mut Self::Rust, value: &Value, reader: &mut Reader) -> Result<(), JsonError> {
        let elements = read::array(value)?;
        into.reserve(elements.len());
        for (index, element) in elements.iter().enumerate() {
            into.push(K::read(element, reader).map_err(|error| error.within_element(index))?);
        }
        Ok(())
    }
}

/// Writes `null` if the field is cleared.
pub(crate) fn write_null(key: &'static str, number: u32, writer: &mut Writer<'_>) {
    if writer.cleared & (1 << number) != 0 {
        writer.key(key);
        writer.raw("null");
    }
}

/// Writes [`Table`] for a message: `number "name" field: Rule Kind,` for each field, and `choice field: Type` for its oneof.
macro_rules! table {
    ($type:ty { $($number:literal $name:literal $field:ident: $rule:ident $kind:ty,)* } $(choice $choice:ident)?) => {
        impl $crate::json::table::Table for $type {
            const FIELDS: &'static [$crate::json::table::Field] = &[$($crate::json::table::Field {
                number: $number,
                name: $name,
                unit: <$rule as $crate::json::table::Rule<$kind>>::UNIT,
                clears: <$rule as $crate::json::table::Rule<$kind>>::CLEARS,
            }),*];

            fn write(&self, writer: &mut $crate::json::write::Writer<'_>) {
                $(<$rule as $crate::json::table::Rule<$kind>>::write(&self.$field, concat!(",\"", $name, "\":"), $number, writer);)*
                $(if let Some(choice) = &self.$choice {
                    $crate::json::table::Choice::write(choice, writer);
                })?
            }

            fn read_field(
                &mut self,
                number: u32,
                value: &serde_json::Value,
                reader: &mut $crate::json::read::Reader,
            ) -> Result<(), $crate::json::JsonError> {
                match number {
                    $($number => <$rule as $crate::json::table::Rule<$kind>>::read(&mut self.$field, value, reader),)*
                    _ => Ok(()),
                }
            }

            fn read_choice(
                &mut self,
                name: &str,
                value: &serde_json::Value,
                reader: &mut $crate::json::read::Reader,
            ) -> Result<(), $crate::json::JsonError> {
                $(return $crate::json::table::choose(&mut self.$choice, name, value, reader);)?
                #[allow(unreachable_code)]
                {
                    let _ = (name, value, reader);
                    Ok(())
                }
            }
        }
    };
}
pub(crate) use table;

/// Writes [`Choice`] for a oneof: `"name" Variant: Kind,` for each of its choices.
macro_rules! choice {
    ($type:ty { $($name:literal $variant:ident: $kind:ty,)* }) => {
        impl $crate::json::table::Choice for $type {
            fn write(&self, writer: &mut $crate::json::write::Writer<'_>) {
                match self {
                    $(Self::$variant(value) => {
                        writer.key(concat!(",\"", $name, "\":"));
                        <$kind as $crate::json::kind::Kind>::write(value, writer);
                    })*
                }
            }

            fn read(
                name: &str,
                value: &serde_json::Value,
                reader: &mut $crate::json::read::Reader,
            ) -> Result<Option<Self>, $crate::json::JsonError> {
                match name {
                    $($name => Ok(Some(Self::$variant(<$kind as $crate::json::kind::Kind>::read(value, reader)?))),)*
                    _ => Ok(None),
                }
            }
        }
    };
}
pub(crate) use choice;
