//! `/oauth/userinfo`.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, get, post, web};
use common::auth::{OpenIdCaller, access};
use common::error::{ApiError, Problem};

use crate::oidc;
use crate::oidc::userinfo::UserInfo;
use crate::state::AppState;

/// Who the application acts for.
///
/// As much of it as the scopes allow (OpenID Connect Core 1.0, section 5.3).
#[access(caller)]
#[utoipa::path(
    tag = "OpenID Connect",
    responses(
        (status = 200, description = "The claims.", body = UserInfo),
        (status = 403, description = "The token is no application's, or lacks the scope `openid`.", body = Problem),
    )
)]
#[get("/oauth/userinfo")]
pub(crate) async fn get_userinfo(
    caller: OpenIdCaller,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    answer(&caller, &state).await
}

/// The same.
#[access(caller)]
#[utoipa::path(
    tag = "OpenID Connect",
    responses(
        (status = 200, description = "The claims.", body = UserInfo),
        (status = 403, description = "The token is no application's, or lacks the scope `openid`.", body = Problem),
    )
)]
#[post("/oauth/userinfo")]
pub(crate) async fn post_userinfo(
    caller: OpenIdCaller,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    answer(&caller, &state).await
}

async fn answer(caller: &OpenIdCaller, state: &AppState) -> Result<HttpResponse, ApiError> {
    let info = oidc::userinfo::userinfo(state, caller).await?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(info))
}
