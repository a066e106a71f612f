//! `/oauth/userinfo`.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, get, post, web};
use common::auth::{OpenIdCaller, access};
use common::error::{ApiError, Problem};
use utoipa::IntoResponses;

use crate::oidc;
use crate::oidc::userinfo::UserInfo;
use crate::state::AppState;

/// What both methods answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answers in the OpenAPI document")]
enum UserInfoOut {
    /// The claims.
    #[response(status = 200)]
    Claims(#[to_schema] UserInfo),
    /// The token is no application's, or lacks the scope `openid`.
    #[response(status = 403)]
    Refused(#[to_schema] Problem),
}

/// Who the application acts for.
///
/// As much of it as the scopes allow (OpenID Connect Core 1.0, section 5.3).
#[access(caller)]
#[utoipa::path(tag = "OpenID Connect", responses(UserInfoOut))]
#[get("/oauth/userinfo")]
pub(crate) async fn get_userinfo(
    caller: OpenIdCaller,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    answer(&caller, &state).await
}

/// The same.
#[access(caller)]
#[utoipa::path(tag = "OpenID Connect", responses(UserInfoOut))]
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
