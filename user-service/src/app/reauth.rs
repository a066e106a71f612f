//! Asks a signed-in person for their password once more, before something that a borrowed session
//! must not do.

use hashing::Turn;
use secrecy::SecretString;

use super::log_in::refuse_if_throttled;
use crate::client_address::ClientAddress;
use crate::domain::account::Account;
use crate::error::CredentialError;
use crate::state::AppState;
use crate::store::accounts;
use crate::throttle::Door;

/// Something that only the person themselves may do: their password, and where it was typed.
pub(crate) struct Reauth {
    pub(crate) password: SecretString,
    pub(crate) address: ClientAddress,
}

/// Refuses another password than the account's. Gives back the turn, for a hash that follows.
pub(crate) async fn confirm_password(
    state: &AppState,
    account: &Account,
    reauth: Reauth,
) -> Result<Turn, CredentialError> {
    let Reauth { password, address } = reauth;
    let email_key = account.email_key();
    let attempt = state
        .throttle
        .attempt_at(Door::Reauth, &email_key, address.group());
    refuse_if_throttled(state, &attempt, &email_key).await?;
    let turn = state.hasher.turn().await?;
    // Tries that waited in line together must not all pass before the first failure is counted.
    refuse_if_throttled(state, &attempt, &email_key).await?;
    let mut tx = state.db.read().await?;
    let credentials = accounts::find_credentials(&mut tx, &email_key).await?;
    drop(tx);
    let stored = credentials.map(|credentials| credentials.password_hash);
    let (turn, verification) = turn.verify(password, stored).await?;
    if !verification.matches {
        state.throttle.failed(&attempt).await;
        return Err(CredentialError::WrongPassword);
    }
    state.throttle.succeeded(&attempt).await;
    Ok(turn)
}
