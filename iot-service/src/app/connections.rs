//! The connections to the inner broker, so that those of a device can be ended. An outside broker's
//! are not known here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use common::ids::DeviceId;
use tokio::sync::broadcast;

/// The open connections. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionRegistry(Arc<Mutex<Open>>);

/// One of a registry's connections; no two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId(u64);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_id: HashMap<ConnectionId, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// `None` until it has said who it is.
    device: Option<DeviceId>,
    end: broadcast::Sender<()>,
}

impl ConnectionRegistry {
    /// Enters a connection, which has not said yet whose it is.
    pub(crate) fn enter(&self) -> Connection {
        let end = broadcast::channel(1).0;
        let mut open = self.lock();
        let id = ConnectionId(open.next);
        open.next += 1;
        let entry = Entry {
            device: None,
            end: end.clone(),
        };
        open.by_id.insert(id, entry);
        Connection {
            id,
            end,
            registry: self.clone(),
        }
    }

    /// Says whose a connection claims to be.
    pub(crate) fn claim(&self, id: ConnectionId, device: DeviceId) {
        if let Some(entry) = self.lock().by_id.get_mut(&id) {
            entry.device = Some(device);
        }
    }

    /// Tells the connections of a device to end, whether or not they have proved to be the device's.
    pub(crate) fn end_of(&self, device: DeviceId) {
        // Looks at all: passwords are seldom renewed.
        self.end_where(|entry| entry.device == Some(device));
    }

    /// Tells all connections to end.
    pub(crate) fn end_all(&self) {
        self.end_where(|_entry| true);
    }

    fn end_where(&self, chosen: impl Fn(&Entry) -> bool) {
        for entry in self.lock().by_id.values().filter(|entry| chosen(entry)) {
            // Nobody to hear it is as good.
            let _ = entry.end.send(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().expect("nothing panics under this lock")
    }
}

/// A connection's place in the registry, until it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    id: ConnectionId,
    end: broadcast::Sender<()>,
    registry: ConnectionRegistry,
}

impl Connection {
    pub(crate) const fn id(&self) -> ConnectionId {
        self.id
    }

    /// Hears when the connection is told to end, from now on.
    pub(crate) fn end_signal(&self) -> broadcast::Receiver<()> {
        self.end.subscribe()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.registry.lock().by_id.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broadcast::error::TryRecvError;

    fn device(number: u128) -> DeviceId {
        DeviceId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn the_connections_of_one_device_end_and_no_others() {
        let registry = ConnectionRegistry::default();
        let [first, second, other, unknown] = [(); 4].map(|()| registry.enter());
        registry.claim(first.id(), device(1));
        registry.claim(second.id(), device(1));
        registry.claim(other.id(), device(2));
        let mut signals = [&first, &second, &other, &unknown].map(Connection::end_signal);

        registry.end_of(device(1));
        let heard = signals.each_mut().map(broadcast::Receiver::try_recv);
        let silent = Err(TryRecvError::Empty);
        assert_eq!(heard, [Ok(()), Ok(()), silent.clone(), silent]);

        registry.end_all();
        assert!(
            signals
                .each_mut()
                .iter_mut()
                .all(|signal| signal.try_recv() == Ok(()))
        );
    }

    #[test]
    fn a_connection_that_ended_is_forgotten() {
        let registry = ConnectionRegistry::default();
        let connection = registry.enter();
        let id = connection.id();
        drop(connection);
        registry.claim(id, device(1));
        assert!(registry.lock().by_id.is_empty());
    }
}
