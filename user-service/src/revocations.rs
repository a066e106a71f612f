//! The list of what was revoked lately, as this process knows it: read from the database once a
//! second, and at once after a revocation of its own; handed to the other services when they ask.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::auth::{MAX_TOKEN_LIFE, Revocation, Revoked, TokenVerifier};
use common::clock::Clock;
use common::error::ErrorChain;
use common::shutdown::Shutdown;
use common::time::Timestamp;
use store::{Db, StoreError, Tx};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::store::revocations;

/// Between two looks at what other replicas revoked.
const INTERVAL: Duration = Duration::from_secs(1);
/// A transaction may take this long from its time stamp to its commit (the database ends longer
/// ones), so each look goes this far back behind the one before.
const OVERLAP: Duration = Duration::from_secs(60);

/// The list. Clones share it.
#[derive(Clone)]
pub(crate) struct RevocationList(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Clock,
    /// This service's own, which learns first.
    verifier: TokenVerifier,
    /// Cursors of another process mean nothing here.
    instance: String,
    known: Mutex<Known>,
    wake: Arc<Notify>,
}

#[derive(Default)]
struct Known {
    /// In the order in which this process learnt of them; numbers are never used again.
    in_order: BTreeMap<u64, Revocation>,
    known: HashSet<Revoked>,
    last_number: u64,
    read_at: Option<Timestamp>,
}

impl RevocationList {
    pub(crate) fn new(db: Db, clock: Clock, verifier: TokenVerifier) -> Self {
        Self(Arc::new(Inner {
            db,
            clock,
            verifier,
            instance: Uuid::new_v4().simple().to_string(),
            known: Mutex::default(),
            wake: Arc::default(),
        }))
    }

    /// Makes the list learn at once what the transaction revokes.
    pub(crate) fn follows(&self, tx: &mut Tx) {
        tx.wake_on_commit(&self.0.wake);
    }

    /// Reads what was revoked since the last time.
    pub(crate) async fn reload(&self) -> Result<(), StoreError> {
        let now = self.0.clock.now();
        let oldest = now.minus(MAX_TOKEN_LIFE);
        let since = self.known().read_at.map(|read| read.minus(OVERLAP));
        let since = since.unwrap_or(oldest).max(oldest);
        let mut tx = self.0.db.read().await?;
        let read = revocations::list_since(&mut tx, since, oldest).await?;
        drop(tx);
        // The verifier before the cursor: whoever is told finds it refused here as well.
        self.0.verifier.revocations().learn(&read, oldest);
        let mut known = self.known();
        known.add(read);
        known.forget(oldest);
        known.read_at = Some(now);
        Ok(())
    }

    /// What was learnt after `cursor`, or everything for a cursor of another process, and the next
    /// cursor.
    pub(crate) fn after(&self, cursor: Option<&str>) -> (String, Vec<Revocation>) {
        let number = cursor.and_then(|cursor| {
            let (instance, number) = cursor.split_once('.')?;
            number.parse().ok().filter(|_| instance == self.0.instance)
        });
        let known = self.known();
        let next = format!("{}.{}", self.0.instance, known.last_number);
        let news = known
            .in_order
            .range(number.map_or(0, |number: u64| number.saturating_add(1))..);
        (
            next,
            news.map(|(_, revocation)| revocation.clone()).collect(),
        )
    }

    /// Reads again and again until the shutdown.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        while !shutdown.is_triggered() {
            if let Err(error) = self.reload().await {
                let error = ErrorChain(&error);
                tracing::warn!(%error, "what was revoked could not be read");
            }
            tokio::select! {
                () = shutdown.triggered() => {}
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn add(&mut self, read: Vec<Revocation>) {
        for revocation in read {
            if self.known.insert(revocation.revoked.clone()) {
                self.last_number += 1;
                self.in_order.insert(self.last_number, revocation);
            }
        }
    }

    fn forget(&mut self, oldest: Timestamp) {
        let known = &mut self.known;
        self.in_order.retain(|_, revocation| {
            let kept = revocation.at >= oldest;
            if !kept {
                known.remove(&revocation.revoked);
            }
            kept
        });
    }
}
