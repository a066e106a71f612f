//! The passwords of devices.

use ::store::{Db, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::ids::DeviceId;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::topic::Place;
use crate::store::devices;

/// Bytes of randomness in a password.
const PASSWORD_BYTES: usize = 32;

/// The system has no randomness to give.
#[derive(Debug, thiserror::Error)]
#[error("the system gave no randomness")]
pub(crate) struct NoRandomness;

/// A new password. It is shown once; only its hash is kept.
pub(crate) fn new_password() -> Result<SecretString, NoRandomness> {
    let mut bytes = [0_u8; PASSWORD_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_unspecified| NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}

/// What is stored of a password.
pub(crate) fn hash(password: &SecretString) -> String {
    let hash = digest(&SHA256, password.expose_secret().as_bytes());
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The place of the device, if it is registered and this is its password.
pub(crate) async fn authenticate(
    db: &Db,
    device: DeviceId,
    password: &SecretString,
) -> Result<Option<Place>, StoreError> {
    let mut tx = db.glance().await?;
    let Some(row) = devices::find(&mut tx, device).await? else {
        return Ok(None);
    };
    // Equal hashes of random passwords leak nothing by the time their comparison takes.
    let proved = row.password_sha256 == hash(password);
    Ok(proved.then_some(Place {
        store: row.store_id,
        device,
    }))
}
