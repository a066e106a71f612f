//! Where answers are kept, and who fetches one that is missing while others wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::asked::Asked;
use super::stored::Stored;

/// Most answers to one URI; a client chooses what they differ by.
const MAX_VARIANTS: usize = 16;

/// About what an answer takes; only the size of the cache's own lists depends on it.
const USUAL_BYTES: u64 = 8 * 1024;

type Key = Arc<str>;

/// All kept answers to one URI.
type Variants = Arc<[Arc<Stored>]>;

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Variants> for Bytes {
    fn weight(&self, key: &Key, variants: &Variants) -> u64 {
        let bytes: usize = variants.iter().map(|stored| stored.weight()).sum();
        (key.len() + bytes) as u64
    }
}

type Kept = Cache<Key, Variants, Bytes, std::hash::RandomState>;

/// A URI that is being asked for. It lives as long as somebody does.
#[derive(Default)]
struct Flight {
    users: usize,
    /// Somebody fetches what the others wait for.
    led: bool,
    /// What came was not for others: everybody asks alone.
    open: bool,
    /// How often the URI was changed meanwhile: what was asked for before is not kept.
    changes: u64,
    ended: Arc<Notify>,
}

#[derive(Default)]
struct Inner {
    max_bytes: u64,
    /// Made when the first answer is kept.
    kept: OnceLock<Kept>,
    /// Whoever changes what is kept holds this.
    flights: Mutex<HashMap<Key, Flight>>,
}

/// The kept answers. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Inner>);

/// What to do about a missing answer.
pub(crate) enum Turn {
    /// Fetch it: others wait for it.
    Lead,
    /// Fetch it for oneself.
    Alone,
    /// Somebody fetches it.
    Wait(OwnedNotified),
}

/// The right to ask for a URI and to keep what comes.
pub(crate) struct Ticket {
    shelf: Shelf,
    key: Key,
    changes: u64,
    leads: bool,
}

impl Shelf {
    /// For at most this many bytes; nothing is set aside for them before they are needed.
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self(Arc::new(Inner {
            max_bytes,
            ..Inner::default()
        }))
    }

    /// The answer for such a request, fresh or not.
    pub(crate) fn find(&self, asked: &Asked<'_>) -> Option<Arc<Stored>> {
        let variants = self.0.kept.get()?.get(&asked.key)?;
        variants.iter().find(|stored| stored.is_for(asked)).cloned()
    }

    /// Whether there are other answers to the same URI.
    pub(crate) fn has_others(&self, key: &Key) -> bool {
        let kept = self.0.kept.get();
        kept.is_some_and(|kept| kept.contains_key(key))
    }

    /// Begins to ask for a URI.
    pub(crate) fn ticket(&self, key: &Key) -> Ticket {
        let mut flights = self.flights();
        let flight = flights.entry(Arc::clone(key)).or_default();
        flight.users += 1;
        Ticket {
            shelf: self.clone(),
            key: Arc::clone(key),
            changes: flight.changes,
            leads: false,
        }
    }

    /// Forgets all answers to a URI that has changed, also those that are on their way
    /// (RFC 9111, section 4.4).
    pub(crate) fn invalidate(&self, key: &str) {
        let mut flights = self.flights();
        if let Some(flight) = flights.get_mut(key) {
            flight.changes += 1;
        }
        if let Some(kept) = self.0.kept.get() {
            kept.remove(key);
        }
    }

    /// Whether anything is kept or on its way.
    pub(crate) fn is_in_use(&self) -> bool {
        self.0.kept.get().is_some() || !self.flights().is_empty()
    }

    /// Largest answer that can be kept, in bytes.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.0.max_bytes
    }

    fn flights(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Flight>> {
        self.0
            .flights
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> &Kept {
        self.0.kept.get_or_init(|| {
            let options = OptionsBuilder::new()
                .estimated_items_capacity(
                    usize::try_from(self.0.max_bytes / USUAL_BYTES).unwrap_or(1),
                )
                .weight_capacity(self.0.max_bytes)
                // The bound holds for the whole, not for parts that fill unevenly.
                .shards(1)
                .build()
                .expect("both capacities are given");
            Cache::with_options(
                options,
                Bytes,
                std::hash::RandomState::new(),
                DefaultLifecycle::default(),
            )
        })
    }
}

impl Ticket {
    /// Whose turn it is.
    pub(crate) fn turn(&mut self) -> Turn {
        let mut flights = self.shelf.flights();
        let Some(flight) = flights.get_mut(&self.key) else {
            return Turn::Alone;
        };
        self.changes = flight.changes;
        if flight.open {
            return Turn::Alone;
        }
        if flight.led {
            return Turn::Wait(Arc::clone(&flight.ended).notified_owned());
        }
        flight.led = true;
        self.leads = true;
        Turn::Lead
    }

    /// Keeps an answer, if nothing has changed its URI since it was asked for; says whether it does.
    pub(crate) fn keep(&mut self, stored: Stored) -> bool {
        if !stored.is_fresh() {
            // Those who wait would have to ask about it one after the other.
            self.open();
        }
        let flights = self.shelf.flights();
        let flight = flights.get(&self.key);
        if flight.is_none_or(|flight| flight.changes != self.changes) {
            return false;
        }
        let kept = self.shelf.kept();
        let before = kept.get(&self.key);
        let others = before.iter().flat_map(|variants| variants.iter());
        let others = others.filter(|other| !stored.replaces(other)).cloned();
        let others: Vec<Arc<Stored>> = others.take(MAX_VARIANTS - 1).collect();
        let variants = std::iter::once(Arc::new(stored)).chain(others);
        kept.insert(Arc::clone(&self.key), variants.collect());
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        metrics::gauge!("gateway_cache_bytes").set(kept.weight() as f64);
        true
    }

    /// Forgets an answer that does not hold any more.
    pub(crate) fn forget(&self, stale: &Arc<Stored>) {
        let _changing = self.shelf.flights();
        let Some(kept) = self.shelf.0.kept.get() else {
            return;
        };
        let Some(before) = kept.get(&self.key) else {
            return;
        };
        let others = before.iter().filter(|other| !Arc::ptr_eq(other, stale));
        let others: Variants = others.cloned().collect();
        match others.is_empty() {
            true => {
                kept.remove(&self.key);
            }
            false => kept.insert(Arc::clone(&self.key), others),
        }
    }

    /// Tells those who wait that nothing comes that would be for them.
    pub(crate) fn open(&mut self) {
        if std::mem::take(&mut self.leads) {
            let mut flights = self.shelf.flights();
            if let Some(flight) = flights.get_mut(&self.key) {
                flight.open = true;
                flight.led = false;
                flight.ended.notify_waiters();
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut flights = self.shelf.flights();
        let Some(flight) = flights.get_mut(&self.key) else {
            return;
        };
        if self.leads {
            flight.led = false;
            flight.ended.notify_waiters();
        }
        flight.users -= 1;
        if flight.users == 0 {
            flights.remove(&self.key);
        }
    }
}
