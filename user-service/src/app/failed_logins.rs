//! Counts failed logins, and writes down those that made further ones wait.

use common::ids::UserId;
use serde_json::json;
use store::StoreError;

use crate::audit::{self, Actor, Entry};
use crate::state::AppState;
use crate::throttle::Attempt;

/// Counts a failed try, of an account that exists or of none: both cost the same. From the one on
/// that makes its account wait at its address, each is written down; there are few, because the waits
/// double.
pub(super) async fn count(
    state: &AppState,
    attempt: &Attempt,
    known: Option<UserId>,
) -> Result<(), StoreError> {
    state.throttle.failed(attempt).await;
    let Some(wait) = state.throttle.waits(attempt).await.always else {
        return Ok(());
    };
    let entry = Entry::new(Actor::Unknown, "login.delayed");
    let entry = match known {
        Some(account) => entry.on("account", account),
        None => entry,
    };
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let mut tx = state.db.begin().await?;
    audit::record(state, &mut tx, entry.after(json!({"wait_ms": wait_ms}))).await?;
    tx.commit().await
}
