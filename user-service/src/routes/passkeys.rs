//! `/api/auth/passkeys`: registering passkeys and signing in with them.

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, get, patch, post, web};
use common::auth::{Principal, access};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, Valid};
use common::page::Page;
use common::time::Timestamp;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use webauthn_rs::prelude::{PublicKeyCredential, RegisterPublicKeyCredential};

use super::mfa::{PasswordIn, check_code};
use super::passwords::check_present;
use super::sessions::{TokensOut, token_answer};
use crate::app::reauth::Reauth;
use crate::client_address::ClientAddress;
use crate::passkeys::{self, CeremonyId, MAX_NAME_CHARACTERS, Passkey, PasskeyError, PasskeyId};
use crate::state::AppState;

/// A ceremony that was begun.
#[derive(Serialize, ToSchema)]
pub(crate) struct CeremonyOut {
    /// Names the ceremony when the device's answer is sent; good for five minutes and one use.
    ceremony_id: String,
    /// For `navigator.credentials.create` or `.get`, in the JSON form of WebAuthn (Level 3, section
    /// 5.1.8).
    #[schema(value_type = Object)]
    options: Value,
}

/// The answer of a device that made a passkey.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegistrationIn {
    /// From the start.
    ceremony_id: CeremonyId,
    /// What the person calls it, 1 to 100 characters.
    name: String,
    /// What `navigator.credentials.create` gave, in its JSON form.
    #[schema(value_type = Object)]
    credential: Value,
}

/// The answer of a device that has a passkey.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasskeyLoginIn {
    /// From the start.
    ceremony_id: String,
    /// What `navigator.credentials.get` gave, in its JSON form.
    #[schema(value_type = Object)]
    credential: Value,
}

/// Another name for a passkey.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasskeyPatch {
    /// 1 to 100 characters.
    name: String,
}

/// What proves that a person may remove a passkey of theirs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemovalIn {
    /// The present password.
    #[schema(value_type = String, format = Password, max_length = 128)]
    password: SecretString,
    /// The generator's six digits, where the account has a generator.
    #[schema(value_type = Option<String>, format = Password, max_length = 40)]
    #[serde(default)]
    code: Option<SecretString>,
}

/// A passkey.
#[derive(Serialize, ToSchema)]
pub(crate) struct PasskeyOut {
    /// Its id.
    id: PasskeyId,
    /// What its person calls it.
    name: String,
    /// Whether it is kept in more than one place, such as a password manager's cloud.
    backed_up: bool,
    /// When it was registered.
    created_at: Timestamp,
    /// When it signed somebody in last.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Timestamp>,
}

impl From<Passkey> for PasskeyOut {
    fn from(passkey: Passkey) -> Self {
        Self {
            id: passkey.id,
            backed_up: passkey.is_backed_up(),
            name: passkey.name,
            created_at: passkey.created_at,
            last_used_at: passkey.last_used_at,
        }
    }
}

impl Check for RegistrationIn {
    fn check(&self, faults: &mut Faults) {
        faults.require_text(&self.name, "name", MAX_NAME_CHARACTERS);
        check_credential::<RegisterPublicKeyCredential>(&self.credential, faults);
    }
}

impl Check for PasskeyLoginIn {
    fn check(&self, faults: &mut Faults) {
        check_credential::<PublicKeyCredential>(&self.credential, faults);
    }
}

impl Check for PasskeyPatch {
    fn check(&self, faults: &mut Faults) {
        faults.require_text(&self.name, "name", MAX_NAME_CHARACTERS);
    }
}

impl Check for RemovalIn {
    fn check(&self, faults: &mut Faults) {
        check_present(&self.password, "password", faults);
        if let Some(code) = &self.code {
            check_code(code, faults);
        }
    }
}

fn check_credential<T: DeserializeOwned>(credential: &Value, faults: &mut Faults) {
    let well_formed = T::deserialize(credential).is_ok();
    let expected = "the JSON form of a PublicKeyCredential";
    faults.require(well_formed, "credential", "malformed", expected);
}

/// Checked already; a wire type alone does not prove it.
fn credential<T: DeserializeOwned>(value: &Value) -> Result<T, ApiError> {
    T::deserialize(value).map_err(|_checked| ApiError::invalid(Vec::new()))
}

impl From<PasskeyError> for ApiError {
    fn from(error: PasskeyError) -> Self {
        let refused = "The passkey was refused; begin again.";
        match error {
            PasskeyError::Unknown => Self::not_found("passkey"),
            PasskeyError::TooMany => {
                Self::conflict("too_many_passkeys", "An account has at most 20 passkeys.")
            }
            PasskeyError::Taken => {
                Self::conflict("passkey_taken", "This passkey is registered already.")
            }
            PasskeyError::NoCeremony => Self::conflict(
                "no_ceremony",
                "The ceremony is not known, was finished already, or took too long; begin again.",
            ),
            PasskeyError::Refused(_) => {
                Self::unprocessable("passkey_refused", refused).with_cause(error)
            }
            PasskeyError::Ceremony(_) => Self::internal(error),
            PasskeyError::Credential(error) => error.into(),
            PasskeyError::Session(error) => error.into(),
        }
    }
}

/// Whoever cannot sign in learns nothing of why.
fn login_error(error: PasskeyError) -> ApiError {
    match error {
        PasskeyError::Unknown | PasskeyError::NoCeremony | PasskeyError::Refused(_) => {
            let detail = "The passkey was refused; begin again.";
            let refused = ApiError::new(StatusCode::UNAUTHORIZED, "passkey_refused", detail);
            refused.with_cause(error)
        }
        other => other.into(),
    }
}

fn ceremony_answer(
    ceremony_id: String,
    options: &impl Serialize,
) -> Result<HttpResponse, ApiError> {
    let mut options = serde_json::to_value(options).map_err(ApiError::internal)?;
    let public_key = options.get_mut("publicKey").map(Value::take);
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(CeremonyOut {
            ceremony_id,
            options: public_key.unwrap_or_default(),
        }))
}

/// Begins the registration of a passkey.
///
/// For any signed-in account, with its password. Repeating it begins another ceremony. Emits no event.
#[access(caller)]
#[utoipa::path(
    tag = "passkeys",
    request_body = PasswordIn,
    responses(
        (status = 200, description = "Begun.", body = CeremonyOut),
        (status = 403, description = "In a session that a PIN opened.", body = Problem),
        (status = 409, description = "The account has too many passkeys.", body = Problem),
        (status = 422, description = "The password is wrong.", body = Problem),
        (status = 429, description = "Too many failures; wait.", body = Problem),
    )
)]
#[post("/api/auth/passkeys/register/start")]
pub(crate) async fn start_registration(
    principal: Principal,
    state: web::Data<AppState>,
    address: ClientAddress,
    body: Valid<PasswordIn>,
) -> Result<HttpResponse, ApiError> {
    let password = body.0.password;
    let reauth = Reauth { password, address };
    let (id, options) = passkeys::start_registration(&state, &principal, reauth).await?;
    ceremony_answer(id.to_string(), &options)
}

/// Registers the passkey that a device has made.
///
/// For any signed-in account. From then on the password alone signs it in no more. A ceremony is good
/// for one try. Emits `mail.requested.v1`.
#[access(caller)]
#[utoipa::path(
    tag = "passkeys",
    request_body = RegistrationIn,
    responses(
        (status = 201, description = "Registered.", body = PasskeyOut),
        (status = 403, description = "In a session that a PIN opened.", body = Problem),
        (status = 409, description = "No such ceremony, or registered already.", body = Problem),
        (status = 422, description = "What the device said does not hold.", body = Problem),
    )
)]
#[post("/api/auth/passkeys/register/finish")]
pub(crate) async fn finish_registration(
    principal: Principal,
    state: web::Data<AppState>,
    body: Valid<RegistrationIn>,
) -> Result<HttpResponse, ApiError> {
    let Valid(RegistrationIn {
        ceremony_id,
        name,
        credential: value,
    }) = body;
    let answer = credential(&value)?;
    let made =
        passkeys::finish_registration(&state, &principal, ceremony_id, name, &answer).await?;
    Ok(HttpResponse::Created().json(PasskeyOut::from(made)))
}

/// Lists the caller's passkeys, oldest first.
///
/// For any signed-in account. There are at most 20, so there is one page.
#[access(caller)]
#[utoipa::path(
    tag = "passkeys",
    responses((status = 200, description = "All of them.", body = Page<PasskeyOut>))
)]
#[get("/api/auth/passkeys")]
pub(crate) async fn list(
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<web::Json<Page<PasskeyOut>>, ApiError> {
    let passkeys = passkeys::list(&state, &principal).await?;
    Ok(web::Json(Page {
        items: passkeys.into_iter().map(PasskeyOut::from).collect(),
        next_cursor: None,
    }))
}

/// Gives a passkey another name.
///
/// For the account that has it. Repeating it changes nothing. Emits no event.
#[access(caller)]
#[utoipa::path(
    tag = "passkeys",
    params(("id" = PasskeyId, Path, description = "The passkey.")),
    request_body = PasskeyPatch,
    responses(
        (status = 200, description = "Renamed.", body = PasskeyOut),
        (status = 403, description = "In a session that a PIN opened.", body = Problem),
        (status = 404, description = "The caller has no such passkey.", body = Problem),
        (status = 422, description = "The name is not acceptable.", body = Problem),
    )
)]
#[patch("/api/auth/passkeys/{id}")]
pub(crate) async fn rename(
    principal: Principal,
    state: web::Data<AppState>,
    id: PathId<PasskeyId>,
    body: Valid<PasskeyPatch>,
) -> Result<web::Json<PasskeyOut>, ApiError> {
    let renamed = passkeys::rename(&state, &principal, id.0, &body.name).await?;
    Ok(web::Json(renamed.into()))
}

/// Removes a passkey: it signs nobody in any more. Sessions that it opened stay.
///
/// For the account that has it, with its password and, where it has a generator, a code of that; not
/// in a session that a PIN opened. Logins that wait for a second factor begin anew. Repeating it is
/// answered 404. Emits `mail.requested.v1`.
#[access(caller)]
#[utoipa::path(
    tag = "passkeys",
    params(("id" = PasskeyId, Path, description = "The passkey.")),
    request_body = RemovalIn,
    responses(
        (status = 204, description = "Removed."),
        (status = 403, description = "In a session that a PIN opened.", body = Problem),
        (status = 404, description = "The caller has no such passkey.", body = Problem),
        (status = 422, description = "The password or the code is wrong.", body = Problem),
        (status = 429, description = "Too many failures; wait.", body = Problem),
    )
)]
#[post("/api/auth/passkeys/{id}/remove")]
pub(crate) async fn remove(
    principal: Principal,
    state: web::Data<AppState>,
    address: ClientAddress,
    id: PathId<PasskeyId>,
    body: Valid<RemovalIn>,
) -> Result<HttpResponse, ApiError> {
    let Valid(RemovalIn { password, code }) = body;
    let reauth = Reauth { password, address };
    passkeys::remove(&state, &principal, id.0, reauth, code.as_ref()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Begins a sign-in with a passkey.
///
/// Open to everybody; the device knows whose passkey it has. Nothing is kept: `ceremony_id` is the
/// ceremony itself, signed. Repeating it begins another one. Emits no event.
#[access(public)]
#[utoipa::path(
    tag = "passkeys",
    responses((status = 200, description = "Begun.", body = CeremonyOut))
)]
#[post("/api/auth/passkeys/login/start")]
pub(crate) async fn start_login(state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    let (ticket, options) = passkeys::start_login(&state)?;
    ceremony_answer(ticket, &options)
}

/// Signs in with a passkey whose device verified its person: two factors.
///
/// Open to everybody. A ceremony signs in once; every refusal is answered alike. Emits no event.
#[access(public)]
#[utoipa::path(
    tag = "passkeys",
    request_body = PasskeyLoginIn,
    responses(
        (status = 200, description = "Signed in.", body = TokensOut),
        (status = 401, description = "The passkey was refused.", body = Problem),
        (status = 422, description = "That is no credential.", body = Problem),
    )
)]
#[post("/api/auth/passkeys/login/finish")]
pub(crate) async fn finish_login(
    state: web::Data<AppState>,
    address: ClientAddress,
    body: Valid<PasskeyLoginIn>,
) -> Result<HttpResponse, ApiError> {
    let answer = credential(&body.credential)?;
    let tokens = passkeys::finish_login(&state, &body.ceremony_id, &answer, address).await;
    Ok(token_answer(&tokens.map_err(login_error)?))
}
