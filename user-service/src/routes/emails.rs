//! `/api/auth/email`: proving and changing one's own address.

use actix_web::{HttpResponse, post, web};
use common::auth::{Principal, access};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, Valid};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::passwords::{check_present, check_token};
use crate::app::emails;
use crate::app::reauth::Reauth;
use crate::client_address::ClientAddress;
use crate::domain::email::Email;
use crate::state::AppState;

/// Another address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmailIn {
    /// The new address; ASCII, unique whatever its case.
    #[schema(format = Email, max_length = 254)]
    email: String,
    /// The present password.
    #[schema(value_type = String, format = Password, max_length = 128)]
    password: SecretString,
}

/// A mailed token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyIn {
    /// From the link in the mail.
    #[schema(value_type = String, format = Password, max_length = 100)]
    token: SecretString,
}

impl Check for EmailIn {
    fn check(&self, faults: &mut Faults) {
        let email = Email::parse(&self.email);
        let expected = "an ASCII email address";
        faults.require(email.is_some(), "email", "malformed", expected);
        check_present(&self.password, "password", faults);
    }
}

impl Check for VerifyIn {
    fn check(&self, faults: &mut Faults) {
        check_token(&self.token, "token", faults);
    }
}

/// Asks for a mail that proves the caller's present address.
///
/// For any signed-in account. Emits `mail.requested.v1`; the link sent before is worthless then.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    responses(
        (status = 202, description = "A mail is on its way."),
        (status = 401, description = "Not signed in, or the session has ended.", body = Problem),
        (status = 429, description = "Too many requests; wait.", body = Problem),
    ),
)]
#[post("/api/auth/email/verification")]
pub(crate) async fn ask_verification(
    principal: Principal,
    state: web::Data<AppState>,
    address: ClientAddress,
) -> Result<HttpResponse, ApiError> {
    emails::ask_verification(&state, &principal, address).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// Asks for a mail to another address, which takes the present one's place once its link is used.
///
/// For any signed-in account, with its password. Until then the present address signs in. Emits
/// `mail.requested.v1`.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    request_body = EmailIn,
    responses(
        (status = 202, description = "A mail is on its way to the new address."),
        (status = 401, description = "Not signed in, or the session has ended.", body = Problem),
        (status = 403, description = "In a session that a PIN opened.", body = Problem),
        (status = 409, description = "Another account has this email.", body = Problem),
        (status = 422, description = "The password is wrong, or the address is none.", body = Problem),
        (status = 429, description = "Too many requests or failures; wait.", body = Problem),
    ),
)]
#[post("/api/auth/email")]
pub(crate) async fn ask_change(
    principal: Principal,
    state: web::Data<AppState>,
    address: ClientAddress,
    body: Valid<EmailIn>,
) -> Result<HttpResponse, ApiError> {
    let Valid(EmailIn { email, password }) = body;
    // Checked already; a wire type alone does not prove it.
    let email = Email::parse(&email).ok_or_else(|| ApiError::invalid(Vec::new()))?;
    let reauth = Reauth { password, address };
    emails::ask_change(&state, &principal, &email, reauth).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// Proves an address with the token of a mailed link, and makes it the account's if it was not.
///
/// Open to whoever holds the token, once. Emits `mail.requested.v1` to the old address when it
/// changes.
#[access(public)]
#[utoipa::path(
    tag = "auth",
    request_body = VerifyIn,
    responses(
        (status = 204, description = "The address is proved."),
        (status = 409, description = "Another account has this email by now.", body = Problem),
        (status = 422, description = "The link is not good any more.", body = Problem),
    )
)]
#[post("/api/auth/email/verify")]
pub(crate) async fn verify(
    state: web::Data<AppState>,
    body: Valid<VerifyIn>,
) -> Result<HttpResponse, ApiError> {
    emails::verify(&state, &body.token).await?;
    Ok(HttpResponse::NoContent().finish())
}
