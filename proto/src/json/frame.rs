//! Frames of the session as JSON, for reading. Writing splices: see [`crate::wire`].

use alloc::vec::Vec;

use serde_json::Value;

use super::JsonError;
use super::kind::{Kind, Nested};
use super::read::{self, Reader};
use super::table;
use crate::decimal::Scale;
use crate::v1;

/// Reads a client's frame; its command is `None` if there is none that this version knows.
pub(crate) fn decode_client(bytes: &[u8]) -> Result<v1::ClientFrame, JsonError> {
    table::read(&read::parse_object(bytes)?, &mut Reader::lenient(None))
}

/// Reads a server's frame. Infos of the frame itself count before `scales`.
pub(crate) fn decode_server(bytes: &[u8], scales: &dyn Fn(u32) -> Option<(Scale, Scale)>) -> Result<v1::ServerFrame, JsonError> {
    let object = read::parse_object(bytes)?;
    let mut frame: v1::ServerFrame = table::read(&object, &mut Reader::lenient(None))?;
    let Some(updates) = object.get("updates").filter(|updates| !updates.is_null()) else { return Ok(frame) };

    // The last info of an id wins. There are few: one for each instrument that is new to the client.
    let announced = |id: u32| {
        let info = frame.infos.iter().rev().find(|info| info.id == id)?;
        Some((Scale::new(info.price_scale).ok()?, Scale::new(info.quantity_scale).ok()?))
    };
    let read_one = |value: &Value| {
        let id = value.get("id").map_or(Ok(0), read::integer).map_err(|error| error.within("id"))?;
        let mut update = read_update(value, &mut Reader::lenient(announced(id).or_else(|| scales(id))))?;
        // The symbol is there for people and scripts; the id says the same, as in protobuf.
        update.symbol.clear();
        Ok(update)
    };
    frame.updates = read::array(updates)
        .map_err(|error| error.within("updates"))?
        .iter()
        .enumerate()
        .map(|(index, value)| read_one(value).map_err(|error: JsonError| error.within_element(index).within("updates")))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(frame)
}

/// Reads an update: what was `null` in its body is in `clear`, in order.
pub(crate) fn read_update(value: &Value, reader: &mut Reader) -> Result<v1::Update, JsonError> {
    let mut update: v1::Update = Nested::read(value, reader)?;
    reader.clear.sort_unstable();
    reader.clear.dedup();
    update.clear = core::mem::take(&mut reader.clear);
    Ok(update)
}
