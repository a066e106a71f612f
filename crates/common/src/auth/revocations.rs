//! Tokens that are refused before they expire.
//!
//! A token names its session and the version of its account. user-service keeps a short list of
//! sessions that were ended and of accounts whose rights were changed, as far back as a token can
//! live; every process has a copy of it, and looking at it takes no lock, no database and no network.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use super::keys::JwkSet;
use super::principal::Principal;
use crate::time::Timestamp;

/// No token lives longer; user-service's settings hold it, with room for clocks that differ.
pub const MAX_TOKEN_LIFE: Duration = Duration::from_secs(900 + 60);

/// What was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Revoked {
    /// Every token of this session, or of this API key.
    Session(String),
    /// Tokens made from an account before it had this version.
    Account {
        /// The account.
        id: String,
        /// Tokens made from this version on are good.
        version: i64,
    },
}

/// What was revoked, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Revocation {
    /// What was revoked.
    pub revoked: Revoked,
    /// When; it may be forgotten once no token from before can live.
    pub at: Timestamp,
}

/// What user-service answers to whoever keeps a copy of the list.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RevocationsPage {
    /// To be sent with the next question, which then tells only what came after.
    pub cursor: String,
    /// What came after the cursor that was sent, or everything.
    pub revocations: Vec<Revocation>,
    /// The keys with which tokens verify now.
    pub keys: JwkSet,
}

/// The copy of one process. Clones share it.
#[derive(Clone, Default)]
pub struct Revocations(Arc<ArcSwap<Snapshot>>);

#[derive(Clone, Debug, Default)]
struct Snapshot {
    sessions: HashMap<String, Timestamp>,
    accounts: HashMap<String, (i64, Timestamp)>,
}

impl Revocations {
    /// Whether the caller's token was revoked.
    #[must_use]
    pub fn cover(&self, caller: &Principal) -> bool {
        let snapshot = self.0.load();
        let session = caller.session.as_deref();
        let ended = session.is_some_and(|session| snapshot.sessions.contains_key(session));
        let account = snapshot.accounts.get(&caller.subject);
        ended || account.is_some_and(|(version, _)| caller.account_version < *version)
    }

    /// Adds revocations, and forgets those from before `forget_before`.
    pub fn learn(&self, revocations: &[Revocation], forget_before: Timestamp) {
        let present = self.0.load();
        let outdated = present.sessions.values().any(|at| *at < forget_before)
            || present.accounts.values().any(|(_, at)| *at < forget_before);
        if revocations.is_empty() && !outdated {
            return;
        }
        // Two who learn at once both succeed: what the other added is added to.
        self.0.rcu(|present| {
            let mut next = Snapshot::clone(present);
            for revocation in revocations {
                next.add(revocation);
            }
            next.sessions.retain(|_, at| *at >= forget_before);
            next.accounts.retain(|_, (_, at)| *at >= forget_before);
            next
        });
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let snapshot = self.0.load();
        snapshot.sessions.len() + snapshot.accounts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Snapshot {
    fn add(&mut self, revocation: &Revocation) {
        let at = revocation.at;
        match &revocation.revoked {
            Revoked::Session(session) => {
                self.sessions.insert(session.clone(), at);
            }
            Revoked::Account { id, version } => {
                let known = self.accounts.entry(id.clone()).or_insert((*version, at));
                *known = (known.0.max(*version), known.1.max(at));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::principal::{StoreScope, TokenType};
    use super::*;

    fn caller(session: &str, account_version: i64) -> Principal {
        Principal {
            subject: "kim".to_owned(),
            session: Some(session.to_owned()),
            token_type: TokenType::Access,
            roles: Vec::new(),
            stores: StoreScope::All,
            account_version,
            delegation: None,
        }
    }

    fn revocation(revoked: Revoked, seconds: i64) -> Revocation {
        let at = Timestamp::from_unix_seconds(seconds);
        Revocation { revoked, at }
    }

    #[test]
    fn a_session_is_refused_and_an_account_before_its_version() {
        let revocations = Revocations::default();
        let never = Timestamp::from_unix_seconds(0);
        let account = |version| Revoked::Account {
            id: "kim".to_owned(),
            version,
        };
        let ended = revocation(Revoked::Session("a".to_owned()), 100);
        revocations.learn(&[ended, revocation(account(3), 100)], never);
        // Learnt late, it takes nothing back.
        revocations.learn(&[revocation(account(2), 90)], never);
        assert!(revocations.cover(&caller("a", 3)));
        assert!(revocations.cover(&caller("b", 2)));
        assert!(!revocations.cover(&caller("b", 3)));
        assert_eq!(revocations.len(), 2);
    }

    #[test]
    fn what_no_token_can_outlive_is_forgotten() {
        let revocations = Revocations::default();
        let at = Timestamp::from_unix_seconds;
        let ended =
            |session: &str, seconds| revocation(Revoked::Session(session.to_owned()), seconds);
        revocations.learn(&[ended("a", 100), ended("b", 200)], at(0));
        revocations.learn(&[], at(150));
        assert!(!revocations.cover(&caller("a", 0)));
        assert!(revocations.cover(&caller("b", 0)));
    }
}
