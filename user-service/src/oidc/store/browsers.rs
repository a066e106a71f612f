//! Browsers in which somebody is signed in.

use common::time::Timestamp;
use store::{Json, StoreError, Tx};

use crate::domain::session::SessionId;
use crate::oidc::browser::Authentication;
use crate::oidc::scopes::{OFFLINE_ACCESS, Scopes};

/// A browser as it is stored.
pub(crate) struct Browser {
    pub(crate) session: SessionId,
    pub(crate) authentication: Authentication,
}

#[derive(sqlx::FromRow)]
struct BrowserRow {
    session_id: SessionId,
    authenticated_at: Timestamp,
    methods: Json<Vec<String>>,
}

/// Makes a session a browser's.
pub(crate) async fn insert(
    tx: &mut Tx,
    session: SessionId,
    cookie_hash: &str,
    authentication: &Authentication,
) -> Result<(), StoreError> {
    let methods = store::json(&authentication.methods);
    store::execute!(
        tx,
        "INSERT INTO oidc_browsers (session_id, cookie_hash, authenticated_at, methods)
         VALUES ($1, $2, $3, $4)",
        session,
        cookie_hash,
        authentication.at,
        &methods
    )?;
    Ok(())
}

/// The browser that holds a cookie; its session may be over.
pub(crate) async fn find_by_cookie(
    tx: &mut Tx,
    cookie_hash: &str,
) -> Result<Option<Browser>, StoreError> {
    let row = store::fetch_optional!(
        tx,
        BrowserRow,
        "SELECT session_id, authenticated_at, methods FROM oidc_browsers WHERE cookie_hash = $1",
        cookie_hash
    )?;
    Ok(row.map(|row| Browser {
        session: row.session_id,
        authentication: Authentication {
            at: row.authenticated_at,
            methods: row.methods.0,
        },
    }))
}

/// Sessions of applications that got them in this browser, and that may not act while the person is
/// away.
pub(crate) async fn list_grants_that_end_with(
    tx: &mut Tx,
    browser: SessionId,
) -> Result<Vec<SessionId>, StoreError> {
    let rows = store::fetch_all!(
        tx,
        (SessionId, Json<Vec<String>>),
        "SELECT session_id, scopes FROM oidc_grants WHERE browser_id = $1 ORDER BY session_id",
        browser
    )?;
    let ends = |(session, scopes): (SessionId, Json<Vec<String>>)| {
        let scopes: Scopes = scopes.0.into_iter().collect();
        (!scopes.contains(OFFLINE_ACCESS)).then_some(session)
    };
    Ok(rows.into_iter().filter_map(ends).collect())
}
