//! Authorization codes.

use std::time::Duration;

use common::ids::UserId;
use common::time::Timestamp;
use store::{Json, StoreError, Tx};

use super::{read_scopes, scopes_column};
use crate::domain::session::SessionId;
use crate::oidc::browser::Authentication;
use crate::oidc::client::ClientId;
use crate::oidc::request::AuthorizationRequest;
use crate::oidc::scopes::Scopes;

/// A code is good for this long (RFC 6749, section 4.1.2, allows ten minutes).
const LIFE: Duration = Duration::from_secs(60);

/// A code to store.
pub(crate) struct NewCode<'c> {
    pub(crate) hash: String,
    /// The browser in which it is issued.
    pub(crate) browser: SessionId,
    pub(crate) user: UserId,
    pub(crate) authentication: &'c Authentication,
    pub(crate) request: &'c AuthorizationRequest,
    pub(crate) now: Timestamp,
}

/// A code as it is stored.
#[derive(Debug)]
pub(crate) struct StoredCode {
    pub(crate) client: ClientId,
    pub(crate) user: UserId,
    pub(crate) browser: SessionId,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: String,
    pub(crate) nonce: Option<String>,
    pub(crate) scopes: Scopes,
    pub(crate) authentication: Authentication,
    pub(crate) expires_at: Timestamp,
    pub(crate) used: bool,
    /// What it was exchanged for.
    pub(crate) session: Option<SessionId>,
}

#[derive(sqlx::FromRow)]
struct CodeRow {
    client_id: ClientId,
    user_id: UserId,
    browser_id: SessionId,
    redirect_uri: String,
    code_challenge: String,
    nonce: Option<String>,
    scopes: Json<Vec<String>>,
    authenticated_at: Timestamp,
    methods: Json<Vec<String>>,
    expires_at: Timestamp,
    used_at: Option<Timestamp>,
    session_id: Option<SessionId>,
}

impl From<CodeRow> for StoredCode {
    fn from(row: CodeRow) -> Self {
        Self {
            client: row.client_id,
            user: row.user_id,
            browser: row.browser_id,
            redirect_uri: row.redirect_uri,
            challenge: row.code_challenge,
            nonce: row.nonce,
            scopes: read_scopes(row.scopes),
            authentication: Authentication {
                at: row.authenticated_at,
                methods: row.methods.0,
            },
            expires_at: row.expires_at,
            used: row.used_at.is_some(),
            session: row.session_id,
        }
    }
}

/// Stores a code.
pub(crate) async fn insert(tx: &mut Tx, new: &NewCode<'_>) -> Result<(), StoreError> {
    let (request, authentication) = (new.request, new.authentication);
    let (scopes, methods) = (
        scopes_column(&request.scopes),
        store::json(&authentication.methods),
    );
    store::execute!(
        tx,
        "INSERT INTO oidc_codes (code_hash, client_id, user_id, browser_id, redirect_uri,
                                 code_challenge, nonce, scopes, authenticated_at, methods,
                                 expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        &new.hash,
        request.client.id,
        new.user,
        new.browser,
        &request.redirect_uri,
        request.challenge.as_str(),
        &request.nonce,
        &scopes,
        authentication.at,
        &methods,
        new.now.plus(LIFE)
    )?;
    Ok(())
}

/// A code, kept from being exchanged by others until the transaction ends.
pub(crate) async fn find_locked(tx: &mut Tx, hash: &str) -> Result<Option<StoredCode>, StoreError> {
    let row = store::fetch_optional_locked!(
        tx,
        CodeRow,
        "SELECT client_id, user_id, browser_id, redirect_uri, code_challenge, nonce, scopes,
                authenticated_at, methods, expires_at, used_at, session_id
         FROM oidc_codes WHERE code_hash = $1",
        hash
    )?;
    Ok(row.map(StoredCode::from))
}

/// Marks a code as exchanged for a session.
pub(crate) async fn mark_used(
    tx: &mut Tx,
    hash: &str,
    session: SessionId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE oidc_codes SET used_at = $2, session_id = $3 WHERE code_hash = $1";
    store::execute!(tx, sql, hash, now, session)?;
    Ok(())
}

/// Forgets codes that expired before `before`.
pub(crate) async fn delete_expired(tx: &mut Tx, before: Timestamp) -> Result<u64, StoreError> {
    store::execute!(tx, "DELETE FROM oidc_codes WHERE expires_at < $1", before)
}
