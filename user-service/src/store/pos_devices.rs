//! Registered terminals, the PINs typed at them, and the sessions opened there.

use common::auth::StoreScope;
use common::ids::{StoreId, UserId};
use common::time::Timestamp;
use store::{StoreError, Tx};

use super::roles;
use crate::domain::device::{PosDevice, PosDeviceId};
use crate::domain::session::SessionId;

/// Somebody who has a PIN.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct PinHolder {
    pub(crate) id: UserId,
    pub(crate) display_name: String,
}

/// Stores a terminal.
pub(crate) async fn insert_device(
    tx: &mut Tx,
    device: &PosDevice,
    token_hash: &str,
) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "INSERT INTO pos_devices (id, store_id, name, token_hash, registered_by, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        device.id,
        device.store_id,
        &device.name,
        token_hash,
        device.registered_by,
        device.created_at
    )?;
    Ok(())
}

/// The terminal that holds a token, unless it was revoked.
pub(crate) async fn find_by_token(
    tx: &mut Tx,
    token_hash: &str,
) -> Result<Option<PosDevice>, StoreError> {
    store::fetch_optional!(
        tx,
        PosDevice,
        "SELECT id, store_id, name, registered_by, created_at, last_used_at, revoked_at
         FROM pos_devices WHERE token_hash = $1 AND revoked_at IS NULL",
        token_hash
    )
}

/// One terminal, kept from changing until the transaction ends.
pub(crate) async fn find_device_locked(
    tx: &mut Tx,
    id: PosDeviceId,
) -> Result<Option<PosDevice>, StoreError> {
    store::fetch_optional_locked!(
        tx,
        PosDevice,
        "SELECT id, store_id, name, registered_by, created_at, last_used_at, revoked_at
         FROM pos_devices WHERE id = $1",
        id
    )
}

/// Terminals in the order of their registration, of every store or of those of one account.
pub(crate) async fn list_devices(
    tx: &mut Tx,
    scope: &StoreScope,
    after: Option<PosDeviceId>,
    limit: i64,
) -> Result<Vec<PosDevice>, StoreError> {
    let stores = match scope {
        StoreScope::All => None,
        StoreScope::Only(stores) => Some(stores),
    };
    let Some(stores) = stores else {
        return store::fetch_all!(
            tx,
            PosDevice,
            "SELECT id, store_id, name, registered_by, created_at, last_used_at, revoked_at
             FROM pos_devices WHERE ($1 IS NULL OR id > $1) ORDER BY id LIMIT $2",
            after,
            limit
        );
    };
    let mut rows = store::fetch_in!(
        tx,
        PosDevice,
        "SELECT id, store_id, name, registered_by, created_at, last_used_at, revoked_at
         FROM pos_devices WHERE ($1 IS NULL OR id > $1) AND store_id IN",
        stores,
        after
    )?;
    rows.sort_by_key(|device| device.id);
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(rows)
}

/// Takes a terminal's rights away.
pub(crate) async fn revoke_device(
    tx: &mut Tx,
    id: PosDeviceId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE pos_devices SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    store::execute!(tx, sql, id, now)?;
    Ok(())
}

/// Remembers that somebody signed in at a terminal.
pub(crate) async fn touch_device(
    tx: &mut Tx,
    id: PosDeviceId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE pos_devices SET last_used_at = $2 WHERE id = $1";
    store::execute!(tx, sql, id, now)?;
    Ok(())
}

/// Binds a session to a terminal and its store.
pub(crate) async fn bind_session(
    tx: &mut Tx,
    session: SessionId,
    device: &PosDevice,
) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET device_id = $2, store_id = $3 WHERE id = $1";
    store::execute!(tx, sql, session, device.id, device.store_id)?;
    Ok(())
}

/// The one store in which a session holds, when it is bound to one.
pub(crate) async fn find_store_of_session(
    tx: &mut Tx,
    session: SessionId,
) -> Result<Option<StoreId>, StoreError> {
    let sql = "SELECT store_id FROM sessions WHERE id = $1";
    let row = store::fetch_optional!(tx, (Option<StoreId>,), sql, session)?;
    Ok(row.and_then(|(store,)| store))
}

/// The sessions opened at a terminal that are in force.
pub(crate) async fn list_sessions(
    tx: &mut Tx,
    id: PosDeviceId,
    now: Timestamp,
) -> Result<Vec<SessionId>, StoreError> {
    let rows = store::fetch_all!(
        tx,
        (SessionId,),
        "SELECT id FROM sessions
         WHERE device_id = $1 AND revoked_at IS NULL AND expires_at > $2",
        id,
        now
    )?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Gives an account a PIN in the place of another.
pub(crate) async fn set_pin(
    tx: &mut Tx,
    user: UserId,
    hash: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "INSERT INTO user_pins (user_id, pin_hash, set_at) VALUES ($1, $2, $3)
         ON CONFLICT (user_id) DO UPDATE
         SET pin_hash = excluded.pin_hash, set_at = excluded.set_at",
        user,
        hash,
        now
    )?;
    Ok(())
}

/// Takes a PIN away; `false` when there was none.
pub(crate) async fn delete_pin(tx: &mut Tx, user: UserId) -> Result<bool, StoreError> {
    let sql = "DELETE FROM user_pins WHERE user_id = $1";
    Ok(store::execute!(tx, sql, user)? == 1)
}

/// The hash of an account's PIN.
pub(crate) async fn find_pin_hash(tx: &mut Tx, user: UserId) -> Result<Option<String>, StoreError> {
    let sql = "SELECT pin_hash FROM user_pins WHERE user_id = $1";
    let row = store::fetch_optional!(tx, (String,), sql, user)?;
    Ok(row.map(|(hash,)| hash))
}

/// When an account chose its PIN.
pub(crate) async fn find_pin_time(
    tx: &mut Tx,
    user: UserId,
) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT set_at FROM user_pins WHERE user_id = $1";
    let row = store::fetch_optional!(tx, (Timestamp,), sql, user)?;
    Ok(row.map(|(at,)| at))
}

/// Who may sign in with a PIN in a store, in the order of their accounts.
pub(crate) async fn list_pin_holders(
    tx: &mut Tx,
    store: StoreId,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<PinHolder>, StoreError> {
    store::fetch_all!(
        tx,
        PinHolder,
        "SELECT u.id, u.display_name FROM users AS u JOIN user_pins AS p ON p.user_id = u.id
         WHERE NOT u.disabled AND ($2 IS NULL OR u.id > $2)
           AND (EXISTS (SELECT 1 FROM user_stores AS place
                        WHERE place.user_id = u.id AND place.store_id = $1)
                OR EXISTS (SELECT 1 FROM user_roles AS r
                           WHERE r.user_id = u.id AND r.role = $3))
         ORDER BY u.id LIMIT $4",
        store,
        after,
        roles::OWNER,
        limit
    )
}
