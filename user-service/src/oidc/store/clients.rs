//! Registered applications.

use common::auth::StoreClaim;
use common::time::Timestamp;
use store::{Json, StoreError, Tx};

use super::{read_scopes, scopes_column};
use crate::domain::session::SessionId;
use crate::oidc::client::{Client, ClientId, ServiceGrant};

#[derive(sqlx::FromRow)]
struct ClientRow {
    id: ClientId,
    name: String,
    secret_hash: Option<String>,
    redirect_uris: Json<Vec<String>>,
    post_logout_redirect_uris: Json<Vec<String>>,
    scopes: Json<Vec<String>>,
    service_session_id: Option<SessionId>,
    service_stores: Option<Json<StoreClaim>>,
    disabled: bool,
    version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<ClientRow> for Client {
    fn from(row: ClientRow) -> Self {
        let service = row.service_session_id.zip(row.service_stores);
        Self {
            service: service.map(|(session, stores)| ServiceGrant {
                session,
                stores: stores.0,
            }),
            id: row.id,
            name: row.name,
            secret_hash: row.secret_hash,
            redirect_uris: row.redirect_uris.0,
            post_logout_redirect_uris: row.post_logout_redirect_uris.0,
            scopes: read_scopes(row.scopes),
            disabled: row.disabled,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Registers an application.
pub(crate) async fn insert(tx: &mut Tx, client: &Client) -> Result<(), StoreError> {
    let redirect_uris = store::json(&client.redirect_uris);
    let post_logout = store::json(&client.post_logout_redirect_uris);
    let scopes = scopes_column(&client.scopes);
    store::execute!(
        tx,
        "INSERT INTO oidc_clients (id, name, secret_hash, redirect_uris,
                                   post_logout_redirect_uris, scopes, disabled, version,
                                   created_at, updated_at, service_session_id, service_stores)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        client.id,
        &client.name,
        &client.secret_hash,
        &redirect_uris,
        &post_logout,
        &scopes,
        client.disabled,
        client.version,
        client.created_at,
        client.updated_at,
        client.service.as_ref().map(|service| service.session),
        stores_column(client)
    )?;
    Ok(())
}

/// Stores a changed application, unless it changed from another version than the one before.
pub(crate) async fn update(tx: &mut Tx, client: &Client) -> Result<bool, StoreError> {
    let redirect_uris = store::json(&client.redirect_uris);
    let post_logout = store::json(&client.post_logout_redirect_uris);
    let scopes = scopes_column(&client.scopes);
    let updated = store::execute!(
        tx,
        "UPDATE oidc_clients
         SET name = $2, secret_hash = $3, redirect_uris = $4, post_logout_redirect_uris = $5,
             scopes = $6, disabled = $7, version = $8, updated_at = $9, service_session_id = $10,
             service_stores = $11
         WHERE id = $1 AND version = $8 - 1",
        client.id,
        &client.name,
        &client.secret_hash,
        &redirect_uris,
        &post_logout,
        &scopes,
        client.disabled,
        client.version,
        client.updated_at,
        client.service.as_ref().map(|service| service.session),
        stores_column(client)
    )?;
    Ok(updated == 1)
}

fn stores_column(client: &Client) -> Option<Json<&StoreClaim>> {
    let service = client.service.as_ref();
    service.map(|service| store::json(&service.stores))
}

/// Gives an application that acts for itself another session, unless it has another one already.
pub(crate) async fn replace_service_session(
    tx: &mut Tx,
    id: ClientId,
    session: SessionId,
    next: SessionId,
) -> Result<bool, StoreError> {
    let sql = "UPDATE oidc_clients SET service_session_id = $3
               WHERE id = $1 AND service_session_id = $2";
    Ok(store::execute!(tx, sql, id, session, next)? == 1)
}

/// Forgets an application, and with it consents, codes and grants.
pub(crate) async fn delete(tx: &mut Tx, id: ClientId) -> Result<bool, StoreError> {
    let deleted = store::execute!(tx, "DELETE FROM oidc_clients WHERE id = $1", id)?;
    Ok(deleted == 1)
}

/// Selects the application `$1`.
macro_rules! select_client {
    () => {
        "SELECT id, name, secret_hash, redirect_uris, post_logout_redirect_uris, scopes,
                service_session_id, service_stores, disabled, version, created_at, updated_at
         FROM oidc_clients WHERE id = $1"
    };
}

/// One application.
pub(crate) async fn find(tx: &mut Tx, id: ClientId) -> Result<Option<Client>, StoreError> {
    let row = store::fetch_optional!(tx, ClientRow, select_client!(), id)?;
    Ok(row.map(Client::from))
}

/// One application, kept from changing until the transaction ends.
pub(crate) async fn find_locked(tx: &mut Tx, id: ClientId) -> Result<Option<Client>, StoreError> {
    let row = store::fetch_optional_locked!(tx, ClientRow, select_client!(), id)?;
    Ok(row.map(Client::from))
}

/// Applications in the order of their registration, from after `after` on.
pub(crate) async fn list(
    tx: &mut Tx,
    after: Option<ClientId>,
    limit: i64,
) -> Result<Vec<Client>, StoreError> {
    let rows = store::fetch_all!(
        tx,
        ClientRow,
        "SELECT id, name, secret_hash, redirect_uris, post_logout_redirect_uris, scopes,
                service_session_id, service_stores, disabled, version, created_at, updated_at
         FROM oidc_clients WHERE ($1 IS NULL OR id > $1) ORDER BY id LIMIT $2",
        after,
        limit
    )?;
    Ok(rows.into_iter().map(Client::from).collect())
}
