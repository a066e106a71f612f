//! `/oauth/token` and `/oauth/revoke`, for applications. Errors are those of RFC 6749, section 5.2.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::{HttpRequest, HttpResponse, ResponseError as _, post, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::auth::{TokenVerifier, access};
use common::error::ApiError;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::forms::{RevocationForm, TokenForm};
use crate::client_address::ClientAddress;
use crate::oidc::client::Client;
use crate::oidc::codes::{self, Exchange};
use crate::oidc::error::GrantError;
use crate::oidc::params::Params;
use crate::oidc::revoke;
use crate::oidc::service;
use crate::oidc::token::{self, ClientProof, Issued};
use crate::state::AppState;

/// Tokens (RFC 6749, section 5.1; OpenID Connect Core 1.0, section 3.1.3.3).
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct IssuedOut<'t> {
    access_token: &'t str,
    token_type: &'static str,
    expires_in: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'t str>,
    scope: String,
}

/// A refusal (RFC 6749, section 5.2).
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct RefusedOut<'r> {
    error: &'r str,
    error_description: &'r str,
}

/// Exchanges a code, a refresh token, or the client's own proof for tokens.
#[access(public)]
#[utoipa::path(
    tag = "OpenID Connect",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Tokens.", body = IssuedOut<'_>),
        (status = 400, description = "RFC 6749, section 5.2.", body = RefusedOut<'_>),
        (status = 401, description = "The application did not prove itself.", body = RefusedOut<'_>),
        (status = 503, description = "Come back later.", body = RefusedOut<'_>),
    )
)]
#[post("/oauth/token")]
pub(crate) async fn issue_tokens(
    request: HttpRequest,
    state: web::Data<AppState>,
    address: ClientAddress,
    body: web::Bytes,
) -> HttpResponse {
    let outcome = async {
        let (client, params) = read(&state, &request, address, &body).await?;
        grant(&state, &client, &params).await
    };
    match outcome.await {
        Ok(issued) => answer(&issued),
        Err(error) => refuse(error, &request),
    }
}

/// Takes a token back (RFC 7009).
#[access(public)]
#[utoipa::path(
    tag = "OpenID Connect",
    request_body(content = RevocationForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "It is worth nothing any more, if it ever was."),
        (status = 400, description = "RFC 6749, section 5.2.", body = RefusedOut<'_>),
        (status = 401, description = "The application did not prove itself.", body = RefusedOut<'_>),
        (status = 503, description = "Come back later.", body = RefusedOut<'_>),
    )
)]
#[post("/oauth/revoke")]
pub(crate) async fn revoke_token(
    request: HttpRequest,
    state: web::Data<AppState>,
    address: ClientAddress,
    verifier: web::Data<TokenVerifier>,
    body: web::Bytes,
) -> HttpResponse {
    let outcome = async {
        let (client, params) = read(&state, &request, address, &body).await?;
        let missing = GrantError::InvalidRequest("token is missing");
        let token = params.secret("token").ok_or(missing)?;
        revoke::revoke(&state, &verifier, &client, &token).await
    };
    match outcome.await {
        Ok(()) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .finish(),
        Err(error) => refuse(error, &request),
    }
}

async fn read(
    state: &AppState,
    request: &HttpRequest,
    address: ClientAddress,
    body: &[u8],
) -> Result<(Client, Params), GrantError> {
    let content_type = request.headers().get(CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(GrantError::InvalidRequest("the body must be a form"));
    }
    let text = std::str::from_utf8(body);
    let text = text.map_err(|_encoding| GrantError::InvalidRequest("the body is no UTF-8"))?;
    let params = Params::parse(text);
    let params = params.map_err(|_long| GrantError::InvalidRequest("the body is too long"))?;
    if params.has_repeated() {
        let detail = "a parameter was sent more than once";
        return Err(GrantError::InvalidRequest(detail));
    }
    let proof = proof_of(request, &params)?;
    let client = token::authenticate(state, &proof, address).await?;
    Ok((client, params))
}

/// One way to prove itself, not two (RFC 6749, section 2.3).
fn proof_of(request: &HttpRequest, params: &Params) -> Result<ClientProof, GrantError> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let header = headers.next();
    if headers.next().is_some() {
        return Err(GrantError::InvalidRequest("several Authorization headers"));
    }
    let (id, secret) = (params.get("client_id"), params.secret("client_secret"));
    let Some(header) = header else {
        let id = id.ok_or(GrantError::InvalidClient)?.to_owned();
        return Ok(ClientProof { id, secret });
    };
    let proof = header.to_str().ok().and_then(parse_basic);
    let proof = proof.ok_or(GrantError::InvalidClient)?;
    if secret.is_some() || id.is_some_and(|id| id != proof.id) {
        let detail = "the client proves itself in two ways at once";
        return Err(GrantError::InvalidRequest(detail));
    }
    Ok(proof)
}

/// HTTP Basic, its parts form-encoded (RFC 6749, section 2.3.1).
fn parse_basic(header: &str) -> Option<ClientProof> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded =
        SecretString::from(String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?);
    let (id, secret) = decoded.expose_secret().split_once(':')?;
    Some(ClientProof {
        id: form_decoded(id)?,
        secret: Some(form_decoded(secret)?.into())
            .filter(|secret: &SecretString| !secret.expose_secret().is_empty()),
    })
}

fn form_decoded(text: &str) -> Option<String> {
    let pair = format!("x={text}");
    let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
    let (_name, value) = pairs.next()?;
    pairs.next().is_none().then(|| value.into_owned())
}

async fn grant(state: &AppState, client: &Client, params: &Params) -> Result<Issued, GrantError> {
    match params.get("grant_type") {
        Some("authorization_code") => {
            let asked = exchange_of(params)?;
            codes::exchange(state, client, &asked).await
        }
        Some("refresh_token") => {
            let missing = GrantError::InvalidRequest("refresh_token is missing");
            let presented = params.secret("refresh_token").ok_or(missing)?;
            token::renew(state, client, &presented, params.get("scope")).await
        }
        Some("client_credentials") => service::issue(state, client, params.get("scope")),
        Some(_) => Err(GrantError::UnsupportedGrantType),
        None => Err(GrantError::InvalidRequest("grant_type is missing")),
    }
}

fn exchange_of(params: &Params) -> Result<Exchange, GrantError> {
    let missing = GrantError::InvalidRequest;
    let redirect_uri = params.get("redirect_uri");
    Ok(Exchange {
        code: params.secret("code").ok_or(missing("code is missing"))?,
        redirect_uri: redirect_uri
            .ok_or(missing("redirect_uri is missing"))?
            .to_owned(),
        verifier: params
            .secret("code_verifier")
            .ok_or(missing("code_verifier is missing"))?,
    })
}

fn answer(issued: &Issued) -> HttpResponse {
    let id_token = issued.id_token.as_ref();
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(IssuedOut {
            access_token: issued.access.expose(),
            token_type: "Bearer",
            expires_in: issued.access.expires_in_seconds,
            refresh_token: issued.refresh.as_ref().map(|token| token.expose()),
            id_token: id_token.map(|token| token.expose_secret()),
            scope: issued.scopes.to_string(),
        })
}

fn refuse(error: GrantError, request: &HttpRequest) -> HttpResponse {
    let (code, detail) = match error {
        GrantError::InvalidRequest(detail) => ("invalid_request", detail),
        GrantError::InvalidGrant(detail) => ("invalid_grant", detail),
        GrantError::InvalidClient => (
            "invalid_client",
            "the client is unknown, or did not prove itself",
        ),
        GrantError::InvalidScope => ("invalid_scope", "more was asked for than was granted"),
        GrantError::UnsupportedGrantType => {
            let detail =
                "only authorization_code, refresh_token and client_credentials are offered";
            ("unsupported_grant_type", detail)
        }
        GrantError::UnauthorizedClient => (
            "unauthorized_client",
            "the client was not registered to act for itself",
        ),
        GrantError::Session(error) => return fail(error.into()),
    };
    let is_client = code == "invalid_client";
    let status = if is_client {
        StatusCode::UNAUTHORIZED
    } else {
        StatusCode::BAD_REQUEST
    };
    let mut response = HttpResponse::build(status);
    response.insert_header((CACHE_CONTROL, "no-store"));
    if is_client && request.headers().contains_key(AUTHORIZATION) {
        response.insert_header((WWW_AUTHENTICATE, "Basic realm=\"maru\", charset=\"UTF-8\""));
    }
    response.json(RefusedOut {
        error: code,
        error_description: detail,
    })
}

/// Our own fault: logged by the error itself, told in the form that applications read.
fn fail(error: ApiError) -> HttpResponse {
    let problem = error.error_response();
    let code = match problem.status() {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            "temporarily_unavailable"
        }
        _ => "server_error",
    };
    let mut response = HttpResponse::build(problem.status());
    response.insert_header((CACHE_CONTROL, "no-store"));
    if let Some(wait) = problem.headers().get(RETRY_AFTER) {
        response.insert_header((RETRY_AFTER, wait.clone()));
    }
    response.json(RefusedOut {
        error: code,
        error_description: "the service cannot answer now; try again later",
    })
}
