//! `/api/auth/password`: forgotten, set anew, changed.

use actix_web::{HttpResponse, post, web};
use common::auth::{Principal, access};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, Valid};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::passwords::{self, PasswordChange, PasswordReset};
use crate::app::reauth::Reauth;
use crate::client_address::ClientAddress;
use crate::domain::email::MAX_EMAIL_BYTES;
use crate::domain::password::{self, MAX_CHARACTERS};
use crate::state::AppState;

/// Longest token that is looked at, in bytes.
pub(super) const MAX_TOKEN_BYTES: usize = 100;

/// Whose password is forgotten.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForgotIn {
    /// The account's email, in any case.
    #[schema(max_length = 254)]
    email: String,
}

/// A mailed token and the password that is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResetIn {
    /// From the link in the mail.
    #[schema(value_type = String, format = Password, max_length = 100)]
    token: SecretString,
    /// 8 to 128 characters, not one of the most common ones.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128)]
    new_password: SecretString,
}

/// The present password and the one that is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeIn {
    /// The present password.
    #[schema(value_type = String, format = Password, max_length = 128)]
    current_password: SecretString,
    /// 8 to 128 characters, not one of the most common ones.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128)]
    new_password: SecretString,
}

impl Check for ForgotIn {
    fn check(&self, faults: &mut Faults) {
        let fits = self.email.len() <= MAX_EMAIL_BYTES;
        faults.require(fits, "email", "too_long", "at most 254 bytes");
    }
}

impl Check for ResetIn {
    fn check(&self, faults: &mut Faults) {
        check_token(&self.token, "token", faults);
        check_new(&self.new_password, "new_password", faults);
    }
}

impl Check for ChangeIn {
    fn check(&self, faults: &mut Faults) {
        check_present(&self.current_password, "current_password", faults);
        check_new(&self.new_password, "new_password", faults);
    }
}

/// Reports a text that is too long for a token.
pub(super) fn check_token(token: &SecretString, field: &str, faults: &mut Faults) {
    let fits = token.expose_secret().len() <= MAX_TOKEN_BYTES;
    faults.require(fits, field, "too_long", "at most 100 bytes");
}

/// Reports a text that no account can have as its password, because it is too long to be looked at.
pub(super) fn check_present(password: &SecretString, field: &str, faults: &mut Faults) {
    let fits = password.expose_secret().chars().count() <= MAX_CHARACTERS;
    faults.require(fits, field, "too_long", "at most 128 characters");
}

/// Reports a password that cannot become anybody's.
pub(super) fn check_new(password: &SecretString, field: &str, faults: &mut Faults) {
    if let Err(fault) = password::judge_new(password.expose_secret(), None) {
        faults.add(field, fault.code(), fault.to_string());
    }
}

/// Asks for a mail with a link that sets a new password.
///
/// Open to everybody. The answer is the same, and takes as long, whether or not there is such an
/// account. After several requests further ones are delayed: 429 with `Retry-After`. Emits
/// `mail.requested.v1` when there is one.
#[access(public)]
#[utoipa::path(
    tag = "auth",
    request_body = ForgotIn,
    responses(
        (status = 202, description = "If there is such an account, a mail is on its way."),
        (status = 429, description = "Too many requests; wait.", body = Problem),
    )
)]
#[post("/api/auth/password/forgot")]
pub(crate) async fn forgot(
    state: web::Data<AppState>,
    address: ClientAddress,
    body: Valid<ForgotIn>,
) -> Result<HttpResponse, ApiError> {
    passwords::ask(&state, &body.email, address).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// Sets a new password with the token of a mailed link, and ends every session of the account.
///
/// Open to whoever holds the token, once and for half an hour. It signs nobody in: a second factor
/// is still asked for at the login. Emits `mail.requested.v1`.
#[access(public)]
#[utoipa::path(
    tag = "auth",
    request_body = ResetIn,
    responses(
        (status = 204, description = "The new password is in force."),
        (status = 422, description = "The link is not good any more, or the password is not \
                                      acceptable.", body = Problem),
        (status = 503, description = "Too many passwords at once; wait.", body = Problem),
    )
)]
#[post("/api/auth/password/reset")]
pub(crate) async fn reset(
    state: web::Data<AppState>,
    body: Valid<ResetIn>,
) -> Result<HttpResponse, ApiError> {
    let Valid(ResetIn {
        token,
        new_password,
    }) = body;
    let asked = PasswordReset {
        token,
        new_password,
    };
    passwords::reset(&state, asked).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Changes the caller's password and ends every other session of theirs.
///
/// For any signed-in account. After several wrong passwords tries are delayed: 429 with
/// `Retry-After`. Emits `mail.requested.v1`.
#[access(caller)]
#[utoipa::path(
    tag = "auth",
    request_body = ChangeIn,
    responses(
        (status = 204, description = "The new password is in force."),
        (status = 401, description = "Not signed in, or the session has ended.", body = Problem),
        (status = 403, description = "In a session that a PIN opened.", body = Problem),
        (status = 422, description = "The present password is wrong, or the new one is not \
                                      acceptable.", body = Problem),
        (status = 429, description = "Too many failures; wait.", body = Problem),
    ),
)]
#[post("/api/auth/password/change")]
pub(crate) async fn change(
    principal: Principal,
    state: web::Data<AppState>,
    address: ClientAddress,
    body: Valid<ChangeIn>,
) -> Result<HttpResponse, ApiError> {
    let Valid(ChangeIn {
        current_password,
        new_password,
    }) = body;
    let asked = PasswordChange {
        present: Reauth {
            password: current_password,
            address,
        },
        new_password,
    };
    passwords::change(&state, &principal, asked).await?;
    Ok(HttpResponse::NoContent().finish())
}
