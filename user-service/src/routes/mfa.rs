//! `/api/auth/mfa` and `/api/auth/login/mfa`: second factors.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, get, post, web};
use common::auth::{Permit, Principal, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, Valid};
use common::ids::UserId;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::passwords::{check_present, check_token};
use super::sessions::{TokensOut, token_answer};
use crate::app::mfa::challenge::Typed;
use crate::app::mfa::{self, Challenge, MfaMethod, totp};
use crate::app::reauth::Reauth;
use crate::client_address::ClientAddress;
use crate::state::AppState;

/// Longest code that is looked at, in bytes.
const MAX_CODE_BYTES: usize = 40;

/// A login that waits for its second factor.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChallengeOut {
    /// Always true.
    mfa_required: bool,
    /// Names the login at `POST /api/auth/login/mfa`; good for nothing else.
    mfa_token: String,
    /// What may be shown.
    methods: Vec<MfaMethod>,
    /// Seconds until the login has to begin anew.
    expires_in: u32,
}

/// The second factor of a login.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MfaLoginIn {
    /// From the login.
    #[schema(value_type = String, format = Password, max_length = 100)]
    mfa_token: SecretString,
    /// What the code is.
    method: CodeMethod,
    /// The generator's six digits, or a recovery code.
    #[schema(value_type = String, format = Password, max_length = 40)]
    code: SecretString,
}

/// A second factor that is typed.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CodeMethod {
    /// A code of the generator.
    Totp,
    /// A recovery code.
    RecoveryCode,
}

/// The caller's second factors.
#[derive(Serialize, ToSchema)]
pub(crate) struct MfaOut {
    /// How a login can be answered; empty when the password is enough.
    methods: Vec<MfaMethod>,
    /// How many recovery codes are left.
    recovery_codes_left: i64,
    /// Whether the account may do nothing else before it has a second factor.
    enrolment_required: bool,
}

/// The present password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordIn {
    /// The present password.
    #[schema(value_type = String, format = Password, max_length = 128)]
    pub(super) password: SecretString,
}

/// A code of the generator.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeIn {
    /// Its six digits.
    #[schema(value_type = String, format = Password, max_length = 40)]
    code: SecretString,
}

/// Both factors.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BothIn {
    /// The present password.
    #[schema(value_type = String, format = Password, max_length = 128)]
    password: SecretString,
    /// The generator's six digits.
    #[schema(value_type = String, format = Password, max_length = 40)]
    code: SecretString,
}

/// A new generator, shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct EnrolmentOut {
    /// The secret in base32, for typing.
    secret: String,
    /// The same for a picture code, in the form that generator apps read.
    otpauth_uri: String,
}

/// New recovery codes, shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecoveryCodesOut {
    /// Each signs in once.
    recovery_codes: Vec<String>,
}

impl From<Challenge> for ChallengeOut {
    fn from(challenge: Challenge) -> Self {
        Self {
            mfa_required: true,
            mfa_token: challenge.token.expose().to_owned(),
            methods: challenge.methods,
            expires_in: challenge.expires_in_seconds,
        }
    }
}

impl From<Vec<SecretString>> for RecoveryCodesOut {
    fn from(codes: Vec<SecretString>) -> Self {
        let shown = codes.iter().map(|code| code.expose_secret().to_owned());
        Self {
            recovery_codes: shown.collect(),
        }
    }
}

impl Check for MfaLoginIn {
    fn check(&self, faults: &mut Faults) {
        check_token(&self.mfa_token, "mfa_token", faults);
        check_code(&self.code, faults);
    }
}

impl Check for PasswordIn {
    fn check(&self, faults: &mut Faults) {
        check_present(&self.password, "password", faults);
    }
}

impl Check for CodeIn {
    fn check(&self, faults: &mut Faults) {
        check_code(&self.code, faults);
    }
}

impl Check for BothIn {
    fn check(&self, faults: &mut Faults) {
        check_present(&self.password, "password", faults);
        check_code(&self.code, faults);
    }
}

pub(super) fn check_code(code: &SecretString, faults: &mut Faults) {
    let fits = code.expose_secret().len() <= MAX_CODE_BYTES;
    faults.require(fits, "code", "too_long", "at most 40 bytes");
}

/// An answer that nobody may keep.
fn secret_answer(body: impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(body)
}

/// Ends a login that waits for its second factor.
///
/// Open to whoever holds the token of a login whose password was right. Each code is good once; after
/// five wrong ones the login has to begin anew, and further tries are delayed. Emits
/// `mail.requested.v1` when a recovery code was used.
#[access(public)]
#[utoipa::path(
    tag = "auth",
    request_body = MfaLoginIn,
    responses(
        (status = 200, description = "Signed in.", body = TokensOut),
        (status = 401, description = "The code is wrong, or no login waits.", body = Problem),
        (status = 429, description = "Too many failures; wait.", body = Problem),
    )
)]
#[post("/api/auth/login/mfa")]
pub(crate) async fn log_in(
    state: web::Data<AppState>,
    address: ClientAddress,
    body: Valid<MfaLoginIn>,
) -> Result<HttpResponse, ApiError> {
    let typed = match body.method {
        CodeMethod::Totp => Typed::Totp,
        CodeMethod::RecoveryCode => Typed::RecoveryCode,
    };
    let answer = (typed, &body.code);
    let answered = mfa::challenge::answer_typed(&state, &body.mfa_token, address, answer);
    Ok(token_answer(&answered.await?))
}

/// The caller's second factors.
///
/// For any signed-in account.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    responses(
        (status = 200, description = "What there is.", body = MfaOut),
        (status = 401, description = "Not signed in, or the session has ended.", body = Problem),
    ),
)]
#[get("/api/auth/mfa")]
pub(crate) async fn read(
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<web::Json<MfaOut>, ApiError> {
    let overview = mfa::overview(&state, &principal).await?;
    Ok(web::Json(MfaOut {
        methods: overview.methods,
        recovery_codes_left: overview.recovery_codes_left,
        enrolment_required: overview.enrolment_required,
    }))
}

/// Makes a generator of codes, not yet in force; its secret is shown this once.
///
/// For any signed-in account, with its password. It waits an hour to be confirmed; asked again, it
/// forgets the one before. Emits no event.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    request_body = PasswordIn,
    responses(
        (status = 200, description = "The generator's secret.", body = EnrolmentOut),
        (status = 403, description = "In a session that a PIN opened.", body = Problem),
        (status = 409, description = "A generator is in force.", body = Problem),
        (status = 422, description = "The password is wrong.", body = Problem),
        (status = 429, description = "Too many failures; wait.", body = Problem),
    ),
)]
#[post("/api/auth/mfa/totp")]
pub(crate) async fn enrol(
    principal: Principal,
    state: web::Data<AppState>,
    address: ClientAddress,
    body: Valid<PasswordIn>,
) -> Result<HttpResponse, ApiError> {
    let password = body.0.password;
    let enrolment = totp::enrol(&state, &principal, Reauth { password, address }).await?;
    Ok(secret_answer(EnrolmentOut {
        secret: enrolment.secret.expose_secret().to_owned(),
        otpauth_uri: enrolment.otpauth_uri.expose_secret().to_owned(),
    }))
}

/// Puts the generator in force with a first code; the recovery codes are shown this once.
///
/// For any signed-in account. Roles that waited for it hold from the next refresh on. Emits
/// `mail.requested.v1`.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    request_body = CodeIn,
    responses(
        (status = 200, description = "In force.", body = RecoveryCodesOut),
        (status = 403, description = "In a session that a PIN opened.", body = Problem),
        (status = 409, description = "No generator waits to be confirmed.", body = Problem),
        (status = 422, description = "The code is wrong.", body = Problem),
    ),
)]
#[post("/api/auth/mfa/totp/confirm")]
pub(crate) async fn confirm(
    principal: Principal,
    state: web::Data<AppState>,
    body: Valid<CodeIn>,
) -> Result<HttpResponse, ApiError> {
    let codes = totp::confirm(&state, &principal, &body.code).await?;
    Ok(secret_answer(RecoveryCodesOut::from(codes)))
}

/// Removes the generator and the recovery codes.
///
/// For any signed-in account, with its password and a code. Emits `mail.requested.v1`.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    request_body = BothIn,
    responses(
        (status = 204, description = "Removed."),
        (status = 403, description = "In a session that a PIN opened.", body = Problem),
        (status = 409, description = "There is no generator.", body = Problem),
        (status = 422, description = "The password or the code is wrong.", body = Problem),
        (status = 429, description = "Too many failures; wait.", body = Problem),
    ),
)]
#[post("/api/auth/mfa/totp/disable")]
pub(crate) async fn disable(
    principal: Principal,
    state: web::Data<AppState>,
    address: ClientAddress,
    body: Valid<BothIn>,
) -> Result<HttpResponse, ApiError> {
    let Valid(BothIn { password, code }) = body;
    totp::disable(&state, &principal, Reauth { password, address }, &code).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Gives new recovery codes, shown this once, in the place of all others.
///
/// For any signed-in account, with its password and a code. Emits `mail.requested.v1`.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    request_body = BothIn,
    responses(
        (status = 200, description = "The codes.", body = RecoveryCodesOut),
        (status = 403, description = "In a session that a PIN opened.", body = Problem),
        (status = 409, description = "There is no generator.", body = Problem),
        (status = 422, description = "The password or the code is wrong.", body = Problem),
        (status = 429, description = "Too many failures; wait.", body = Problem),
    ),
)]
#[post("/api/auth/mfa/recovery-codes")]
pub(crate) async fn renew_recovery_codes(
    principal: Principal,
    state: web::Data<AppState>,
    address: ClientAddress,
    body: Valid<BothIn>,
) -> Result<HttpResponse, ApiError> {
    let Valid(BothIn { password, code }) = body;
    let reauth = Reauth { password, address };
    let codes = totp::renew_recovery_codes(&state, &principal, reauth, &code).await?;
    Ok(secret_answer(RecoveryCodesOut::from(codes)))
}

/// Removes every second factor of an account, for somebody who has lost theirs, and ends its sessions.
///
/// For owners, with their own password. Until the person adds another one the password alone signs
/// them in, and where one is required they have no roles. Repeating it changes nothing. Emits
/// `mail.requested.v1`.
#[access(chain)]
#[utoipa::path(
    tag = "users",
    params(("id" = UserId, Path, description = "The account.")),
    request_body = PasswordIn,
    responses(
        (status = 204, description = "Removed."),
        (status = 404, description = "No such account.", body = Problem),
        (status = 409, description = "It is the caller's own.", body = Problem),
        (status = 422, description = "The password is wrong.", body = Problem),
        (status = 429, description = "Too many failures; wait.", body = Problem),
    ),
)]
#[post("/api/users/{id}/mfa/reset")]
pub(crate) async fn reset(
    auth: Permit<permits::UsersWrite>,
    state: web::Data<AppState>,
    address: ClientAddress,
    id: PathId<UserId>,
    body: Valid<PasswordIn>,
) -> Result<HttpResponse, ApiError> {
    let password = body.0.password;
    mfa::reset::reset(&state, &auth, id.0, Reauth { password, address }).await?;
    Ok(HttpResponse::NoContent().finish())
}
