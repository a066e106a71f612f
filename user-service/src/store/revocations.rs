//! What was revoked lately: read from where it is revoked, so that no way to end a session can
//! forget to tell.

use common::auth::{Revocation, Revoked};
use common::ids::UserId;
use common::time::Timestamp;
use store::{StoreError, Tx};

use crate::domain::api_key::ApiKeyId;
use crate::domain::session::SessionId;
use crate::oidc::store::service_sessions;

/// Sessions ended, those of programs among them, and accounts changed since `since`; sessions not used since `unused` have no token
/// that lives.
pub(crate) async fn list_since(
    tx: &mut Tx,
    since: Timestamp,
    unused: Timestamp,
) -> Result<Vec<Revocation>, StoreError> {
    let sessions = store::fetch_all!(
        tx,
        (SessionId, Timestamp),
        "SELECT id, revoked_at FROM sessions WHERE revoked_at >= $1 AND last_used_at >= $2",
        since,
        unused
    )?;
    let accounts = store::fetch_all!(
        tx,
        (UserId, i64, Timestamp),
        "SELECT id, access_version, access_changed_at FROM users WHERE access_changed_at >= $1",
        since
    )?;
    let keys = store::fetch_all!(
        tx,
        (ApiKeyId, Timestamp),
        "SELECT id, revoked_at FROM api_keys WHERE revoked_at >= $1",
        since
    )?;
    let programs = service_sessions::list_ended_since(tx, since).await?;
    let keys = keys.into_iter().map(|(id, at)| Revocation {
        revoked: Revoked::Session(id.to_string()),
        at,
    });
    let sessions = sessions
        .into_iter()
        .chain(programs)
        .map(|(id, at)| Revocation {
            revoked: Revoked::Session(id.to_string()),
            at,
        });
    let accounts = accounts.into_iter().map(|(id, version, at)| Revocation {
        revoked: Revoked::Account {
            id: id.to_string(),
            version,
        },
        at,
    });
    Ok(sessions.chain(accounts).chain(keys).collect())
}

/// Refuses the tokens made from the account before it had this version.
pub(crate) async fn refuse_older_tokens(
    tx: &mut Tx,
    account: UserId,
    version: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "UPDATE users SET access_version = $2, access_changed_at = $3 WHERE id = $1",
        account,
        version,
        now
    )?;
    Ok(())
}
