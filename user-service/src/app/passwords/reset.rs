//! Sets a forgotten password anew, with a link that was mailed.

use secrecy::{ExposeSecret, SecretString};

use super::put_in_force;
use crate::app::api_keys;
use crate::audit::{self, Actor};
use crate::domain::email::Email;
use crate::domain::link::LinkPurpose;
use crate::domain::password;
use crate::domain::session::RevokeReason;
use crate::error::CredentialError;
use crate::keys::{OpaqueToken, TokenKind};
use crate::state::AppState;
use crate::store::{accounts, link_tokens, profiles, sessions};

/// A mailed token and the password that is to be.
pub(crate) struct PasswordReset {
    pub(crate) token: SecretString,
    pub(crate) new_password: SecretString,
}

/// Sets the password, once for each link, ends every session of the account and revokes its API keys.
/// Nobody is signed in by it: a second factor is still asked for at the login.
pub(crate) async fn reset(state: &AppState, asked: PasswordReset) -> Result<(), CredentialError> {
    let PasswordReset {
        token,
        new_password,
    } = asked;
    let token = OpaqueToken::parse(TokenKind::Link, &token).ok_or(CredentialError::LinkInvalid)?;
    let (token_hash, purpose) = (token.hash(), LinkPurpose::ResetPassword);
    // Looked at before the costly hash, so that made-up tokens cost nothing.
    let mut tx = state.db.read().await?;
    let found = link_tokens::find_link(&mut tx, &token_hash, purpose, state.clock.now()).await?;
    drop(tx);
    let link = found.ok_or(CredentialError::LinkInvalid)?;
    let email = Email::parse(&link.email);
    password::judge_new(new_password.expose_secret(), email.as_ref())
        .map_err(|fault| CredentialError::Unacceptable("new_password", fault))?;
    let turn = state.hasher.turn().await?;
    let (_turn, hash) = turn.hash(new_password).await?;

    let mut tx = state.db.begin().await?;
    let now = state.clock.now();
    // The account before its links, as whoever takes them back does: they do not wait for each other.
    let account = accounts::find_account_locked(&mut tx, link.user_id).await?;
    let account = account
        .filter(|account| !account.disabled)
        .ok_or(CredentialError::LinkInvalid)?;
    let taken = link_tokens::take_link(&mut tx, &token_hash, purpose, now).await?;
    let taken = taken.ok_or(CredentialError::LinkInvalid)?;
    put_in_force(state, &mut tx, &account, &hash).await?;
    if taken.email == account.email {
        profiles::set_email_verified(&mut tx, account.id, now).await?;
    }
    let reason = RevokeReason::PasswordReset;
    sessions::revoke_sessions_of(&mut tx, account.id, reason, now).await?;
    state.revocations.follows(&mut tx);
    // Whoever made the reset necessary may have made keys, too.
    api_keys::revoke_all(state, &mut tx, Actor::Unknown, account.id).await?;
    let entry = audit::on_account(Actor::Unknown, "password.reset", &account);
    audit::record(state, &mut tx, entry).await?;
    tx.commit().await?;
    tracing::info!(user.id = %account.id, "set a forgotten password anew");
    Ok(())
}
