//! Opens the sessions of logins whose passwords were right at the same time, in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::clock::Clock;
use common::ids::UserId;
use common::time::Timestamp;
use store::{BatchResult, BatchWork, Db, StoreError, Tx};

use crate::app::mfa::{self, Challenge};
use crate::domain::account::Account;
use crate::settings::MfaPolicy;
use crate::store::accounts::{self, InForce};
use crate::store::known_addresses;
use crate::store::sessions::{self, NewSession};

/// Admits them.
pub(crate) struct Admissions {
    db: Db,
    clock: Clock,
    challenge_life: Duration,
}

/// A login whose password was right.
pub(crate) struct Admission {
    /// The hash that the password was checked against.
    pub(super) verified_hash: String,
    /// One to put in its place, because its parameters are outdated.
    pub(super) new_hash: Option<String>,
    /// The address to remember, unless it was just now.
    pub(super) address_key: Option<String>,
    /// What to open, unless a second factor is asked for.
    pub(super) session: NewSession,
    pub(super) refresh_hash: String,
}

/// What became of it.
pub(crate) enum Admitted {
    /// The session is open; the account has no second factor.
    Opened(Account),
    /// Nobody is signed in before the second factor was shown.
    Challenged(Challenge),
    /// Disabled meanwhile, or its password was changed.
    Changed,
}

impl BatchWork for Admissions {
    type Request = Admission;
    type Answer = Admitted;
    type Error = StoreError;

    fn db(&self) -> &Db {
        &self.db
    }

    async fn work(&self, requests: &[Admission]) -> BatchResult<Self> {
        let mut tx = self.db.begin().await?;
        let in_force = lock_accounts(&mut tx, requests).await?;
        let mut answers = Vec::with_capacity(requests.len());
        let mut opened = Vec::with_capacity(requests.len());
        for request in requests {
            let admitted = match in_force.get(&request.session.user_id) {
                Some(found) if found.password_hash == request.verified_hash => {
                    self.admit(&mut tx, request, found).await?
                }
                _ => Admitted::Changed,
            };
            if matches!(admitted, Admitted::Opened(_)) {
                opened.push(request);
            }
            answers.push(Ok(admitted));
        }
        open(&mut tx, &opened, self.clock.now()).await?;
        tx.commit().await?;
        Ok(answers)
    }
}

impl Admissions {
    pub(crate) fn new(db: &Db, clock: &Clock, mfa: &MfaPolicy) -> Self {
        Self {
            db: db.clone(),
            clock: clock.clone(),
            challenge_life: mfa.challenge_life,
        }
    }

    async fn admit(
        &self,
        tx: &mut Tx,
        request: &Admission,
        found: &InForce,
    ) -> Result<Admitted, StoreError> {
        let (id, now) = (found.account.id, self.clock.now());
        if let Some(new) = &request.new_hash {
            accounts::update_password_hash(tx, id, &request.verified_hash, new).await?;
        }
        let methods = mfa::methods(found.factors);
        if !methods.is_empty() {
            let life = self.challenge_life;
            let challenge = mfa::challenge::begin(tx, id, methods, (now, life)).await?;
            return Ok(Admitted::Challenged(challenge));
        }
        if let Some(address_key) = &request.address_key {
            known_addresses::remember(tx, id, address_key, now).await?;
        }
        Ok(Admitted::Opened(found.account.clone()))
    }
}

/// The accounts of all requests that are in force, locked in the order of their ids.
async fn lock_accounts(
    tx: &mut Tx,
    requests: &[Admission],
) -> Result<BTreeMap<UserId, InForce>, StoreError> {
    let ids: BTreeSet<UserId> = requests.iter().map(|one| one.session.user_id).collect();
    let ids: Vec<UserId> = ids.into_iter().collect();
    let found = accounts::list_in_force_locked(tx, &ids).await?;
    let by_id = found.into_iter().map(|found| (found.account.id, found));
    Ok(by_id.collect())
}

async fn open(tx: &mut Tx, opened: &[&Admission], now: Timestamp) -> Result<(), StoreError> {
    let sessions: Vec<&NewSession> = opened.iter().map(|one| &one.session).collect();
    let tokens: Vec<_> = opened
        .iter()
        .map(|one| (one.refresh_hash.as_str(), one.session.id))
        .collect();
    sessions::insert_sessions(tx, &sessions).await?;
    sessions::insert_refresh_tokens(tx, &tokens, now).await
}
