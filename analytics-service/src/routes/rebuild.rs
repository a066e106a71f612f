//! The read model, built again from its events.

use actix_web::{HttpResponse, post, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};

use crate::app::AppState;
use crate::app::rebuild::{Mode, Rebuilt, rebuild};

/// Rebuilds the read model from its events and compares it with the live one, which stays. Nothing
/// else is taken in meanwhile. Needs the permission `SystemOperate`.
#[access(chain)]
#[utoipa::path(
    tag = "operation",
    responses((status = 200, body = Rebuilt), (status = 403, body = Problem))
)]
#[post("/api/analytics/read-model/compare")]
pub(crate) async fn compare(
    _auth: Permit<permits::SystemOperate>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(rebuild(&state, Mode::Compare).await?))
}

/// Rebuilds the read model from its events in place of the live one. Repeating it changes nothing.
/// Needs the permission `SystemOperate`.
#[access(chain)]
#[utoipa::path(
    tag = "operation",
    responses((status = 200, body = Rebuilt), (status = 403, body = Problem))
)]
#[post("/api/analytics/read-model/rebuild")]
pub(crate) async fn replace(
    _auth: Permit<permits::SystemOperate>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(rebuild(&state, Mode::Replace).await?))
}
