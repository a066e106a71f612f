//! Who did what: written in the transaction that does it, so that neither exists without the other.
//!
//! What is written down: changes of accounts and their credentials, sessions ended before their
//! time, keys, secrets and API keys, and bursts of failed logins. Not each login and refresh, which
//! the session itself remembers: an entry locks the end of the chain until its transaction ends, so
//! all who write one wait for each other.
//!
//! States hold ids, roles, stores and flags, never names, emails or secrets: an entry can never be
//! deleted, a person's data must be.

use common::auth::{Principal, TokenType};
use common::context::RequestContext;
use common::ids::{StoreId, UserId};
use contracts::audit::{AuditEntry, canonical_json};
use serde_json::Value;
use store::{StoreError, Tx};
use uuid::Uuid;

use crate::client_address::ClientAddress;
use crate::domain::account::Account;
use crate::state::AppState;
use crate::store::audit as rows;

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    User(UserId),
    Service(String),
    /// This service by itself.
    System,
    /// Somebody who was not signed in.
    Unknown,
}

impl Actor {
    fn parts(&self) -> (&'static str, Option<String>) {
        match self {
            Self::User(id) => ("user", Some(id.to_string())),
            Self::Service(name) => ("service", Some(name.clone())),
            Self::System => ("system", None),
            Self::Unknown => ("unknown", None),
        }
    }
}

impl From<UserId> for Actor {
    fn from(user: UserId) -> Self {
        Self::User(user)
    }
}

impl From<&Principal> for Actor {
    fn from(principal: &Principal) -> Self {
        match (principal.token_type, principal.subject.parse()) {
            (TokenType::Access | TokenType::Delegated, Ok(user)) => Self::User(user),
            (TokenType::Access | TokenType::Delegated, Err(_)) => Self::Unknown,
            (TokenType::Service, _) => Self::Service(principal.subject.clone()),
        }
    }
}

/// One thing that was done.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    actor: Actor,
    action: &'static str,
    target: Option<(&'static str, String)>,
    store: Option<StoreId>,
    before: Option<Value>,
    after: Option<Value>,
}

impl Entry {
    /// `action` says a noun and what became of it: `account.changed`.
    pub(crate) fn new(actor: impl Into<Actor>, action: &'static str) -> Self {
        Self {
            actor: actor.into(),
            action,
            target: None,
            store: None,
            before: None,
            after: None,
        }
    }

    /// What it was done to, such as (`"session"`, its id).
    pub(crate) fn on(mut self, kind: &'static str, id: impl ToString) -> Self {
        self.target = Some((kind, id.to_string()));
        self
    }

    /// The store that it concerns.
    pub(crate) fn at_store(mut self, store: StoreId) -> Self {
        self.store = Some(store);
        self
    }

    /// What was so before; whole numbers only, no names and no secrets.
    pub(crate) fn before(mut self, state: Value) -> Self {
        self.before = Some(state);
        self
    }

    /// What is so since; whole numbers only, no names and no secrets.
    pub(crate) fn after(mut self, state: Value) -> Self {
        self.after = Some(state);
        self
    }
}

/// Something done to an account, at its store if it has just one.
pub(crate) fn on_account(
    actor: impl Into<Actor>,
    action: &'static str,
    account: &Account,
) -> Entry {
    let entry = Entry::new(actor, action).on("account", account.id);
    match account.stores.first() {
        Some(store) if account.stores.len() == 1 => entry.at_store(*store),
        _ => entry,
    }
}

/// What the trail keeps of an account.
pub(crate) fn account_state(account: &Account) -> Value {
    serde_json::json!({
        "roles": account.roles,
        "stores": account.stores,
        "disabled": account.disabled,
        "version": account.version,
    })
}

/// Adds an entry to the trail. Make it the last thing that a transaction does before it commits:
/// others who add one wait from here on.
pub(crate) async fn record(state: &AppState, tx: &mut Tx, entry: Entry) -> Result<(), StoreError> {
    let (actor_kind, actor_id) = entry.actor.parts();
    let (target_kind, target_id) = entry.target.unzip();
    let head = rows::lock_head(tx).await?;
    let address = ClientAddress::current(&state.trusted_proxies);
    let mut line = AuditEntry {
        seq: head.seq.saturating_add(1),
        id: Uuid::new_v4().to_string(),
        at: state.clock.now(),
        actor_kind: actor_kind.to_owned(),
        actor_id,
        action: entry.action.to_owned(),
        target_kind: target_kind.map(str::to_owned),
        target_id,
        store_id: entry.store.map(|store| store.to_string()),
        before: entry.before,
        after: entry.after,
        address: address.map(|address| address.to_string()),
        request_id: RequestContext::current().map(|context| context.request_id),
        previous_hash: head.hash,
        hash: String::new(),
    };
    line.hash = line.computed_hash();
    let text = |state: &Option<Value>| state.as_ref().map(canonical_json);
    let states = (text(&line.before), text(&line.after));
    rows::append(tx, &line, states).await
}
