//! A terminal at which people of a store take turns.

use common::ids::{StoreId, UserId};
use common::time::Timestamp;

common::define_id! {
    /// A registered terminal of a store.
    pub(crate) struct PosDeviceId;
}

/// Longest name, in characters.
pub(crate) const MAX_DEVICE_NAME_CHARACTERS: usize = 60;

/// A registered terminal.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct PosDevice {
    pub(crate) id: PosDeviceId,
    pub(crate) store_id: StoreId,
    pub(crate) name: String,
    pub(crate) registered_by: UserId,
    pub(crate) created_at: Timestamp,
    pub(crate) last_used_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
}
