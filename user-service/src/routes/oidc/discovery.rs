//! What the provider offers (OpenID Connect Discovery 1.0, section 3; RFC 8414, section 2).

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, get, web};
use common::auth::access;
use serde::Serialize;

use crate::oidc::provider::Provider;
use crate::oidc::scopes;
use crate::state::AppState;

/// The provider's metadata (OpenID Connect Discovery 1.0, section 3; RFC 8414, section 2).
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Configuration<'c> {
    issuer: &'c str,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: String,
    revocation_endpoint: String,
    end_session_endpoint: String,
    jwks_uri: String,
    scopes_supported: Vec<&'static str>,
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: [&'static str; 3],
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 3],
    revocation_endpoint_auth_methods_supported: [&'static str; 3],
    code_challenge_methods_supported: [&'static str; 1],
    prompt_values_supported: [&'static str; 4],
    claims_supported: [&'static str; 14],
    claims_parameter_supported: bool,
    request_parameter_supported: bool,
    request_uri_parameter_supported: bool,
    authorization_response_iss_parameter_supported: bool,
}

const AUTH_METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "none"];

/// What the provider offers.
///
/// OpenID Connect Discovery 1.0, section 3.
#[access(public)]
#[utoipa::path(
    tag = "OpenID Connect",
    responses((status = 200, description = "The provider's metadata.", body = Configuration<'_>))
)]
#[get("/.well-known/openid-configuration")]
pub(crate) async fn openid_configuration(state: web::Data<AppState>) -> HttpResponse {
    answer(&state.oidc)
}

/// The same for applications that only know OAuth (RFC 8414, section 3).
#[access(public)]
#[utoipa::path(
    tag = "OpenID Connect",
    responses((status = 200, description = "The provider's metadata.", body = Configuration<'_>))
)]
#[get("/.well-known/oauth-authorization-server")]
pub(crate) async fn oauth_configuration(state: web::Data<AppState>) -> HttpResponse {
    answer(&state.oidc)
}

fn answer(oidc: &Provider) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .json(Configuration {
            issuer: &oidc.issuer,
            authorization_endpoint: oidc.endpoint("/oauth/authorize"),
            token_endpoint: oidc.endpoint("/oauth/token"),
            userinfo_endpoint: oidc.endpoint("/oauth/userinfo"),
            revocation_endpoint: oidc.endpoint("/oauth/revoke"),
            end_session_endpoint: oidc.endpoint("/oauth/end_session"),
            jwks_uri: oidc.endpoint("/.well-known/jwks.json"),
            scopes_supported: scopes::all().map(|(name, _)| name).collect(),
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            grant_types_supported: ["authorization_code", "refresh_token", "client_credentials"],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: ["EdDSA"],
            token_endpoint_auth_methods_supported: AUTH_METHODS,
            revocation_endpoint_auth_methods_supported: AUTH_METHODS,
            code_challenge_methods_supported: ["S256"],
            prompt_values_supported: ["none", "login", "consent", "select_account"],
            claims_supported: [
                "iss",
                "sub",
                "aud",
                "azp",
                "exp",
                "iat",
                "auth_time",
                "nonce",
                "at_hash",
                "amr",
                "sid",
                "name",
                "updated_at",
                "email",
            ],
            claims_parameter_supported: false,
            request_parameter_supported: false,
            request_uri_parameter_supported: false,
            authorization_response_iss_parameter_supported: true,
        })
}
