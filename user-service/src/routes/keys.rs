//! The public keys with which everybody verifies tokens.

use actix_web::http::header::{CACHE_CONTROL, ContentType};
use actix_web::{HttpResponse, get, web};
use common::auth::{JwkSet, access};

use crate::state::AppState;

/// The keys that sign tokens, as a JSON Web Key Set (RFC 7517).
///
/// Open to everybody. Several keys while a rotation overlaps.
#[access(public)]
#[utoipa::path(
    tag = "keys",
    responses((status = 200, description = "The keys.", body = JwkSet))
)]
#[get("/.well-known/jwks.json")]
pub(crate) async fn jwks(state: web::Data<AppState>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(ContentType::json())
        .insert_header((CACHE_CONTROL, "public, max-age=60"))
        .json(state.keyring.published())
}
