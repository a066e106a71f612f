//! The registry itself: what is registered, in the database, and the present state of it in memory.
//!
//! Every change is committed before it is answered and before it is routed by. A gateway that took
//! a change routes by it at once; the others learn of it by asking the database for the number of the
//! last change.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ::store::{Db, StoreError, Tx};
use common::clock::Clock;
use common::time::Timestamp;
use tokio::sync::{Mutex, watch};

use super::entry::{Check, CheckKind, CheckStatus, Entry, Registration, output};
use super::preservation::given_more_time;
use super::store::{self, Change, ChangeKind};
use crate::directory::{Address, AddressGuard, Directory, Member};

/// Most services, and instances of all of them.
const MAX_SERVICES: i64 = 1_000;
const MAX_INSTANCES: i64 = 10_000;

/// Changes that are handed out at a time.
const CHANGES_AT_A_TIME: i64 = 500;

/// Everything that is registered, as of one change.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The number of the last change in it.
    pub(crate) index: u64,
    /// By service and id.
    pub(crate) entries: Vec<Entry>,
}

impl View {
    /// The instances of one service.
    pub(crate) fn of<'v>(&'v self, service: &'v str) -> impl Iterator<Item = &'v Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.service == service)
    }
}

/// Why something could not be registered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegisterError {
    #[error("the registry is full")]
    Full,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The registry. It is shared by everything that runs in this gateway.
pub(crate) struct Registry {
    pub(crate) guard: Arc<AddressGuard>,
    db: Db,
    clock: Clock,
    directory: Directory,
    view: RwLock<Arc<View>>,
    changed: watch::Sender<u64>,
    refreshing: Mutex<()>,
    preserving: AtomicBool,
}

impl Registry {
    /// Opens the registry in this database and tells the directory what is in it.
    pub(crate) async fn open(
        db: Db,
        clock: Clock,
        guard: Arc<AddressGuard>,
        directory: Directory,
    ) -> Result<Self, StoreError> {
        let registry = Self {
            guard,
            db,
            clock,
            directory,
            view: RwLock::default(),
            changed: watch::Sender::new(0),
            refreshing: Mutex::default(),
            preserving: AtomicBool::new(false),
        };
        registry.refresh().await?;
        Ok(registry)
    }

    /// What is registered now.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is registered, of one service or of all, with leases as they are at this moment: the
    /// view does not follow heartbeats.
    pub(crate) async fn read(&self, service: Option<&str>) -> Result<View, StoreError> {
        let mut tx = self.db.read().await?;
        let index = store::current_index(&mut tx).await?;
        let entries = store::list(&mut tx, service, None).await?;
        tx.commit().await?;
        Ok(View { index, entries })
    }

    /// Tells the number of each change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) const fn db(&self) -> &Db {
        &self.db
    }

    /// Takes over what is in the database, if it is newer.
    pub(crate) async fn refresh(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.refreshing.lock().await;
        let mut tx = self.db.read().await?;
        let index = store::current_index(&mut tx).await?;
        if index <= self.view().index {
            return Ok(());
        }
        let entries = store::list(&mut tx, None, None).await?;
        tx.commit().await?;
        self.directory.replace(&self.members(&entries));
        let view = Arc::new(View { index, entries });
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
        self.changed.send_replace(index);
        Ok(())
    }

    fn members(&self, entries: &[Entry]) -> BTreeMap<String, Vec<Member>> {
        let mut lists: BTreeMap<String, Vec<Member>> = BTreeMap::new();
        for entry in entries {
            // It was read when it was registered.
            let Ok(address) = Address::parse(&entry.base_url) else {
                continue;
            };
            lists
                .entry(entry.service.clone())
                .or_default()
                .push(Member {
                    id: entry.instance_id.clone(),
                    address: address.guarded_by(&self.guard),
                    weight: entry.weight,
                    status: entry.status(),
                });
        }
        lists
    }

    /// Registers an instance, or takes over what is new about it; repeating it changes nothing but
    /// the lease. Gives the entry, and whether it is a new one.
    pub(crate) async fn register(
        &self,
        input: &Registration,
        by: &str,
    ) -> Result<(Entry, bool), RegisterError> {
        let (service, id) = (input.service.as_str(), input.instance_id.as_str());
        let mut tx = self.db.begin().await?;
        let known = store::find(&mut tx, service, id).await?;
        match &known {
            Some(entry) if is_same(entry, input) => {
                if let Some((ttl, _)) = entry.lease() {
                    let expires_at = self.clock.now().plus(ttl);
                    store::renew(&mut tx, service, id, expires_at).await?;
                }
            }
            _ => self.write(&mut tx, input, known.as_ref(), by).await?,
        }
        let entry = store::find(&mut tx, service, id).await?;
        tx.commit().await?;
        self.refresh().await?;
        // Written in this transaction.
        let entry = entry.ok_or(RegisterError::Full)?;
        Ok((entry, known.is_none()))
    }

    async fn write(
        &self,
        tx: &mut Tx,
        input: &Registration,
        known: Option<&Entry>,
        by: &str,
    ) -> Result<(), RegisterError> {
        let key = (input.service.as_str(), input.instance_id.as_str());
        let now = self.clock.now();
        let kind = match known {
            Some(_) => ChangeKind::Changed,
            None => ChangeKind::Registered,
        };
        // First of all: its lock makes those who register at the same time wait for each other.
        let index = store::record(tx, kind, key, None, now).await?;
        let (services, instances) = store::count_others(tx, key.0).await?;
        if known.is_none() && (services >= MAX_SERVICES || instances >= MAX_INSTANCES) {
            return Err(RegisterError::Full);
        }
        store::upsert_instance(tx, input, by, index, now).await?;
        let moved = known.is_none_or(|entry| entry.base_url != input.base_url);
        let earlier = known.map_or(&[][..], |entry| &entry.checks);
        let since = store::critical_since(tx, key.0, key.1).await?;
        for check in earlier {
            if !input.checks.iter().any(|one| one.id == check.id) {
                store::delete_check(tx, key, &check.id).await?;
            }
        }
        for check in &input.checks {
            let same = earlier
                .iter()
                .find(|one| one.id == check.id && one.asks_the_same(check));
            let mut check = match same.filter(|_| !moved) {
                Some(known) => known.clone(),
                None => check.clone(),
            };
            check.change_index = index;
            if check.kind != CheckKind::Http && check.status != CheckStatus::Critical {
                check.expires_at = Some(now.plus(check.period));
            }
            let critical = (check.status == CheckStatus::Critical)
                .then(|| since.get(&check.id).copied().unwrap_or(now));
            store::upsert_check(tx, key, &check, critical).await?;
        }
        Ok(())
    }

    /// Renews the lease of an instance; `None` when there is no such instance, or it has no lease.
    pub(crate) async fn heartbeat(
        &self,
        service: &str,
        id: &str,
    ) -> Result<Option<(Duration, Timestamp)>, StoreError> {
        let ttl = {
            let view = self.view();
            let entry = view.of(service).find(|entry| entry.instance_id == id);
            entry.and_then(Entry::lease).map(|(ttl, _)| ttl)
        };
        let Some(ttl) = ttl else {
            return Ok(None);
        };
        let expires_at = self.clock.now().plus(ttl);
        let mut tx = self.db.begin().await?;
        let renewed = store::renew(&mut tx, service, id, expires_at).await?;
        tx.commit().await?;
        Ok(renewed.then_some((ttl, expires_at)))
    }

    /// Removes an instance, or all instances of a service; gives how many there were. Requests
    /// under way at them end as they would have.
    pub(crate) async fn deregister(
        &self,
        service: &str,
        id: Option<&str>,
    ) -> Result<usize, StoreError> {
        let mut tx = self.db.begin().await?;
        let mut count = 0;
        for entry in store::list(&mut tx, Some(service), id).await? {
            count += usize::from(
                self.remove(&mut tx, &entry, ChangeKind::Deregistered)
                    .await?,
            );
        }
        tx.commit().await?;
        self.refresh().await?;
        Ok(count)
    }

    /// The services that have an instance with this id.
    pub(crate) fn services_of(&self, id: &str) -> Vec<String> {
        let view = self.view();
        let same = view.entries.iter().filter(|entry| entry.instance_id == id);
        same.map(|entry| entry.service.clone()).collect()
    }

    async fn remove(
        &self,
        tx: &mut Tx,
        entry: &Entry,
        kind: ChangeKind,
    ) -> Result<bool, StoreError> {
        let key = (entry.service.as_str(), entry.instance_id.as_str());
        let removed = store::delete_instance(tx, key.0, key.1).await?;
        if removed {
            store::record(tx, kind, key, None, self.clock.now()).await?;
        }
        Ok(removed)
    }

    /// What an instance tells of itself through a TTL check; `false` when there is no such check.
    pub(crate) async fn told(
        &self,
        check_id: &str,
        status: CheckStatus,
        text: &str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.db.begin().await?;
        let tellers = store::tellers_of(&mut tx, check_id).await?;
        for (service, id) in &tellers {
            self.settle(&mut tx, (service, id), check_id, (status, text))
                .await?;
        }
        tx.commit().await?;
        self.refresh().await?;
        Ok(!tellers.is_empty())
    }

    /// What a check that this gateway makes has found.
    pub(super) async fn found(
        &self,
        key: (&str, &str),
        check_id: &str,
        verdict: (CheckStatus, &str),
    ) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        self.settle(&mut tx, key, check_id, verdict).await?;
        tx.commit().await?;
        self.refresh().await
    }

    /// Writes down a verdict. Only one that differs from the last one is a change.
    async fn settle(
        &self,
        tx: &mut Tx,
        key: (&str, &str),
        check_id: &str,
        (status, text): (CheckStatus, &str),
    ) -> Result<(), StoreError> {
        let Some(mut entry) = store::find(tx, key.0, key.1).await? else {
            return Ok(());
        };
        let now = self.clock.now();
        let since = store::critical_since(tx, key.0, key.1).await?;
        let Some(place) = entry.checks.iter().position(|check| check.id == check_id) else {
            return Ok(());
        };
        let Some(check) = entry.checks.get_mut(place) else {
            return Ok(());
        };
        let text = output(text);
        let turned = check.status != status || check.output != text;
        check.status = status;
        check.output = text;
        if check.kind == CheckKind::Ttl {
            check.expires_at = (status != CheckStatus::Critical).then(|| now.plus(check.period));
        }
        let critical =
            (status == CheckStatus::Critical).then(|| since.get(check_id).copied().unwrap_or(now));
        let mut check = check.clone();
        if turned {
            let status = Some(entry.status());
            check.change_index = store::record(tx, ChangeKind::Status, key, status, now).await?;
        }
        store::upsert_check(tx, key, &check, critical).await
    }

    /// Removes instances whose lease has run out and turns checks critical that were not told in
    /// time. What ran out before `watching_since` plus its own period is left alone: while no gateway
    /// was there to hear it, nobody could have renewed anything. When nearly all leases of many are not
    /// renewed, each is given its time once more.
    pub(super) async fn sweep(&self, watching_since: Timestamp) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut tx = self.db.glance().await?;
        let mut due = store::due(&mut tx, now).await?;
        let leases = store::leases_if_due(&mut tx, now).await?;
        drop(tx);
        let spared = given_more_time(&leases, now);
        self.tell_of_preservation(!spared.is_empty());
        due.retain(|instance| !spared.contains(instance));
        if due.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        for (service, id) in &due {
            self.sweep_one(&mut tx, (service, id), watching_since, now)
                .await?;
        }
        tx.commit().await?;
        self.refresh().await
    }

    fn tell_of_preservation(&self, preserving: bool) {
        if preserving == self.preserving.swap(preserving, Ordering::Relaxed) {
            return;
        }
        metrics::gauge!("gateway_registry_self_preservation").set(f64::from(u8::from(preserving)));
        match preserving {
            true => tracing::warn!("nearly all leases are not renewed, and are given more time"),
            false => tracing::info!("leases end in their time again"),
        }
    }

    async fn sweep_one(
        &self,
        tx: &mut Tx,
        key: (&str, &str),
        watching_since: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(entry) = store::find(tx, key.0, key.1).await? else {
            return Ok(());
        };
        let since = store::critical_since(tx, key.0, key.1).await?;
        let silent = |check: &Check| {
            check.expires_at.is_some_and(|expires| expires <= now)
                && watching_since.plus(check.period) <= now
        };
        let hopeless = |check: &Check| match (check.remove_after, since.get(&check.id)) {
            (Some(after), Some(since)) => since.plus(after) <= now,
            _ => false,
        };
        let gone = |check: &Check| match check.kind {
            CheckKind::Lease => silent(check),
            CheckKind::Ttl | CheckKind::Http => hopeless(check),
        };
        if entry.checks.iter().any(gone) {
            tracing::warn!(
                service = key.0,
                instance.id = key.1,
                "an instance was not heard of in time"
            );
            self.remove(tx, &entry, ChangeKind::Expired).await?;
            return Ok(());
        }
        for check in entry.checks.iter().filter(|check| silent(check)) {
            let verdict = (CheckStatus::Critical, "no word within its time");
            self.settle(tx, key, &check.id, verdict).await?;
        }
        Ok(())
    }

    /// Some of the changes after `index`, oldest first; `None` when not all of them are kept.
    pub(crate) async fn changes_after(
        &self,
        index: u64,
    ) -> Result<Option<Vec<Change>>, StoreError> {
        let mut tx = self.db.read().await?;
        let changes = store::changes_after(&mut tx, index, CHANGES_AT_A_TIME).await?;
        tx.commit().await?;
        Ok(changes)
    }
}

/// Whether registering this again says nothing new.
fn is_same(entry: &Entry, input: &Registration) -> bool {
    let checks = entry.checks.len() == input.checks.len()
        && input.checks.iter().all(|check| {
            let mut known = entry.checks.iter();
            known
                .any(|one| one.id == check.id && one.name == check.name && one.asks_the_same(check))
        });
    checks
        && entry.base_url == input.base_url
        && entry.metadata == input.metadata
        && entry.tags == input.tags
        && entry.weight == input.weight
}
