//! Second factors, and the logins that wait for one.

use common::ids::UserId;
use common::time::Timestamp;
use store::{StoreError, Tx};

/// A generator of one-time codes, as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct TotpRow {
    pub(crate) sealed_secret: String,
    pub(crate) created_at: Timestamp,
    pub(crate) confirmed_at: Option<Timestamp>,
    pub(crate) last_step: i64,
}

/// A login that waits for its second factor.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct ChallengeRow {
    pub(crate) user_id: UserId,
    pub(crate) failures: i64,
}

/// How many second factors of each kind an account has.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct HeldFactors {
    /// Confirmed generators: one or none.
    pub(crate) totp: i64,
    pub(crate) recovery_codes: i64,
    pub(crate) passkeys: i64,
}

/// The columns of [`HeldFactors`], of the account that this expression of SQL names.
macro_rules! held_factors {
    ($user:literal) => {
        concat!(
            "(SELECT count(*) FROM totp_factors
              WHERE user_id = ",
            $user,
            " AND confirmed_at IS NOT NULL) AS totp,
             (SELECT count(*) FROM recovery_codes WHERE user_id = ",
            $user,
            ") AS recovery_codes,
             (SELECT count(*) FROM passkeys WHERE user_id = ",
            $user,
            ") AS passkeys"
        )
    };
}
pub(super) use held_factors;

/// What an account has.
pub(crate) async fn count_held(tx: &mut Tx, user: UserId) -> Result<HeldFactors, StoreError> {
    store::fetch_one!(
        tx,
        HeldFactors,
        concat!("SELECT ", held_factors!("$1")),
        user
    )
}

/// The generator of an account, confirmed or not.
pub(crate) async fn find_totp(tx: &mut Tx, user: UserId) -> Result<Option<TotpRow>, StoreError> {
    store::fetch_optional!(
        tx,
        TotpRow,
        "SELECT sealed_secret, created_at, confirmed_at, last_step FROM totp_factors
         WHERE user_id = $1",
        user
    )
}

/// Stores a generator that no code confirmed yet, in the place of another such one; `false` when
/// the account has one that is confirmed.
pub(crate) async fn insert_totp(
    tx: &mut Tx,
    user: UserId,
    sealed_secret: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let stored = store::execute!(
        tx,
        "INSERT INTO totp_factors (user_id, sealed_secret, created_at, last_step)
         VALUES ($1, $2, $3, 0)
         ON CONFLICT (user_id) DO UPDATE
         SET sealed_secret = excluded.sealed_secret, created_at = excluded.created_at
         WHERE totp_factors.confirmed_at IS NULL",
        user,
        sealed_secret,
        now
    )?;
    Ok(stored == 1)
}

/// Takes the code of a step; `false` when it, or a later one, was taken before.
pub(crate) async fn use_step(tx: &mut Tx, user: UserId, step: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE totp_factors SET last_step = $2 WHERE user_id = $1 AND last_step < $2";
    Ok(store::execute!(tx, sql, user, step)? == 1)
}

/// Puts a generator into force.
pub(crate) async fn confirm_totp(
    tx: &mut Tx,
    user: UserId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE totp_factors SET confirmed_at = $2 WHERE user_id = $1";
    store::execute!(tx, sql, user, now)?;
    Ok(())
}

/// Removes the generator of an account and its recovery codes.
pub(crate) async fn delete_totp(tx: &mut Tx, user: UserId) -> Result<bool, StoreError> {
    let removed = store::execute!(tx, "DELETE FROM totp_factors WHERE user_id = $1", user)?;
    store::execute!(tx, "DELETE FROM recovery_codes WHERE user_id = $1", user)?;
    Ok(removed == 1)
}

/// Gives an account these recovery codes, in the place of all others.
pub(crate) async fn replace_recovery_codes(
    tx: &mut Tx,
    user: UserId,
    hashes: &[String],
) -> Result<(), StoreError> {
    store::execute!(tx, "DELETE FROM recovery_codes WHERE user_id = $1", user)?;
    store::insert_many!(
        tx,
        "INSERT INTO recovery_codes (user_id, code_hash)",
        hashes,
        |hash| [user, hash]
    )?;
    Ok(())
}

/// Uses a recovery code; `false` when the account has no such one left.
pub(crate) async fn take_recovery_code(
    tx: &mut Tx,
    user: UserId,
    hash: &str,
) -> Result<bool, StoreError> {
    let sql = "DELETE FROM recovery_codes WHERE user_id = $1 AND code_hash = $2";
    Ok(store::execute!(tx, sql, user, hash)? == 1)
}

/// How many recovery codes an account has left.
pub(crate) async fn count_recovery_codes(tx: &mut Tx, user: UserId) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM recovery_codes WHERE user_id = $1";
    Ok(store::fetch_one!(tx, (i64,), sql, user)?.0)
}

/// Stores a login that waits.
pub(crate) async fn insert_challenge(
    tx: &mut Tx,
    token_hash: &str,
    user: UserId,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "INSERT INTO mfa_challenges (token_hash, user_id, expires_at, failures)
         VALUES ($1, $2, $3, 0)",
        token_hash,
        user,
        expires_at
    )?;
    Ok(())
}

/// A login that waits at `now`.
pub(crate) async fn find_challenge(
    tx: &mut Tx,
    token_hash: &str,
    now: Timestamp,
) -> Result<Option<ChallengeRow>, StoreError> {
    store::fetch_optional!(
        tx,
        ChallengeRow,
        "SELECT user_id, failures FROM mfa_challenges WHERE token_hash = $1 AND expires_at > $2",
        token_hash,
        now
    )
}

/// A login that waits at `now`, kept from being taken by others until the transaction ends.
pub(crate) async fn find_challenge_locked(
    tx: &mut Tx,
    token_hash: &str,
    now: Timestamp,
) -> Result<Option<ChallengeRow>, StoreError> {
    store::fetch_optional_locked!(
        tx,
        ChallengeRow,
        "SELECT user_id, failures FROM mfa_challenges WHERE token_hash = $1 AND expires_at > $2",
        token_hash,
        now
    )
}

/// Counts a wrong answer.
pub(crate) async fn count_failure(tx: &mut Tx, token_hash: &str) -> Result<(), StoreError> {
    let sql = "UPDATE mfa_challenges SET failures = failures + 1 WHERE token_hash = $1";
    store::execute!(tx, sql, token_hash)?;
    Ok(())
}

/// Ends the wait.
pub(crate) async fn delete_challenge(tx: &mut Tx, token_hash: &str) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "DELETE FROM mfa_challenges WHERE token_hash = $1",
        token_hash
    )?;
    Ok(())
}

/// Ends every wait of an account: its password or its factors are others.
pub(crate) async fn delete_challenges_of(tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
    store::execute!(tx, "DELETE FROM mfa_challenges WHERE user_id = $1", user)?;
    Ok(())
}

/// Forgets logins that waited too long.
pub(crate) async fn delete_expired(tx: &mut Tx, now: Timestamp) -> Result<u64, StoreError> {
    store::execute!(tx, "DELETE FROM mfa_challenges WHERE expires_at <= $1", now)
}

/// Forgets generators made until `before` that no code confirmed.
pub(crate) async fn delete_unconfirmed(tx: &mut Tx, before: Timestamp) -> Result<u64, StoreError> {
    let sql = "DELETE FROM totp_factors WHERE confirmed_at IS NULL AND created_at <= $1";
    store::execute!(tx, sql, before)
}
