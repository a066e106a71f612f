//! Recovery codes: each signs in once who lost their generator.

use common::ids::UserId;
use secrecy::{ExposeSecret, SecretString};
use store::Tx;

use super::tell;
use crate::audit;
use crate::domain::account::Account;
use crate::domain::recovery_code::{self, CODES};
use crate::error::CredentialError;
use crate::keys::random;
use crate::state::AppState;
use crate::store::factors;

/// Gives an account new codes in the place of all others; they can be shown this once.
pub(super) async fn renew(
    state: &AppState,
    tx: &mut Tx,
    user: UserId,
) -> Result<Vec<SecretString>, CredentialError> {
    let codes: Vec<String> = (0..CODES)
        .map(|_| recovery_code::shown(&random()))
        .collect();
    let hash = |code: &String| {
        let plain = recovery_code::plain(code);
        state.factors.recovery_hash(user, &plain)
    };
    let hashes: Vec<String> = codes.iter().map(hash).collect();
    factors::replace_recovery_codes(tx, user, &hashes).await?;
    Ok(codes.into_iter().map(SecretString::from).collect())
}

/// Uses a code; whether the account had it. Its holder is told.
pub(crate) async fn take_code(
    state: &AppState,
    tx: &mut Tx,
    account: &Account,
    code: &SecretString,
) -> Result<bool, CredentialError> {
    let plain = recovery_code::plain(code.expose_secret());
    let hash = state.factors.recovery_hash(account.id, &plain);
    let taken = factors::take_recovery_code(tx, account.id, &hash).await?;
    if taken {
        tell(state, tx, account, "recovery_code_used").await?;
        let entry = audit::on_account(account.id, "recovery_code.used", account);
        audit::record(state, tx, entry).await?;
    }
    Ok(taken)
}
