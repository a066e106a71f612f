//! Puts a new key in the place of the one that signs tokens.
//!
//! A new key is published before it signs, so that everybody knows it in time; an old one stays
//! published until the last token that it may have signed has expired. Of replicas that rotate at
//! once, one makes the key.

use std::time::Duration;

use common::auth::{MAX_TOKEN_LIFE, Principal};
use common::time::Timestamp;
use serde_json::json;
use store::Tx;

use super::whoami::caller;
use crate::audit::{self, Actor, Entry};
use crate::error::KeyError;
use crate::state::AppState;
use crate::store::signing_keys;

/// Time for every replica and every verifier to learn of a key that is made on request: they ask
/// every few seconds.
const NOTICE: Duration = Duration::from_secs(10);

/// What becomes of the keys before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retire {
    /// Published until their tokens have expired: nobody notices.
    WhenExpired,
    /// At once: their tokens are refused from now on.
    Now,
}

/// A key that was made.
#[derive(Clone, Debug)]
pub(crate) struct NewKey {
    pub(crate) kid: String,
    pub(crate) signs_from: Timestamp,
}

/// When a key is followed by the next one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RotationPlan {
    /// How long a key signs.
    pub(crate) every: Duration,
    /// How long before that the next one is published.
    pub(crate) ahead: Duration,
}

/// Rotates because somebody says so.
pub(crate) async fn rotate(
    state: &AppState,
    principal: &Principal,
    retire: Retire,
) -> Result<NewKey, KeyError> {
    let mut tx = state.db.begin().await?;
    caller(state, &mut tx, principal).await?;
    let notice = match retire {
        Retire::WhenExpired => NOTICE,
        Retire::Now => Duration::ZERO,
    };
    let newest = signing_keys::newest_locked(&mut tx).await?;
    let made = add(
        state,
        &mut tx,
        newest.generation,
        notice,
        retire,
        principal.into(),
    )
    .await?;
    let made = made.ok_or(KeyError::RotatedMeanwhile)?;
    tx.commit().await?;
    reload(state).await?;
    tracing::warn!(key.id = made.kid, retire = ?retire, "the signing key is replaced");
    Ok(made)
}

/// Rotates if the key that signs has done so for long enough, and destroys the private halves of keys
/// that are not published any more. Any replica may, at any time.
pub(crate) async fn rotate_if_due(state: &AppState) -> Result<(), KeyError> {
    let plan = state.rotation;
    let now = state.clock.now();
    let is_due = |signs_from: Timestamp| signs_from.plus(plan.every) <= now.plus(plan.ahead);
    let mut tx = state.db.read().await?;
    let due = is_due(signing_keys::newest(&mut tx).await?.signs_from);
    let retired = signing_keys::any_retired(&mut tx, now).await?;
    drop(tx);
    if !due && !retired {
        return Ok(());
    }
    let mut tx = state.db.begin().await?;
    signing_keys::destroy_retired(&mut tx, now).await?;
    let newest = signing_keys::newest_locked(&mut tx).await?;
    if is_due(newest.signs_from) {
        let retire = Retire::WhenExpired;
        let made = add(
            state,
            &mut tx,
            newest.generation,
            plan.ahead,
            retire,
            Actor::System,
        )
        .await?;
        if let Some(made) = made {
            tracing::info!(key.id = made.kid, "made the next signing key");
        }
    }
    tx.commit().await?;
    reload(state).await
}

async fn add(
    state: &AppState,
    tx: &mut Tx,
    newest: i64,
    notice: Duration,
    retire: Retire,
    by: Actor,
) -> Result<Option<NewKey>, KeyError> {
    let now = state.clock.now();
    let signs_from = now.plus(notice);
    let key = state.keyring.next_key(newest, now, signs_from);
    if !signing_keys::insert_generation(tx, &key).await? {
        return Ok(None);
    }
    let published_until = match retire {
        Retire::WhenExpired => signs_from.plus(MAX_TOKEN_LIFE),
        Retire::Now => now,
    };
    signing_keys::retire_before(tx, key.generation, published_until).await?;
    let entry = Entry::new(by, "signing_key.rotated").on("signing_key", &key.kid);
    let after = json!({"signs_from": signs_from, "others_published_until": published_until});
    audit::record(state, tx, entry.after(after)).await?;
    let kid = key.kid;
    Ok(Some(NewKey { kid, signs_from }))
}

async fn reload(state: &AppState) -> Result<(), KeyError> {
    state.keyring.reload().await?;
    state.verifier.use_keys(&state.keyring.published());
    Ok(())
}
