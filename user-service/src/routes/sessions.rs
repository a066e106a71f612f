//! `/api/auth`: signing in, staying signed in, signing out.

use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_LENGTH, TRANSFER_ENCODING};
use actix_web::{FromRequest, HttpRequest, HttpResponse, get, post, web};
use common::auth::{Principal, access};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, Valid};
use common::time::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::mfa::ChallengeOut;
use super::profile::SettingsOut;
use super::users::UserOut;
use crate::app;
use crate::app::log_in::{LoggedIn, Login, Tokens};
use crate::app::log_out::Logout;
use crate::app::whoami::Me;
use crate::client_address::ClientAddress;
use crate::domain::email::MAX_EMAIL_BYTES;
use crate::domain::password::MAX_CHARACTERS;
use crate::domain::session::SessionId;
use crate::state::AppState;

/// Who signs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginIn {
    /// The account's email, in any case.
    #[schema(max_length = 254)]
    email: String,
    /// Its password.
    #[schema(value_type = String, format = Password, max_length = 128)]
    password: SecretString,
}

impl Check for LoginIn {
    fn check(&self, faults: &mut Faults) {
        faults.require(
            self.email.len() <= MAX_EMAIL_BYTES,
            "email",
            "too_long",
            "at most 254 bytes",
        );
        faults.require(
            self.password.expose_secret().chars().count() <= MAX_CHARACTERS,
            "password",
            "too_long",
            "at most 128 characters",
        );
    }
}

/// A refresh token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshIn {
    /// The one from the last login or refresh.
    #[schema(value_type = String, format = Password)]
    refresh_token: SecretString,
}

impl Check for RefreshIn {
    fn check(&self, _faults: &mut Faults) {
        // What cannot be a token is answered like one that is not known.
    }
}

/// Tokens of a session.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokensOut {
    /// The token to call with.
    access_token: String,
    /// Renews both, once.
    refresh_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until the access token expires.
    expires_in: u32,
    /// Whether the session has no roles until the account adds a second factor, which it needs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    mfa_enrolment_required: bool,
}

/// Tokens, or what stands between the login and them.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the answers in the OpenAPI document")]
pub(crate) enum LoginOut {
    /// Signed in.
    Tokens(TokensOut),
    /// The account has a second factor.
    Challenge(ChallengeOut),
}

/// The caller.
#[derive(Serialize, ToSchema)]
pub(crate) struct MeOut {
    /// The account.
    #[serde(flatten)]
    user: UserOut,
    /// The session.
    session: SessionOut,
    /// What only the caller sees.
    settings: SettingsOut,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionOut {
    /// Its id, the tokens' `sid`.
    id: SessionId,
    /// When it was opened.
    created_at: Timestamp,
    /// When it ends, however much it is used.
    expires_at: Timestamp,
}

impl From<Me> for MeOut {
    fn from(me: Me) -> Self {
        Self {
            user: me.account.into(),
            session: SessionOut {
                id: me.session,
                created_at: me.span.created_at,
                expires_at: me.span.expires_at,
            },
            settings: me.settings.into(),
        }
    }
}

pub(super) fn token_answer(tokens: &Tokens) -> HttpResponse {
    HttpResponse::Ok()
        // RFC 6749, section 5.1.
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(TokensOut {
            access_token: tokens.access.expose().to_owned(),
            refresh_token: tokens.refresh.expose().to_owned(),
            token_type: "Bearer",
            expires_in: tokens.access.expires_in_seconds,
            mfa_enrolment_required: tokens.mfa_enrolment_required,
        })
}

/// Signs in with email and password.
///
/// Open to everybody. An unknown account, a wrong password and a disabled account are answered
/// alike. After several failures tries are delayed: 429 with `Retry-After`. An account with a second
/// factor gets `mfa_required` and a token for `POST /api/auth/login/mfa` in the place of tokens. An
/// account that needs one and has none gets tokens without roles, with which it can add one. Emits no
/// event.
#[access(public)]
#[utoipa::path(
    tag = "auth",
    request_body = LoginIn,
    responses(
        (status = 200, description = "Signed in, or asked for the second factor.", body = LoginOut),
        (status = 401, description = "The email or the password is wrong.", body = Problem),
        (status = 429, description = "Too many failures; wait.", body = Problem),
        (status = 503, description = "Too many logins at once; wait.", body = Problem),
    )
)]
#[post("/api/auth/login")]
pub(crate) async fn log_in(
    state: web::Data<AppState>,
    address: ClientAddress,
    body: Valid<LoginIn>,
) -> Result<HttpResponse, ApiError> {
    let Valid(LoginIn { email, password }) = body;
    let login = Login {
        email,
        password,
        address,
    };
    Ok(match app::log_in::log_in(&state, login).await? {
        LoggedIn::Tokens(tokens) => token_answer(&tokens),
        LoggedIn::SecondFactor(challenge) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(ChallengeOut::from(challenge)),
    })
}

/// Exchanges a refresh token for a new pair of tokens.
///
/// Open to whoever holds the token. It is good for one use; repeated within a few seconds it gives
/// the same successor, later it ends the session. Emits no event.
#[access(public)]
#[utoipa::path(
    tag = "auth",
    request_body = RefreshIn,
    responses(
        (status = 200, description = "Renewed.", body = TokensOut),
        (status = 401, description = "Not valid, or used before.", body = Problem),
    )
)]
#[post("/api/auth/refresh")]
pub(crate) async fn refresh(
    state: web::Data<AppState>,
    body: Valid<RefreshIn>,
) -> Result<HttpResponse, ApiError> {
    let tokens = app::refresh::refresh(&state, &body.refresh_token).await?;
    Ok(token_answer(&tokens))
}

/// What names the session to end: a refresh token in the body or, without a body, the access token.
pub(crate) struct LogoutRequest(Logout);

impl FromRequest for LogoutRequest {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let headers = request.headers();
        let length = headers.get(CONTENT_LENGTH);
        let has_body = length.is_some_and(|length| length.as_bytes() != b"0")
            || headers.contains_key(TRANSFER_ENCODING);
        if has_body {
            let body = Valid::<RefreshIn>::from_request(request, payload);
            Box::pin(async move { Ok(Self(Logout::RefreshToken(body.await?.0.refresh_token))) })
        } else {
            let principal = Principal::from_request(request, payload);
            Box::pin(async move { Ok(Self(Logout::Session(principal.await?))) })
        }
    }
}

/// Ends the session: its refresh tokens are refused from now on.
///
/// Open to whoever holds a refresh token of the session, in the body, or without a body its access
/// token. Repeating it changes nothing. Access tokens run out by themselves. Emits no event.
#[access(public)]
#[utoipa::path(
    tag = "auth",
    request_body(content = Option<RefreshIn>),
    responses(
        (status = 204, description = "The session has ended."),
        (status = 401, description = "Neither token was sent.", body = Problem),
    ),
    security((), ("bearer" = []))
)]
#[post("/api/auth/logout")]
pub(crate) async fn log_out(
    state: web::Data<AppState>,
    request: LogoutRequest,
) -> Result<HttpResponse, ApiError> {
    app::log_out::log_out(&state, request.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The caller's account and session, as they are now.
///
/// For any signed-in account.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    responses(
        (status = 200, description = "The caller.", body = MeOut),
        (status = 401, description = "Not signed in, or the session has ended.", body = Problem),
    ),
)]
#[get("/api/auth/me")]
pub(crate) async fn read_me(
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<web::Json<MeOut>, ApiError> {
    let me = app::whoami::whoami(&state, &principal).await?;
    Ok(web::Json(me.into()))
}
