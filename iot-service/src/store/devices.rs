//! Devices.

use ::store::{StoreError, Tx};
use common::ids::{DeviceId, StoreId};
use common::time::Timestamp;

/// A device as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct DeviceRow {
    pub(crate) id: DeviceId,
    pub(crate) store_id: StoreId,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) password_sha256: String,
    pub(crate) created_at: Timestamp,
}

#[cfg(test)]
impl DeviceRow {
    /// A new fridge, in a store of its own.
    pub(crate) fn example(clock: &common::clock::Clock) -> Self {
        Self {
            id: DeviceId::new(clock),
            store_id: StoreId::new(clock),
            name: "Fridge 1".to_owned(),
            kind: "fridge".to_owned(),
            password_sha256: String::new(),
            created_at: clock.now(),
        }
    }
}

/// Inserts a device; `false` when its id is taken.
pub(crate) async fn insert(tx: &mut Tx, device: &DeviceRow) -> Result<bool, StoreError> {
    let inserted = ::store::execute!(
        tx,
        "INSERT INTO devices (id, store_id, name, kind, password_sha256, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        device.id,
        device.store_id,
        &device.name,
        &device.kind,
        &device.password_sha256,
        device.created_at
    )?;
    Ok(inserted == 1)
}

/// The device, if it is registered.
pub(crate) async fn find(tx: &mut Tx, id: DeviceId) -> Result<Option<DeviceRow>, StoreError> {
    ::store::fetch_optional!(
        tx,
        DeviceRow,
        "SELECT id, store_id, name, kind, password_sha256, created_at FROM devices WHERE id = $1",
        id
    )
}

/// The stores of those of these devices that are registered.
pub(crate) async fn stores_of(
    tx: &mut Tx,
    ids: &[DeviceId],
) -> Result<Vec<(DeviceId, StoreId)>, StoreError> {
    ::store::fetch_in!(
        tx,
        (DeviceId, StoreId),
        "SELECT id, store_id FROM devices WHERE id IN",
        ids
    )
}

/// Replaces a device's password.
pub(crate) async fn update_password(
    tx: &mut Tx,
    id: DeviceId,
    password_sha256: &str,
) -> Result<(), StoreError> {
    ::store::execute!(
        tx,
        "UPDATE devices SET password_sha256 = $2 WHERE id = $1",
        id,
        password_sha256
    )?;
    Ok(())
}

/// Devices of one store, or of all, by id, after `after`.
pub(crate) async fn list(
    tx: &mut Tx,
    store: Option<StoreId>,
    after: Option<DeviceId>,
    limit: i64,
) -> Result<Vec<DeviceRow>, StoreError> {
    ::store::fetch_all!(
        tx,
        DeviceRow,
        "SELECT id, store_id, name, kind, password_sha256, created_at FROM devices
         WHERE ($1 IS NULL OR store_id = $1) AND ($2 IS NULL OR id > $2) ORDER BY id LIMIT $3",
        store,
        after,
        limit
    )
}
