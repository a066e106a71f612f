//! What an account holds beside its name, roles and stores.

use common::ids::UserId;
use common::time::Timestamp;
use store::{StoreError, Tx};

/// Language, proof of the address, erasure.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Profile {
    pub(crate) locale: Option<String>,
    pub(crate) email_verified_at: Option<Timestamp>,
    pub(crate) erased_at: Option<Timestamp>,
}

/// An account's.
pub(crate) async fn find_profile(tx: &mut Tx, user: UserId) -> Result<Option<Profile>, StoreError> {
    let sql = "SELECT locale, email_verified_at, erased_at FROM users WHERE id = $1";
    store::fetch_optional!(tx, Profile, sql, user)
}

/// The language of an account, if it ever chose one.
pub(crate) async fn find_locale(tx: &mut Tx, user: UserId) -> Result<Option<String>, StoreError> {
    Ok(find_profile(tx, user)
        .await?
        .and_then(|profile| profile.locale))
}

/// Stores a language.
pub(crate) async fn set_locale(tx: &mut Tx, user: UserId, locale: &str) -> Result<(), StoreError> {
    let sql = "UPDATE users SET locale = $2 WHERE id = $1";
    store::execute!(tx, sql, user, locale)?;
    Ok(())
}

/// Remembers that mails to the present address are read.
pub(crate) async fn set_email_verified(
    tx: &mut Tx,
    user: UserId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE users SET email_verified_at = $2
               WHERE id = $1 AND email_verified_at IS NULL";
    store::execute!(tx, sql, user, now)?;
    Ok(())
}

/// Gives an account another address, which was proved just now.
///
/// # Errors
/// [`StoreError::Conflict`] when another account has it.
pub(crate) async fn set_email(
    tx: &mut Tx,
    user: UserId,
    (email, email_key): (&str, &str),
    now: Timestamp,
) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "UPDATE users SET email = $2, email_key = $3, email_verified_at = $4, updated_at = $4,
                          version = version + 1
         WHERE id = $1",
        user,
        email,
        email_key,
        now
    )?;
    Ok(())
}

/// Gives an account another password.
pub(crate) async fn set_password_hash(
    tx: &mut Tx,
    user: UserId,
    hash: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE users SET password_hash = $2 WHERE id = $1";
    store::execute!(tx, sql, user, hash)?;
    Ok(())
}
