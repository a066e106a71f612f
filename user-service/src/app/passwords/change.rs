//! Changes the password of a signed-in person.

use common::auth::Principal;
use secrecy::{ExposeSecret, SecretString};

use super::put_in_force;
use crate::app::log_out::session_of;
use crate::app::reauth::{Reauth, confirm_password};
use crate::app::whoami::{caller, caller_off_terminal};
use crate::audit;
use crate::domain::email::Email;
use crate::domain::password;
use crate::domain::session::RevokeReason;
use crate::error::{CredentialError, SessionError};
use crate::state::AppState;
use crate::store::{accounts, sessions};

/// The present password and the one that is to be.
pub(crate) struct PasswordChange {
    pub(crate) present: Reauth,
    pub(crate) new_password: SecretString,
}

/// Changes the caller's own password and ends every other session of theirs.
pub(crate) async fn change(
    state: &AppState,
    principal: &Principal,
    asked: PasswordChange,
) -> Result<(), CredentialError> {
    let mut tx = state.db.read().await?;
    let account = caller_off_terminal(state, &mut tx, principal).await?;
    drop(tx);
    let email = Email::parse(&account.email);
    password::judge_new(asked.new_password.expose_secret(), email.as_ref())
        .map_err(|fault| CredentialError::Unacceptable("new_password", fault))?;
    let turn = confirm_password(state, &account, asked.present).await?;
    let (_turn, hash) = turn.hash(asked.new_password).await?;

    let mut tx = state.db.begin().await?;
    let locked = accounts::find_account_locked(&mut tx, account.id).await?;
    // The session may have ended while the hashes were computed.
    let account = caller(state, &mut tx, principal).await?;
    let session = session_of(principal).filter(|_| locked.is_some());
    let session = session.ok_or(SessionError::SessionEnded)?;
    let now = put_in_force(state, &mut tx, &account, &hash).await?;
    let reason = RevokeReason::PasswordChanged;
    sessions::revoke_other_sessions(&mut tx, account.id, session, reason, now).await?;
    state.revocations.follows(&mut tx);
    let entry = audit::on_account(principal, "password.changed", &account);
    audit::record(state, &mut tx, entry).await?;
    tx.commit().await?;
    tracing::info!(user.id = %account.id, "changed the own password");
    Ok(())
}
