//! What people let applications do.

use common::ids::UserId;
use common::time::Timestamp;
use store::{Json, StoreError, Tx};

use super::{read_scopes, scopes_column};
use crate::oidc::client::ClientId;
use crate::oidc::scopes::Scopes;

/// A consent, as its giver sees it.
#[derive(Debug)]
pub(crate) struct Consent {
    pub(crate) client: ClientId,
    pub(crate) client_name: String,
    pub(crate) scopes: Scopes,
    pub(crate) granted_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct ConsentRow {
    client_id: ClientId,
    name: String,
    scopes: Json<Vec<String>>,
    granted_at: Timestamp,
}

/// What a person let an application do.
pub(crate) async fn find(
    tx: &mut Tx,
    user: UserId,
    client: ClientId,
) -> Result<Option<Scopes>, StoreError> {
    let row = store::fetch_optional!(
        tx,
        (Json<Vec<String>>,),
        "SELECT scopes FROM oidc_consents WHERE user_id = $1 AND client_id = $2",
        user,
        client
    )?;
    Ok(row.map(|(scopes,)| read_scopes(scopes)))
}

/// The same, kept from changing until the transaction ends.
pub(crate) async fn find_locked(
    tx: &mut Tx,
    user: UserId,
    client: ClientId,
) -> Result<Option<Scopes>, StoreError> {
    let row = store::fetch_optional_locked!(
        tx,
        (Json<Vec<String>>,),
        "SELECT scopes FROM oidc_consents WHERE user_id = $1 AND client_id = $2",
        user,
        client
    )?;
    Ok(row.map(|(scopes,)| read_scopes(scopes)))
}

/// Remembers what a person lets an application do, in the place of what was remembered before.
pub(crate) async fn upsert(
    tx: &mut Tx,
    user: UserId,
    client: ClientId,
    scopes: &Scopes,
    now: Timestamp,
) -> Result<(), StoreError> {
    let scopes = scopes_column(scopes);
    store::execute!(
        tx,
        "INSERT INTO oidc_consents (user_id, client_id, scopes, granted_at)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (user_id, client_id)
         DO UPDATE SET scopes = excluded.scopes, granted_at = excluded.granted_at",
        user,
        client,
        &scopes,
        now
    )?;
    Ok(())
}

/// A person's consents, in the order of the applications' registration, from after `after` on.
pub(crate) async fn list(
    tx: &mut Tx,
    user: UserId,
    after: Option<ClientId>,
    limit: i64,
) -> Result<Vec<Consent>, StoreError> {
    let rows = store::fetch_all!(
        tx,
        ConsentRow,
        "SELECT c.client_id, a.name, c.scopes, c.granted_at
         FROM oidc_consents AS c JOIN oidc_clients AS a ON a.id = c.client_id
         WHERE c.user_id = $1 AND ($2 IS NULL OR c.client_id > $2)
         ORDER BY c.client_id LIMIT $3",
        user,
        after,
        limit
    )?;
    let consent = |row: ConsentRow| Consent {
        client: row.client_id,
        client_name: row.name,
        scopes: read_scopes(row.scopes),
        granted_at: row.granted_at,
    };
    Ok(rows.into_iter().map(consent).collect())
}

/// Takes a consent back.
pub(crate) async fn delete(
    tx: &mut Tx,
    user: UserId,
    client: ClientId,
) -> Result<bool, StoreError> {
    let sql = "DELETE FROM oidc_consents WHERE user_id = $1 AND client_id = $2";
    Ok(store::execute!(tx, sql, user, client)? == 1)
}
