//! How many connections one client has, so that nobody takes all of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::edge::limit::network_of;
use crate::edge::peers::TrustedPeers;

/// The connections of one worker, by whose they are.
pub(super) struct Crowd {
    /// For each client; 0 means as many as there are.
    max: usize,
    trusted: TrustedPeers,
    counts: RefCell<HashMap<IpAddr, usize>>,
}

/// One connection among those of its client.
pub(super) struct Place {
    crowd: Rc<Crowd>,
    client: IpAddr,
}

impl Crowd {
    pub(super) fn new(max: usize, trusted: TrustedPeers) -> Rc<Self> {
        Rc::new(Self {
            max,
            trusted,
            counts: RefCell::default(),
        })
    }

    /// A place for one more connection; `Err` when its client has too many. Proxies need none: those
    /// that are trusted, and those on this machine.
    pub(super) fn enter(self: &Rc<Self>, peer: Option<SocketAddr>) -> Result<Option<Place>, ()> {
        let address = peer.map(|peer| peer.ip().to_canonical());
        let counted = address.filter(|address| {
            self.max > 0 && !address.is_loopback() && !self.trusted.contains(*address)
        });
        let Some(client) = counted.map(network_of) else {
            return Ok(None);
        };
        let mut counts = self.counts.borrow_mut();
        let count = counts.entry(client).or_default();
        if *count >= self.max {
            return Err(());
        }
        *count += 1;
        let crowd = Rc::clone(self);
        Ok(Some(Place { crowd, client }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts.borrow_mut();
        let left = counts.get_mut(&self.client).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            counts.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(crowd: &Rc<Crowd>, address: &str) -> Result<Option<Place>, ()> {
        crowd.enter(Some(SocketAddr::new(address.parse().unwrap(), 4711)))
    }

    #[test]
    fn a_client_has_so_many_connections_and_no_more() {
        let trusted = TrustedPeers::try_new(&["10.0.0.0/8".to_owned()]).unwrap();
        let crowd = Crowd::new(2, trusted);
        let first = enter(&crowd, "192.0.2.1");
        let _second = enter(&crowd, "::ffff:192.0.2.1");
        assert!(enter(&crowd, "192.0.2.1").is_err());
        let _other = enter(&crowd, "192.0.2.2");
        drop(first);
        assert!(enter(&crowd, "192.0.2.1").is_ok_and(|place| place.is_some()));
        // A network of 64 bits is one client.
        let _one = enter(&crowd, "2001:db8::1");
        let _two = enter(&crowd, "2001:db8::2");
        assert!(enter(&crowd, "2001:db8::3").is_err());
        let _three = enter(&crowd, "2001:db8:0:1::1");
        assert!(crowd.counts.borrow().len() <= 4);
    }

    #[test]
    fn proxies_and_an_unbounded_crowd_need_no_place() {
        let trusted = TrustedPeers::try_new(&["10.0.0.0/8".to_owned()]).unwrap();
        let crowd = Crowd::new(1, trusted.clone());
        for address in ["10.1.2.3", "127.0.0.1", "::1"] {
            let places: Vec<_> = (0..3).map(|_| enter(&crowd, address)).collect();
            assert!(
                places.iter().all(|place| matches!(place, Ok(None))),
                "{address}"
            );
        }
        let unbounded = Crowd::new(0, trusted);
        assert!(matches!(enter(&unbounded, "192.0.2.1"), Ok(None)));
        assert!(unbounded.counts.borrow().is_empty());
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let crowd = Crowd::new(1, TrustedPeers::try_new(&[]).unwrap());
        drop(enter(&crowd, "192.0.2.1"));
        assert!(crowd.counts.borrow().is_empty());
    }
}
