//! `/api/auth/sessions` and `/api/users/{id}/sessions`: who is signed in where.

use actix_web::{HttpResponse, delete, get, web};
use common::auth::{Permit, Principal, access, permits};
use common::error::{ApiError, Problem};
use common::extract::PathId;
use common::ids::UserId;
use common::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::own_sessions;
use crate::domain::session::SessionId;
use crate::state::AppState;
use crate::store::session_list::ListedSession;

/// A session that is in force.
#[derive(Serialize, ToSchema)]
pub(crate) struct ListedSessionOut {
    /// Its id, the tokens' `sid`.
    id: SessionId,
    /// The browser and system that opened it, as far as it said.
    device: Option<String>,
    /// The network address that opened it.
    address: Option<String>,
    /// When it was opened.
    created_at: Timestamp,
    /// When its tokens were renewed last.
    last_used_at: Timestamp,
    /// When it ends, however much it is used.
    expires_at: Timestamp,
    /// Whether it is the one that asks.
    current: bool,
}

/// The sessions of an account.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionsOut {
    /// At most 200, last used first.
    items: Vec<ListedSessionOut>,
}

impl SessionsOut {
    fn new(listed: Vec<ListedSession>, current: Option<SessionId>) -> Self {
        let item = |session: ListedSession| ListedSessionOut {
            id: session.id,
            device: session.device,
            address: session.address,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
            current: current == Some(session.id),
        };
        Self {
            items: listed.into_iter().map(item).collect(),
        }
    }
}

/// Lists the caller's sessions.
///
/// For any signed-in account.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    responses(
        (status = 200, description = "The sessions in force.", body = SessionsOut),
        (status = 401, description = "Not signed in, or the session has ended.", body = Problem),
    ),
)]
#[get("/api/auth/sessions")]
pub(crate) async fn list_own(
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<web::Json<SessionsOut>, ApiError> {
    let (listed, current) = own_sessions::list_own(&state, &principal).await?;
    Ok(web::Json(SessionsOut::new(listed, current)))
}

/// Ends all of the caller's sessions but the one that asks.
///
/// For any signed-in account. Their tokens are refused everywhere within seconds. Repeating it
/// changes nothing. Emits no event.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    responses(
        (status = 204, description = "Ended."),
        (status = 401, description = "Not signed in, or the session has ended.", body = Problem),
    ),
)]
#[delete("/api/auth/sessions")]
pub(crate) async fn end_others(
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    own_sessions::end_others(&state, &principal).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Ends one of the caller's sessions.
///
/// For any signed-in account. Its tokens are refused everywhere within seconds. One that is not the
/// caller's, or never was, is as good as ended. Repeating it changes nothing. Emits no event.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    params(("id" = SessionId, Path, description = "The session.")),
    responses(
        (status = 204, description = "Ended."),
        (status = 404, description = "Not an id.", body = Problem),
    ),
)]
#[delete("/api/auth/sessions/{id}")]
pub(crate) async fn end_one(
    principal: Principal,
    state: web::Data<AppState>,
    id: PathId<SessionId>,
) -> Result<HttpResponse, ApiError> {
    own_sessions::end_one(&state, &principal, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Lists the sessions of an account.
///
/// For owners any account, for managers those that share a store with them and may do no more than
/// they.
#[access(object)]
#[utoipa::path(
    tag = "users",
    params(("id" = UserId, Path, description = "The account.")),
    responses(
        (status = 200, description = "The sessions in force.", body = SessionsOut),
        (status = 403, description = "The account may do more than the caller.", body = Problem),
        (status = 404, description = "No such account, or none of the caller's.", body = Problem),
    ),
)]
#[get("/api/users/{id}/sessions")]
pub(crate) async fn list_of(
    auth: Permit<permits::SessionsRevoke>,
    state: web::Data<AppState>,
    id: PathId<UserId>,
) -> Result<web::Json<SessionsOut>, ApiError> {
    let listed = own_sessions::list_of(&state, &auth, id.0).await?;
    Ok(web::Json(SessionsOut::new(listed, None)))
}

/// Ends every session of an account.
///
/// For owners any account, for managers those that share a store with them and may do no more than
/// they. Their tokens are refused everywhere within seconds. Repeating it changes nothing. Emits no
/// event.
#[access(object)]
#[utoipa::path(
    tag = "users",
    params(("id" = UserId, Path, description = "The account.")),
    responses(
        (status = 204, description = "Ended."),
        (status = 403, description = "The account may do more than the caller.", body = Problem),
        (status = 404, description = "No such account, or none of the caller's.", body = Problem),
    ),
)]
#[delete("/api/users/{id}/sessions")]
pub(crate) async fn end_all_of(
    auth: Permit<permits::SessionsRevoke>,
    state: web::Data<AppState>,
    id: PathId<UserId>,
) -> Result<HttpResponse, ApiError> {
    own_sessions::end_all_of(&state, &auth, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
