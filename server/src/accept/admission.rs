//! How many connections a node takes, in all and from one address.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use tickwire_proto::v1::ErrorCode;

/// Counts connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admission(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    sessions: AtomicUsize,
    sessions_max: usize,
    /// Connections by address; an address without any has no entry.
    addresses: DashMap<IpAddr, u32>,
    per_address_max: Option<u32>,
}

impl Admission {
    /// Nobody is there yet. `None`: any number from one address.
    pub(crate) fn new(sessions_max: usize, per_address_max: Option<u32>) -> Self {
        Self(Arc::new(Counts { sessions: AtomicUsize::new(0), sessions_max, addresses: DashMap::new(), per_address_max }))
    }

    /// Counts a connection from `address`.
    ///
    /// # Errors
    /// `TooManyConnections`: that address has as many as it may. The newcomer is refused, never an older one.
    pub(crate) fn visitor(&self, address: IpAddr) -> Result<Visitor, ErrorCode> {
        let address = network(address);
        let mut entry = self.0.addresses.entry(address).or_insert(0);
        if self.0.per_address_max.is_some_and(|max| *entry >= max) {
            return Err(ErrorCode::TooManyConnections);
        }
        *entry += 1;
        Ok(Visitor { counts: self.0.clone(), address, session: false })
    }
}

/// One counted connection. Dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Visitor {
    counts: Arc<Counts>,
    address: IpAddr,
    session: bool,
}

impl Visitor {
    /// Counts the connection as a session.
    ///
    /// # Errors
    /// `ServerFull`: the node has as many as it may.
    pub(crate) fn begin_session(&mut self) -> Result<(), ErrorCode> {
        if self.session {
            return Ok(());
        }
        if self.counts.sessions.fetch_add(1, Ordering::Relaxed) >= self.counts.sessions_max {
            self.counts.sessions.fetch_sub(1, Ordering::Relaxed);
            return Err(ErrorCode::ServerFull);
        }
        self.session = true;
        Ok(())
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        if self.session {
            self.counts.sessions.fetch_sub(1, Ordering::Relaxed);
        }
        if let dashmap::Entry::Occupied(mut entry) = self.counts.addresses.entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// What counts as one address: an IPv6 customer has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let admission = Admission::new(100, Some(2));
        let here = IpAddr::from([10, 0, 0, 1]);
        let first = admission.visitor(here).unwrap();
        let _second = admission.visitor(here).unwrap();
        assert_eq!(admission.visitor(here).err(), Some(ErrorCode::TooManyConnections));
        assert!(admission.visitor(IpAddr::from([10, 0, 0, 2])).is_ok());
        drop(first);
        assert!(admission.visitor(here).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let admission = Admission::new(100, Some(1));
        let _first = admission.visitor("2001:db8::1".parse().unwrap()).unwrap();
        assert!(admission.visitor("2001:db8::ffff".parse().unwrap()).is_err());
        assert!(admission.visitor("2001:db8:0:1::1".parse().unwrap()).is_ok());
        assert!(admission.0.addresses.len() == 1, "a refused or ended visit leaves nothing behind");
    }

    #[test]
    fn sessions_are_counted_over_all_addresses() {
        let admission = Admission::new(1, None);
        let (mut first, mut second) = (admission.visitor([10, 0, 0, 1].into()).unwrap(), admission.visitor([10, 0, 0, 2].into()).unwrap());
        assert_eq!((first.begin_session(), first.begin_session()), (Ok(()), Ok(())));
        assert_eq!(second.begin_session(), Err(ErrorCode::ServerFull));
        drop(first);
        assert_eq!(second.begin_session(), Ok(()));
    }
}
