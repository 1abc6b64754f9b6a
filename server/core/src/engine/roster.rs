//! The connections of a shard.

use alloc::boxed::Box;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::ConnectionKey;
use super::connection::Connection;

/// All connections of a shard, by slot and by key.
#[derive(Debug, Default)]
pub(super) struct Roster {
    slots: Vec<Option<Box<Connection>>>,
    free: Vec<u32>,
    keys: HashMap<ConnectionKey, u32>,
}

impl Roster {
    pub(super) fn insert(&mut self, connection: Connection) -> u32 {
        let key = connection.key;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize] = Some(Box::new(connection));
        self.keys.insert(key, slot);
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Box<Connection>> {
        let connection = self.slots.get_mut(slot as usize)?.take()?;
        self.keys.remove(&connection.key);
        self.free.push(slot);
        Some(connection)
    }

    pub(super) fn slot(&self, key: ConnectionKey) -> Option<u32> {
        self.keys.get(&key).copied()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Connection> {
        self.slots.get(slot as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Connection> {
        self.slots.get_mut(slot as usize)?.as_deref_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Every connection with its slot.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Connection)> {
        self.slots.iter_mut().enumerate().filter_map(|(slot, connection)| Some((slot as u32, connection.as_deref_mut()?)))
    }

    /// All slots, used or not.
    pub(super) fn slots(&self) -> core::ops::Range<u32> {
        0..self.slots.len() as u32
    }
}
