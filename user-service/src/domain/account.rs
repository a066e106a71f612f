//! An account and how it changes.

use std::collections::BTreeSet;

use common::auth::{Role, StoreClaim, StoreScope};
use common::ids::{StoreId, UserId};
use common::time::Timestamp;

/// Most stores of one account: the list travels in every token, and tokens have a size limit.
pub(crate) const MAX_STORES: usize = 50;
/// Longest display name, in characters.
pub(crate) const MAX_NAME_CHARACTERS: usize = 100;

/// Somebody who may sign in. The password's hash is kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) id: UserId,
    /// As its owner writes it.
    pub(crate) email: String,
    pub(crate) display_name: String,
    pub(crate) roles: BTreeSet<Role>,
    pub(crate) stores: BTreeSet<StoreId>,
    pub(crate) disabled: bool,
    /// Counts changes, from 1.
    pub(crate) version: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// What is to become different; absent parts stay.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccountChange {
    pub(crate) display_name: Option<String>,
    pub(crate) roles: Option<BTreeSet<Role>>,
    pub(crate) stores: Option<BTreeSet<StoreId>>,
    pub(crate) disabled: Option<bool>,
}

impl Account {
    /// Whether it runs the chain now.
    pub(crate) fn is_active_owner(&self) -> bool {
        !self.disabled && self.roles.contains(&Role::Owner)
    }

    /// The stores in which its roles hold.
    pub(crate) fn scope(&self) -> StoreScope {
        if self.roles.contains(&Role::Owner) {
            StoreScope::All
        } else {
            StoreScope::Only(self.stores.iter().copied().collect())
        }
    }

    /// The same, as a token says it.
    pub(crate) fn store_claim(&self) -> StoreClaim {
        match self.scope() {
            StoreScope::All => StoreClaim::ALL,
            StoreScope::Only(stores) => StoreClaim::Only(stores),
        }
    }

    /// Whether the other one may do something else, or the same elsewhere.
    pub(crate) fn grants_differ(&self, other: &Self) -> bool {
        (&self.roles, &self.stores, self.disabled) != (&other.roles, &other.stores, other.disabled)
    }

    /// The form of its email that is compared.
    pub(crate) fn email_key(&self) -> String {
        self.email.to_ascii_lowercase()
    }

    /// The account as it acts at a terminal of one store: there alone, and as no more than its
    /// manager.
    pub(crate) fn at_store(self, store: StoreId) -> Self {
        let role = |role| match role {
            Role::Owner | Role::AreaManager => Role::StoreManager,
            other => other,
        };
        let works_there = self.scope().contains(store);
        Self {
            roles: self.roles.into_iter().map(role).collect(),
            stores: works_there.then_some(store).into_iter().collect(),
            ..self
        }
    }

    /// The account with nothing that it may do.
    pub(crate) fn without_roles(self) -> Self {
        Self {
            roles: BTreeSet::new(),
            stores: BTreeSet::new(),
            ..self
        }
    }

    /// The account after the change, one version on.
    pub(crate) fn changed(&self, change: AccountChange, now: Timestamp) -> Self {
        let old = self.clone();
        Self {
            display_name: change.display_name.unwrap_or(old.display_name),
            roles: change.roles.unwrap_or(old.roles),
            stores: change.stores.unwrap_or(old.stores),
            disabled: change.disabled.unwrap_or(old.disabled),
            version: old.version.saturating_add(1),
            updated_at: now,
            ..old
        }
    }
}
