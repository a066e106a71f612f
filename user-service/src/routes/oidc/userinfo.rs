//! `/oauth/userinfo`.

use actix_web::http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, web};
use common::auth::PersonOrApplication;
use common::error::ApiError;

use crate::oidc;
use crate::state::AppState;

/// Who the application acts for. Refuses as RFC 6750, section 3.1, says.
pub(super) async fn userinfo(
    caller: PersonOrApplication,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let info = oidc::userinfo::userinfo(&state, &caller.0).await?;
    Ok(match info {
        Some(info) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(info),
        None => {
            let challenge = "Bearer error=\"insufficient_scope\", scope=\"openid\"";
            let mut refusal = actix_web::ResponseError::error_response(&ApiError::forbidden());
            let value = actix_web::http::header::HeaderValue::from_static(challenge);
            refusal.headers_mut().insert(WWW_AUTHENTICATE, value);
            refusal
        }
    })
}
