//! `/internal`: for other services; the gateway does not route it.

use common::auth::access;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{FromRequest, HttpRequest, HttpResponse, post, web};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, Valid, read_body};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::app::service_token;
use crate::state::AppState;

/// Longest form taken, in bytes.
const MAX_FORM_BYTES: usize = 8_192;
const FORM: &str = "application/x-www-form-urlencoded";
const CLIENT_CREDENTIALS: &str = "client_credentials";

/// A service's name and secret, or those of an API key (RFC 6749, section 4.4.2).
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientCredentialsIn {
    /// `client_credentials`, or left out.
    #[serde(default)]
    grant_type: Option<String>,
    /// A service's short name, such as `order`, or a key's prefix.
    pub(super) client_id: String,
    /// Its secret.
    #[schema(value_type = String, format = Password)]
    pub(super) client_secret: SecretString,
}

/// A service's token (RFC 6749, section 5.1).
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ServiceTokenOut {
    /// The token.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until it expires.
    expires_in: u32,
}

impl Check for ClientCredentialsIn {
    fn check(&self, faults: &mut Faults) {
        let grant = self.grant_type.as_deref().unwrap_or(CLIENT_CREDENTIALS);
        faults.require(
            grant == CLIENT_CREDENTIALS,
            "grant_type",
            "unsupported_grant_type",
            "must be client_credentials",
        );
    }
}

/// The same body as a form, which RFC 6749 asks for, or as JSON.
pub(crate) struct JsonOrForm(pub(super) ClientCredentialsIn);

impl FromRequest for JsonOrForm {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let content_type = request.headers().get(CONTENT_TYPE);
        let is_form = content_type
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(FORM));
        if !is_form {
            let json = Valid::<ClientCredentialsIn>::from_request(request, payload);
            return Box::pin(async move { Ok(Self(json.await?.0)) });
        }
        let mut payload = payload.take();
        Box::pin(async move {
            let body = read_body(&mut payload, MAX_FORM_BYTES).await?;
            let parsed: Result<ClientCredentialsIn, _> = serde_urlencoded::from_bytes(&body);
            let parsed = parsed.map_err(|_may_repeat_the_secret| {
                let detail = "The form must have client_id and client_secret, each once.";
                ApiError::malformed("malformed_form", detail)
            })?;
            let mut faults = Faults::default();
            parsed.check(&mut faults);
            faults.into_result()?;
            Ok(Self(parsed))
        })
    }
}

/// A token with which a service proves itself to others.
///
/// For the services of this installation, with the secret derived for each. Emits no event.
#[access(public)]
#[utoipa::path(
    tag = "internal",
    request_body(content(
        (ClientCredentialsIn = "application/json"),
        (ClientCredentialsIn = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, description = "The token.", body = ServiceTokenOut),
        (status = 401, description = "Not a service's name and secret.", body = Problem),
    )
)]
#[post("/internal/tokens")]
pub(crate) async fn issue_token(
    state: web::Data<AppState>,
    body: JsonOrForm,
) -> Result<HttpResponse, ApiError> {
    let JsonOrForm(asked) = body;
    let minted = service_token::issue(&state, &asked.client_id, &asked.client_secret)?;
    let answer = ServiceTokenOut {
        access_token: minted.expose().to_owned(),
        token_type: "Bearer",
        expires_in: minted.expires_in_seconds,
    };
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(answer))
}
