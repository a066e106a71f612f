//! Terminals at which people of a store take turns: registering, listing and revoking them.

use common::auth::Principal;
use common::ids::StoreId;
use secrecy::SecretString;

use super::whoami::caller;
use crate::audit::{self, Entry};
use crate::domain::device::{PosDevice, PosDeviceId};
use crate::domain::session::RevokeReason;
use crate::error::{AccountError, CredentialError};
use crate::keys::{OpaqueToken, TokenKind};
use crate::state::AppState;
use crate::store::{pos_devices, sessions};

/// Registers a terminal of one of the caller's stores; its token can be shown this once.
pub(crate) async fn register(
    state: &AppState,
    principal: &Principal,
    store: StoreId,
    name: String,
) -> Result<(PosDevice, OpaqueToken), CredentialError> {
    let mut tx = state.db.begin().await?;
    let caller = caller(state, &mut tx, principal).await?;
    if !caller.scope().contains(store) {
        return Err(AccountError::ForeignStore.into());
    }
    let device = PosDevice {
        id: PosDeviceId::new(&state.clock),
        store_id: store,
        name,
        registered_by: caller.id,
        created_at: state.clock.now(),
        last_used_at: None,
        revoked_at: None,
    };
    let token = OpaqueToken::new(TokenKind::Device);
    pos_devices::insert_device(&mut tx, &device, &token.hash()).await?;
    let entry = Entry::new(principal, "device.registered").on("pos_device", device.id);
    audit::record(state, &mut tx, entry.at_store(store)).await?;
    tx.commit().await?;
    tracing::info!(device.id = %device.id, by.id = %caller.id, "registered a terminal");
    Ok((device, token))
}

/// Terminals of the caller's stores in the order of their registration, at most `limit`.
pub(crate) async fn list(
    state: &AppState,
    principal: &Principal,
    after: Option<PosDeviceId>,
    limit: u32,
) -> Result<Vec<PosDevice>, CredentialError> {
    let mut tx = state.db.read().await?;
    let caller = caller(state, &mut tx, principal).await?;
    Ok(pos_devices::list_devices(&mut tx, &caller.scope(), after, limit.into()).await?)
}

/// Revokes a terminal and ends the sessions opened at it. Repeating it changes nothing.
pub(crate) async fn revoke(
    state: &AppState,
    principal: &Principal,
    id: PosDeviceId,
) -> Result<(), CredentialError> {
    let mut tx = state.db.begin().await?;
    let caller = caller(state, &mut tx, principal).await?;
    let device = pos_devices::find_device_locked(&mut tx, id).await?;
    let scope = caller.scope();
    let device = device
        .filter(|device| scope.contains(device.store_id))
        .ok_or(CredentialError::Unknown("device"))?;
    if device.revoked_at.is_some() {
        return Ok(tx.commit().await?);
    }
    let now = state.clock.now();
    pos_devices::revoke_device(&mut tx, device.id, now).await?;
    for session in pos_devices::list_sessions(&mut tx, device.id, now).await? {
        sessions::revoke_session(&mut tx, session, RevokeReason::DeviceRevoked, now).await?;
    }
    state.revocations.follows(&mut tx);
    let entry = Entry::new(principal, "device.revoked").on("pos_device", id);
    audit::record(state, &mut tx, entry.at_store(device.store_id)).await?;
    tx.commit().await?;
    tracing::info!(device.id = %id, by.id = %caller.id, "revoked a terminal");
    Ok(())
}

/// The terminal that presents this token.
pub(crate) async fn recognize(
    state: &AppState,
    token: &SecretString,
) -> Result<PosDevice, CredentialError> {
    let token = OpaqueToken::parse(TokenKind::Device, token);
    let token = token.ok_or(CredentialError::UnknownDevice)?;
    let mut tx = state.db.read().await?;
    let device = pos_devices::find_by_token(&mut tx, &token.hash()).await?;
    device.ok_or(CredentialError::UnknownDevice)
}
