//! Keys with which programs act for an account.
//!
//! The secret has 256 random bits, so its plain SHA-256 is stored: guessing is hopeless without the
//! slow hash that a password needs, and a service may ask thousands of times an hour.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::auth::{Permission, StoreScope, permission_scopes};
use common::ids::{StoreId, UserId};
use common::time::Timestamp;
use ring::digest;
use secrecy::{ExposeSecret, SecretString};

use super::account::Account;
use crate::keys::{hex, random};

/// Lets scanners for leaked secrets recognize one: `maru_<prefix>_<secret>`.
const MARK: &str = "maru";
const PREFIX_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
/// What cannot be limited to some stores: accounts belong to several, menus and recipes to the chain.
const CHAIN_WIDE: [Permission; 3] = [
    Permission::UsersRead,
    Permission::MenuWrite,
    Permission::CatalogWrite,
];

common::define_id! {
    /// An API key; tokens made with it have it as their session.
    pub(crate) struct ApiKeyId;
}

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiKey {
    pub(crate) id: ApiKeyId,
    pub(crate) account: UserId,
    pub(crate) name: String,
    /// Shown, and the `client_id`.
    pub(crate) prefix: String,
    pub(crate) scopes: BTreeSet<Permission>,
    /// Where it may be used; empty means wherever its account may.
    pub(crate) stores: BTreeSet<StoreId>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) last_used_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
}

/// What somebody asked for that is not theirs to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyFault {
    #[error(
        "a scope that this account does not have, that no program may have, or one that cannot be \
         limited to stores"
    )]
    Scope,
    #[error("a store that is not this account's")]
    Store,
}

impl KeyFault {
    /// The field that asks for too much.
    pub(crate) const fn field(self) -> &'static str {
        match self {
            Self::Scope => "scopes",
            Self::Store => "stores",
        }
    }
}

/// The secret half, shown once.
pub(crate) struct KeySecret(SecretString);

impl KeySecret {
    pub(crate) fn generate() -> Self {
        Self(URL_SAFE_NO_PAD.encode(random::<SECRET_BYTES>()).into())
    }

    /// What is stored of it.
    pub(crate) fn hash(&self) -> String {
        hash(&self.0)
    }

    /// The whole key, as its person keeps it.
    pub(crate) fn with_prefix(&self, prefix: &str) -> SecretString {
        format!("{MARK}_{prefix}_{}", self.0.expose_secret()).into()
    }
}

/// A fresh prefix.
pub(crate) fn new_prefix() -> String {
    hex(&random::<PREFIX_BYTES>())
}

/// Whether a text can be a prefix at all.
pub(crate) fn is_prefix(text: &str) -> bool {
    text.len() == 2 * PREFIX_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What is stored of a presented secret.
pub(crate) fn hash(secret: &SecretString) -> String {
    hex(digest::digest(&digest::SHA256, secret.expose_secret().as_bytes()).as_ref())
}

impl ApiKey {
    /// Whether it can be used at `now`.
    pub(crate) fn is_in_force(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }

    /// The stores in which it holds for its account as it is now.
    pub(crate) fn scope_of(&self, account: &Account) -> StoreScope {
        if self.stores.is_empty() {
            return account.scope();
        }
        let own = account.scope();
        let stores = self.stores.iter().copied();
        StoreScope::Only(stores.filter(|store| own.contains(*store)).collect())
    }

    /// The scopes as a token says them.
    pub(crate) fn scope_text(&self) -> String {
        let scopes: Vec<&str> = self.scopes.iter().map(|scope| scope.as_str()).collect();
        scopes.join(" ")
    }
}

/// Refuses scopes and stores that are not the account's own.
pub(crate) fn require_own(
    account: &Account,
    scopes: &BTreeSet<Permission>,
    stores: &BTreeSet<StoreId>,
) -> Result<(), KeyFault> {
    let for_programs = |scope: &Permission| {
        let mut known = permission_scopes().iter();
        known.any(|known| known.permission == *scope)
    };
    let chain_wide = scopes.iter().any(|scope| CHAIN_WIDE.contains(scope));
    if chain_wide && !stores.is_empty() {
        return Err(KeyFault::Scope);
    }
    let held = |scope: &Permission| account.roles.iter().any(|role| role.allows(*scope));
    if !scopes
        .iter()
        .all(|scope| for_programs(scope) && held(scope))
    {
        return Err(KeyFault::Scope);
    }
    let scope = account.scope();
    if stores.iter().all(|store| scope.contains(*store)) {
        Ok(())
    } else {
        Err(KeyFault::Store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_recognized_as_one_and_its_secret_is_not_in_its_hash() {
        let secret = KeySecret::generate();
        let whole = secret.with_prefix("0123456789ab");
        let text = whole.expose_secret();
        assert!(text.starts_with("maru_0123456789ab_"));
        assert_eq!(text.len(), "maru_0123456789ab_".len() + 43);
        let (_, presented) = text.split_at("maru_0123456789ab_".len());
        assert_eq!(hash(&SecretString::from(presented)), secret.hash());
        assert_eq!(new_prefix().len(), 12);
    }
}
