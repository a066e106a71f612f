//! A person's own passkeys: to look at, to name, to remove.

use common::auth::Principal;
use secrecy::SecretString;

use super::PasskeyError;
use super::store::{self, Passkey, PasskeyId};
use crate::app::mfa::{self, totp};
use crate::app::reauth::Reauth;
use crate::app::whoami::{caller, caller_off_terminal};
use crate::audit;
use crate::state::AppState;
use crate::store::factors;

/// The caller's passkeys, oldest first.
pub(crate) async fn list(
    state: &AppState,
    principal: &Principal,
) -> Result<Vec<Passkey>, PasskeyError> {
    let mut tx = state.db.read().await?;
    let account = caller(state, &mut tx, principal).await?;
    Ok(store::list(&mut tx, account.id).await?)
}

/// Gives one of the caller's passkeys another name.
pub(crate) async fn rename(
    state: &AppState,
    principal: &Principal,
    id: PasskeyId,
    name: &str,
) -> Result<Passkey, PasskeyError> {
    let mut tx = state.db.begin().await?;
    let account = caller_off_terminal(state, &mut tx, principal).await?;
    store::update_name(&mut tx, account.id, id, name).await?;
    let own = store::list(&mut tx, account.id).await?;
    let renamed = own.into_iter().find(|passkey| passkey.id == id);
    let renamed = renamed.ok_or(PasskeyError::Unknown)?;
    tx.commit().await?;
    Ok(renamed)
}

/// Removes one of the caller's passkeys, with the password and, where a generator is in force, a code:
/// without the last one the password alone may sign in.
pub(crate) async fn remove(
    state: &AppState,
    principal: &Principal,
    id: PasskeyId,
    reauth: Reauth,
    code: Option<&SecretString>,
) -> Result<(), PasskeyError> {
    let (mut tx, account) = totp::proved(state, principal, reauth, code).await?;
    if !store::delete(&mut tx, account.id, id).await? {
        return Err(PasskeyError::Unknown);
    }
    factors::delete_challenges_of(&mut tx, account.id).await?;
    mfa::tell(state, &mut tx, &account, "passkey_removed").await?;
    let entry = audit::on_account(principal, "passkey.deleted", &account);
    let state_before = serde_json::json!({"passkey": id});
    audit::record(state, &mut tx, entry.before(state_before)).await?;
    tx.commit().await?;
    tracing::info!(user.id = %account.id, passkey.id = %id, "deleted a passkey");
    Ok(())
}
