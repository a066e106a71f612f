//! SQL of passkeys and of ceremonies under way.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::ids::UserId;
use common::time::Timestamp;
use store::{Json, StoreError, Tx};
use webauthn_rs::prelude::{Credential, Passkey as Key, PasskeyRegistration};

use super::CeremonyId;

common::define_id! {
    /// A registered passkey.
    pub(crate) struct PasskeyId;
}

/// A registered passkey.
#[derive(Debug)]
pub(crate) struct Passkey {
    pub(crate) id: PasskeyId,
    pub(crate) user: UserId,
    pub(crate) name: String,
    pub(crate) key: Key,
    pub(crate) created_at: Timestamp,
    pub(crate) last_used_at: Option<Timestamp>,
}

impl Passkey {
    /// Whether it is kept in more than one place.
    pub(crate) fn is_backed_up(&self) -> bool {
        Credential::from(self.key.clone()).backup_state
    }

    fn counter(&self) -> i64 {
        Credential::from(self.key.clone()).counter.into()
    }
}

/// A registration that was taken out of the database.
pub(super) struct TakenRegistration {
    /// Who registers a passkey.
    pub(super) user: UserId,
    pub(super) state: PasskeyRegistration,
}

#[derive(sqlx::FromRow)]
struct PasskeyRow {
    id: PasskeyId,
    user_id: UserId,
    name: String,
    credential: Json<Key>,
    created_at: Timestamp,
    last_used_at: Option<Timestamp>,
}

impl From<PasskeyRow> for Passkey {
    fn from(row: PasskeyRow) -> Self {
        Self {
            id: row.id,
            user: row.user_id,
            name: row.name,
            key: row.credential.0,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
        }
    }
}

/// Stores a passkey, unless its credential is registered already, by whomever.
pub(super) async fn insert(tx: &mut Tx, passkey: &Passkey) -> Result<bool, StoreError> {
    let credential_id = URL_SAFE_NO_PAD.encode(passkey.key.cred_id());
    let credential = store::json(&passkey.key);
    let inserted = store::execute!(
        tx,
        "INSERT INTO passkeys (id, credential_id, user_id, name, credential, counter, backed_up,
                               created_at, last_used_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (credential_id) DO NOTHING",
        passkey.id,
        &credential_id,
        passkey.user,
        &passkey.name,
        &credential,
        passkey.counter(),
        passkey.is_backed_up(),
        passkey.created_at,
        passkey.last_used_at
    )?;
    Ok(inserted == 1)
}

/// The passkeys of an account, oldest first.
pub(super) async fn list(tx: &mut Tx, user: UserId) -> Result<Vec<Passkey>, StoreError> {
    let rows = store::fetch_all!(
        tx,
        PasskeyRow,
        "SELECT id, user_id, name, credential, created_at, last_used_at
         FROM passkeys WHERE user_id = $1 ORDER BY id",
        user
    )?;
    Ok(rows.into_iter().map(Passkey::from).collect())
}

/// The passkey with this credential, kept from being used by others until the transaction ends: of
/// two answers with the same counter, one is refused.
pub(super) async fn find_by_credential_locked(
    tx: &mut Tx,
    credential_id: &[u8],
) -> Result<Option<Passkey>, StoreError> {
    let credential_id = URL_SAFE_NO_PAD.encode(credential_id);
    let row = store::fetch_optional_locked!(
        tx,
        PasskeyRow,
        "SELECT id, user_id, name, credential, created_at, last_used_at
         FROM passkeys WHERE credential_id = $1",
        &credential_id
    )?;
    Ok(row.map(Passkey::from))
}

/// Stores what a use changed: counter, backup state, time.
pub(super) async fn update_after_use(tx: &mut Tx, passkey: &Passkey) -> Result<(), StoreError> {
    let credential = store::json(&passkey.key);
    store::execute!(
        tx,
        "UPDATE passkeys SET credential = $2, counter = $3, backed_up = $4, last_used_at = $5
         WHERE id = $1",
        passkey.id,
        &credential,
        passkey.counter(),
        passkey.is_backed_up(),
        passkey.last_used_at
    )?;
    Ok(())
}

/// Renames an account's passkey.
pub(super) async fn update_name(
    tx: &mut Tx,
    user: UserId,
    id: PasskeyId,
    name: &str,
) -> Result<bool, StoreError> {
    let sql = "UPDATE passkeys SET name = $3 WHERE user_id = $1 AND id = $2";
    Ok(store::execute!(tx, sql, user, id, name)? == 1)
}

/// Deletes an account's passkey.
pub(super) async fn delete(tx: &mut Tx, user: UserId, id: PasskeyId) -> Result<bool, StoreError> {
    let sql = "DELETE FROM passkeys WHERE user_id = $1 AND id = $2";
    Ok(store::execute!(tx, sql, user, id)? == 1)
}

/// Deletes every passkey of an account; how many there were.
pub(crate) async fn delete_all(tx: &mut Tx, user: UserId) -> Result<u64, StoreError> {
    store::execute!(tx, "DELETE FROM passkeys WHERE user_id = $1", user)
}

/// Stores the state of a registration.
pub(super) async fn insert_registration(
    tx: &mut Tx,
    id: CeremonyId,
    user: UserId,
    registration: &PasskeyRegistration,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let state = store::json(registration);
    store::execute!(
        tx,
        "INSERT INTO passkey_challenges (id, user_id, state, expires_at) VALUES ($1, $2, $3, $4)",
        id,
        user,
        &state,
        expires_at
    )?;
    Ok(())
}

/// Takes a registration out; `None` when it is not there or too old.
pub(super) async fn take_registration(
    tx: &mut Tx,
    id: CeremonyId,
    now: Timestamp,
) -> Result<Option<TakenRegistration>, StoreError> {
    let row = store::fetch_optional!(
        tx,
        (UserId, Json<PasskeyRegistration>, Timestamp),
        "DELETE FROM passkey_challenges WHERE id = $1 AND user_id IS NOT NULL
         RETURNING user_id, state, expires_at",
        id
    )?;
    let row = row.filter(|(_, _, expires_at)| *expires_at > now);
    Ok(row.map(|(user, state, _)| TakenRegistration {
        user,
        state: state.0,
    }))
}

/// Remembers, until `expires_at`, that a sign-in was finished; `false` when it was before.
pub(super) async fn use_login(
    tx: &mut Tx,
    id: CeremonyId,
    expires_at: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO used_passkey_logins (id, expires_at) VALUES ($1, $2)
               ON CONFLICT (id) DO NOTHING";
    Ok(store::execute!(tx, sql, id, expires_at)? == 1)
}

/// Forgets registrations that nobody finished, and used sign-ins that nobody can use again.
pub(crate) async fn delete_expired(tx: &mut Tx, now: Timestamp) -> Result<u64, StoreError> {
    let sql = "DELETE FROM passkey_challenges WHERE expires_at <= $1";
    let unfinished = store::execute!(tx, sql, now)?;
    let sql = "DELETE FROM used_passkey_logins WHERE expires_at <= $1";
    Ok(unfinished.saturating_add(store::execute!(tx, sql, now)?))
}
