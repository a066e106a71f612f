//! API keys: making, listing and revoking them, and exchanging one for a short-lived token.

use std::collections::BTreeSet;
use std::time::Duration;

use common::auth::{Permission, Principal};
use common::ids::{StoreId, UserId};
use common::time::Timestamp;
use contracts::events::MailTemplate;
use secrecy::SecretString;
use serde_json::json;
use store::{StoreError, Tx};

use super::acting::acting;
use super::mail::{self, Mail};
use super::reauth::{Reauth, confirm_password};
use super::whoami::{caller, caller_off_terminal};
use crate::audit::{self, Actor, Entry};
use crate::domain::account::Account;
use crate::domain::api_key::{self, ApiKey, ApiKeyId, KeySecret};
use crate::domain::session::SessionId;
use crate::error::{AccountError, CredentialError};
use crate::keys::{Delegated, Minted};
use crate::state::AppState;
use crate::store::{accounts, api_keys, profiles};

/// Most keys of one account in force at a time.
const MAX_KEYS: i64 = 50;
/// When a key was used is known to the minute: a program that asks often costs no more writes.
const TOUCH_INTERVAL: Duration = Duration::from_secs(60);

/// A key to make.
pub(crate) struct NewKey {
    pub(crate) name: String,
    pub(crate) scopes: BTreeSet<Permission>,
    pub(crate) stores: BTreeSet<StoreId>,
    pub(crate) expires_at: Timestamp,
}

/// Makes a key for the caller and shows it, this once. A key outlives the session, so it takes the
/// password, is told to the person, and is not made at a terminal.
pub(crate) async fn create(
    state: &AppState,
    principal: &Principal,
    reauth: Reauth,
    new: NewKey,
) -> Result<(ApiKey, SecretString), CredentialError> {
    let mut tx = state.db.read().await?;
    let account = caller_off_terminal(state, &mut tx, principal).await?;
    drop(tx);
    drop(confirm_password(state, &account, reauth).await?);
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    // Locked, so that the keys of one account are counted one after the other, and before the session
    // is looked at: whatever ends it and revokes the keys finds this one, too.
    accounts::find_account_locked(&mut tx, account.id).await?;
    let account = caller(state, &mut tx, principal).await?;
    api_key::require_own(&account, &new.scopes, &new.stores).map_err(AccountError::from)?;
    if api_keys::count_in_force(&mut tx, account.id, now).await? >= MAX_KEYS {
        return Err(AccountError::TooManyKeys.into());
    }
    let secret = KeySecret::generate();
    let key = ApiKey {
        id: ApiKeyId::new(&state.clock),
        account: account.id,
        name: new.name,
        prefix: api_key::new_prefix(),
        scopes: new.scopes,
        stores: new.stores,
        created_at: now,
        expires_at: new.expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    api_keys::insert(&mut tx, &key, &secret.hash()).await?;
    tell(state, &mut tx, &account, &key).await?;
    let entry = Entry::new(principal, "api_key.created").on("api_key", key.id);
    audit::record(state, &mut tx, entry.after(key_state(&key))).await?;
    tx.commit().await?;
    let whole = secret.with_prefix(&key.prefix);
    Ok((key, whole))
}

/// Tells the person of a key that acts for them from now on.
async fn tell(
    state: &AppState,
    tx: &mut Tx,
    account: &Account,
    key: &ApiKey,
) -> Result<(), StoreError> {
    let locale = profiles::find_locale(tx, account.id).await?;
    let variables = [
        ("display_name", account.display_name.as_str()),
        ("name", key.name.as_str()),
    ];
    let template = MailTemplate::ApiKeyCreated;
    let news = Mail::news(&account.email, template, locale.as_deref(), &variables);
    mail::request(state, tx, &news).await
}

/// The caller's keys, newest first.
pub(crate) async fn list(
    state: &AppState,
    principal: &Principal,
    before: Option<ApiKeyId>,
    limit: u32,
) -> Result<Vec<ApiKey>, AccountError> {
    let mut tx = state.db.read().await?;
    let account = caller(state, &mut tx, principal).await?;
    Ok(api_keys::list(&mut tx, account.id, before, limit.into()).await?)
}

/// Revokes one of the caller's keys; its tokens are refused everywhere within seconds. One that is not
/// the caller's, or never was, is as good as revoked.
pub(crate) async fn revoke(
    state: &AppState,
    principal: &Principal,
    id: ApiKeyId,
) -> Result<(), AccountError> {
    let mut tx = state.db.begin().await?;
    let account = caller(state, &mut tx, principal).await?;
    let key = api_keys::find(&mut tx, id).await?;
    let Some(key) = key.filter(|key| key.account == account.id) else {
        return Ok(tx.commit().await?);
    };
    if api_keys::revoke(&mut tx, key.id, state.clock.now()).await? {
        let entry = Entry::new(principal, "api_key.revoked").on("api_key", key.id);
        audit::record(state, &mut tx, entry.before(key_state(&key))).await?;
        state.revocations.follows(&mut tx);
    }
    Ok(tx.commit().await?)
}

/// Revokes every key of an account that somebody else may have used.
pub(crate) async fn revoke_all(
    state: &AppState,
    tx: &mut Tx,
    by: Actor,
    account: UserId,
) -> Result<(), StoreError> {
    let revoked = api_keys::revoke_all(tx, account, state.clock.now()).await?;
    if revoked == 0 {
        return Ok(());
    }
    let entry = Entry::new(by, "api_keys.revoked").on("account", account);
    audit::record(state, tx, entry.after(json!({"revoked": revoked}))).await?;
    state.revocations.follows(tx);
    Ok(())
}

/// A token for whoever presents a key in force (the client credentials grant, RFC 6749, section 4.4):
/// the rights that the key's account has now and may use, as far as the key's scopes and stores go.
pub(crate) async fn exchange(
    state: &AppState,
    prefix: &str,
    secret: &SecretString,
) -> Result<(Minted, String), AccountError> {
    if !api_key::is_prefix(prefix) {
        return Err(AccountError::BadKey);
    }
    let now = state.clock.now();
    let mut tx = state.db.read().await?;
    let key = api_keys::find_presented(&mut tx, prefix, &api_key::hash(secret)).await?;
    let key = key.filter(|key| key.is_in_force(now));
    let key = key.ok_or(AccountError::BadKey)?;
    let account = accounts::find_account(&mut tx, key.account).await?;
    let account = account.filter(|account| !account.disabled);
    let account = account.ok_or(AccountError::BadKey)?;
    let session = SessionId::from_uuid(key.id.as_uuid());
    let account = acting(state, &mut tx, account, session).await?.account;
    drop(tx);
    let minted = state.mint.delegated(&Delegated {
        account: &account,
        session,
        client_id: key.prefix.clone(),
        scope: key.scope_text(),
        stores: key.scope_of(&account),
        at_most: key.expires_at.since(now),
    });
    let minted = minted.map_err(crate::error::SessionError::from)?;
    let stale = now.minus(TOUCH_INTERVAL);
    if key.last_used_at.is_none_or(|used| used <= stale) {
        let mut tx = state.db.begin().await?;
        api_keys::touch(&mut tx, key.id, now, stale).await?;
        tx.commit().await?;
    }
    Ok((minted, key.scope_text()))
}

/// The account for which a token of an API key acts, if key and account are still in force.
pub(crate) async fn account_of_key(
    tx: &mut Tx,
    id: ApiKeyId,
    now: Timestamp,
) -> Result<Option<Account>, StoreError> {
    let key = api_keys::find(tx, id).await?;
    let Some(key) = key.filter(|key| key.is_in_force(now)) else {
        return Ok(None);
    };
    let account = accounts::find_account(tx, key.account).await?;
    Ok(account.filter(|account| !account.disabled))
}

fn key_state(key: &ApiKey) -> serde_json::Value {
    json!({
        "prefix": key.prefix,
        "scopes": key.scopes,
        "stores": key.stores,
        "expires_at": key.expires_at,
    })
}
