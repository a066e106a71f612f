//! Sessions of applications that act for people.

use common::ids::UserId;
use common::time::Timestamp;
use store::{Json, StoreError, Tx};

use super::{read_scopes, scopes_column};
use crate::domain::session::SessionId;
use crate::oidc::browser::Authentication;
use crate::oidc::client::ClientId;
use crate::oidc::scopes::Scopes;

/// What an application may do in a session.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) session: SessionId,
    pub(crate) client: ClientId,
    /// The browser in which it was given: the `sid` of its ID tokens.
    pub(crate) browser: SessionId,
    pub(crate) scopes: Scopes,
    pub(crate) authentication: Authentication,
}

#[derive(sqlx::FromRow)]
struct GrantRow {
    session_id: SessionId,
    client_id: ClientId,
    browser_id: SessionId,
    scopes: Json<Vec<String>>,
    authenticated_at: Timestamp,
    methods: Json<Vec<String>>,
}

impl From<GrantRow> for Grant {
    fn from(row: GrantRow) -> Self {
        Self {
            session: row.session_id,
            client: row.client_id,
            browser: row.browser_id,
            scopes: read_scopes(row.scopes),
            authentication: Authentication {
                at: row.authenticated_at,
                methods: row.methods.0,
            },
        }
    }
}

/// Makes a session an application's.
pub(crate) async fn insert(tx: &mut Tx, grant: &Grant) -> Result<(), StoreError> {
    let (scopes, methods) = (
        scopes_column(&grant.scopes),
        store::json(&grant.authentication.methods),
    );
    store::execute!(
        tx,
        "INSERT INTO oidc_grants (session_id, client_id, browser_id, scopes, authenticated_at,
                                  methods)
         VALUES ($1, $2, $3, $4, $5, $6)",
        grant.session,
        grant.client,
        grant.browser,
        &scopes,
        grant.authentication.at,
        &methods
    )?;
    Ok(())
}

/// What an application may do in this session; `None` for a session that is a person's own.
pub(crate) async fn find(tx: &mut Tx, session: SessionId) -> Result<Option<Grant>, StoreError> {
    let row = store::fetch_optional!(
        tx,
        GrantRow,
        "SELECT session_id, client_id, browser_id, scopes, authenticated_at, methods
         FROM oidc_grants WHERE session_id = $1",
        session
    )?;
    Ok(row.map(Grant::from))
}

/// Sessions in which an application acts for anybody, or for one person.
pub(crate) async fn list_sessions(
    tx: &mut Tx,
    client: ClientId,
    user: Option<UserId>,
) -> Result<Vec<SessionId>, StoreError> {
    let rows = store::fetch_all!(
        tx,
        (SessionId,),
        "SELECT g.session_id FROM oidc_grants AS g JOIN sessions AS s ON s.id = g.session_id
         WHERE g.client_id = $1 AND ($2 IS NULL OR s.user_id = $2) AND s.revoked_at IS NULL
         ORDER BY g.session_id",
        client,
        user
    )?;
    Ok(rows.into_iter().map(|(session,)| session).collect())
}
