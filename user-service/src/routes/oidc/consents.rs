//! `/api/auth/consents`: what the caller let applications do.

use actix_web::{HttpResponse, delete, get, web};
use common::auth::{Principal, access};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, ValidQuery};
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use common::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::oidc::client::ClientId;
use crate::oidc::consents;
use crate::oidc::store::consents::Consent;
use crate::state::AppState;

/// Something that the caller let an application do.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConsentOut {
    /// The application's client id.
    client_id: ClientId,
    /// The application's name.
    client_name: String,
    /// What it may do.
    scopes: Vec<&'static str>,
    /// When the caller said so last.
    granted_at: Timestamp,
}

impl From<Consent> for ConsentOut {
    fn from(consent: Consent) -> Self {
        Self {
            client_id: consent.client,
            client_name: consent.client_name,
            scopes: consent.scopes.names(),
            granted_at: consent.granted_at,
        }
    }
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConsentQuery {
    /// Page size, 1 to 200; 50 when left out.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// From the page before.
    #[serde(default)]
    cursor: Option<String>,
}

impl Check for ConsentQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

/// Lists what the caller let applications do.
///
/// For any signed-in account.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    params(ConsentQuery),
    responses((status = 200, description = "One page.", body = Page<ConsentOut>))
)]
#[get("/api/auth/consents")]
pub(crate) async fn list(
    principal: Principal,
    state: web::Data<AppState>,
    query: ValidQuery<ConsentQuery>,
) -> Result<web::Json<Page<ConsentOut>>, ApiError> {
    let after: Option<ClientId> = decode_cursor(query.cursor.as_deref())?;
    let limit = limit_or_default(query.limit);
    // One more than asked for tells whether there is another page.
    let found = consents::list(&state, &principal, after, limit.saturating_add(1)).await?;
    let page = Page::cut(found, limit, |consent| consent.client, ConsentOut::from);
    Ok(web::Json(page))
}

/// Takes a consent back: the application acts for the caller no longer.
///
/// For any signed-in account. Repeating it is answered 404. Emits no event.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    params(("id" = ClientId, Path, description = "The application.")),
    responses(
        (status = 204, description = "Taken back."),
        (status = 404, description = "There was no such consent.", body = Problem),
    )
)]
#[delete("/api/auth/consents/{id}")]
pub(crate) async fn take_back(
    principal: Principal,
    state: web::Data<AppState>,
    id: PathId<ClientId>,
) -> Result<HttpResponse, ApiError> {
    match consents::take_back(&state, &principal, id.0).await? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(ApiError::not_found("consent")),
    }
}
