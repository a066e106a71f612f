//! An owner's help for somebody who has lost their second factors.

use common::auth::Principal;
use common::ids::UserId;
use store::{StoreError, Tx};

use super::tell;
use crate::app::reauth::{Reauth, confirm_password};
use crate::app::whoami::caller;
use crate::audit;
use crate::domain::link::LinkPurpose;
use crate::domain::session::RevokeReason;
use crate::error::{AccountError, CredentialError};
use crate::passkeys;
use crate::state::AppState;
use crate::store::{accounts, factors, link_tokens, sessions};

/// Removes every second factor of another account, ends its sessions and takes back a change of its
/// address that waits to be proved: its password alone signs it in until it has another one. Repeating
/// it changes nothing more.
///
/// # Errors
/// Among others [`CredentialError::OwnFactors`]: whoever borrowed an owner's session must not take the
/// owner's own second factor away.
pub(crate) async fn reset(
    state: &AppState,
    principal: &Principal,
    id: UserId,
    reauth: Reauth,
) -> Result<(), CredentialError> {
    let mut tx = state.db.read().await?;
    let owner = caller(state, &mut tx, principal).await?;
    drop(tx);
    if owner.id == id {
        return Err(CredentialError::OwnFactors);
    }
    drop(confirm_password(state, &owner, reauth).await?);
    let mut tx = state.db.begin().await?;
    let owner = caller(state, &mut tx, principal).await?;
    let account = accounts::find_account_locked(&mut tx, id).await?;
    let account = account.ok_or(AccountError::Unknown)?;
    if !remove_all(&mut tx, id).await? {
        return Ok(tx.commit().await?);
    }
    factors::delete_challenges_of(&mut tx, id).await?;
    link_tokens::delete_links(&mut tx, id, LinkPurpose::VerifyEmail).await?;
    let now = state.clock.now();
    sessions::revoke_sessions_of(&mut tx, id, RevokeReason::Ended, now).await?;
    state.revocations.follows(&mut tx);
    tell(state, &mut tx, &account, "second_factors_reset").await?;
    let entry = audit::on_account(principal, "second_factors.reset", &account);
    audit::record(state, &mut tx, entry).await?;
    tx.commit().await?;
    tracing::info!(user.id = %id, by.id = %owner.id, "reset somebody's second factors");
    Ok(())
}

/// Removes every second factor of an account; whether it had one.
pub(crate) async fn remove_all(tx: &mut Tx, id: UserId) -> Result<bool, StoreError> {
    let had_totp = factors::delete_totp(tx, id).await?;
    let had_passkeys = passkeys::delete_all(tx, id).await? > 0;
    Ok(had_totp || had_passkeys)
}
