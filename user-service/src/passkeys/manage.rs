//! A person's own passkeys: to look at, to name, to delete.

use common::auth::Principal;

use super::PasskeyError;
use super::store::{self, Passkey, PasskeyId};
use crate::app::mfa;
use crate::app::whoami::caller;
use crate::audit;
use crate::state::AppState;

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
    let account = caller(state, &mut tx, principal).await?;
    store::update_name(&mut tx, account.id, id, name).await?;
    let own = store::list(&mut tx, account.id).await?;
    let renamed = own.into_iter().find(|passkey| passkey.id == id);
    let renamed = renamed.ok_or(PasskeyError::Unknown)?;
    tx.commit().await?;
    Ok(renamed)
}

/// Deletes one of the caller's passkeys.
pub(crate) async fn delete(
    state: &AppState,
    principal: &Principal,
    id: PasskeyId,
) -> Result<(), PasskeyError> {
    let mut tx = state.db.begin().await?;
    let account = caller(state, &mut tx, principal).await?;
    if !store::delete(&mut tx, account.id, id).await? {
        return Err(PasskeyError::Unknown);
    }
    mfa::tell(state, &mut tx, &account, "passkey_removed").await?;
    let entry = audit::on_account(principal, "passkey.deleted", &account);
    let state_before = serde_json::json!({"passkey": id});
    audit::record(state, &mut tx, entry.before(state_before)).await?;
    tx.commit().await?;
    tracing::info!(user.id = %account.id, passkey.id = %id, "deleted a passkey");
    Ok(())
}
