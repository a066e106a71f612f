//! What this service holds of a person: shown and removed.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, get, post, web};
use common::auth::{Permit, Principal, access, permits};
use common::error::{ApiError, Problem};
use common::extract::PathId;
use common::ids::UserId;

use crate::app::privacy::{self, Export};
use crate::state::AppState;

fn answer(everything: &Export) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(everything)
}

/// Everything that this service holds of a person.
///
/// For owners.
#[access(chain)]
#[utoipa::path(
    tag = "users",
    params(("id" = UserId, Path, description = "The account.")),
    responses(
        (status = 200, description = "Everything.", body = Export),
        (status = 404, description = "No such account.", body = Problem),
    ),
)]
#[get("/api/users/{id}/export")]
pub(crate) async fn export(
    auth: Permit<permits::UsersWrite>,
    state: web::Data<AppState>,
    id: PathId<UserId>,
) -> Result<HttpResponse, ApiError> {
    Ok(answer(&privacy::export(&state, &auth, id.0).await?))
}

/// Everything that this service holds of the caller.
///
/// For any signed-in account.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    responses(
        (status = 200, description = "Everything.", body = Export),
        (status = 401, description = "Not signed in, or the session has ended.", body = Problem),
    ),
)]
#[get("/api/auth/me/export")]
pub(crate) async fn export_own(
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    Ok(answer(&privacy::export_own(&state, &principal).await?))
}

/// Removes a person's data and ends every session, for good; the account's id stays, where records
/// must be kept.
///
/// For owners. The last owner cannot be erased. Repeating it changes nothing. Emits
/// `user.erased.v1`.
#[access(chain)]
#[utoipa::path(
    tag = "users",
    params(("id" = UserId, Path, description = "The account.")),
    responses(
        (status = 204, description = "Erased."),
        (status = 404, description = "No such account.", body = Problem),
        (status = 409, description = "It is the last owner.", body = Problem),
    ),
)]
#[post("/api/users/{id}/erase")]
pub(crate) async fn erase(
    auth: Permit<permits::UsersWrite>,
    state: web::Data<AppState>,
    id: PathId<UserId>,
) -> Result<HttpResponse, ApiError> {
    privacy::erase(&state, &auth, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
