//! Errors of credentials: links, passwords, second factors, terminals and PINs.

use actix_web::http::StatusCode;
use common::error::{ApiError, FieldError};
use hashing::{Busy, HashingError};
use store::StoreError;

use super::{AccountError, SessionError, refused};
use crate::domain::authority::NotHeld;
use crate::domain::password::PasswordFault;
use crate::keys::Unsealable;

/// Why a credential was not taken, given out or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    /// Unknown, used, taken back or too old: which of them is nobody's business.
    #[error("the link is not good any more")]
    LinkInvalid,
    /// A signed-in person typed another password than their own.
    #[error("the password is wrong")]
    WrongPassword,
    /// A signed-in person typed a code that is not good now.
    #[error("the code is wrong")]
    WrongCode,
    /// The field, and what is wrong with the password in it.
    #[error("the password in {0} {1}")]
    Unacceptable(&'static str, PasswordFault),
    /// Somebody was invited under this email, and the invitation is open.
    #[error("an invitation of this email is open")]
    AlreadyInvited,
    /// There is no such thing, or it is none of the caller's.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// Nobody resets their own second factors.
    #[error("the second factors are the caller's own")]
    OwnFactors,
    /// The account has a generator in force already.
    #[error("a generator is in force")]
    TotpInForce,
    /// The account has none.
    #[error("no generator is there")]
    NoTotp,
    /// The login that waited for a second factor is over.
    #[error("no login waits for this second factor")]
    ChallengeOver,
    /// The second factor of a login was wrong.
    #[error("the second factor is wrong")]
    WrongFactor,
    /// Not a terminal of ours, or a revoked one.
    #[error("the terminal is not known")]
    UnknownDevice,
    /// Unknown account, wrong PIN, no PIN, or nobody of that store.
    #[error("the account or the PIN is wrong")]
    BadPin,
    #[error(transparent)]
    Sealed(#[from] Unsealable),
    #[error(transparent)]
    Account(#[from] AccountError),
}

impl From<SessionError> for CredentialError {
    fn from(error: SessionError) -> Self {
        Self::Account(error.into())
    }
}

impl From<StoreError> for CredentialError {
    fn from(error: StoreError) -> Self {
        Self::Account(error.into())
    }
}

impl From<Busy> for CredentialError {
    fn from(error: Busy) -> Self {
        Self::Account(error.into())
    }
}

impl From<HashingError> for CredentialError {
    fn from(error: HashingError) -> Self {
        Self::Account(error.into())
    }
}

impl From<NotHeld> for CredentialError {
    fn from(error: NotHeld) -> Self {
        Self::Account(error.into())
    }
}

impl From<CredentialError> for ApiError {
    fn from(error: CredentialError) -> Self {
        use CredentialError as E;
        match error {
            E::LinkInvalid => Self::unprocessable(
                "link_invalid",
                "The link was used, taken back or is too old; ask for a new one.",
            ),
            E::WrongPassword => {
                Self::unprocessable("password_wrong", "The present password is another one.")
            }
            E::WrongCode => Self::unprocessable("code_wrong", "The code is not good now."),
            E::Unacceptable(field, fault) => Self::invalid(vec![FieldError {
                field: field.to_owned(),
                code: fault.code().to_owned(),
                detail: fault.to_string(),
            }]),
            E::AlreadyInvited => Self::conflict(
                "already_invited",
                "Somebody was invited under this email; send that invitation again.",
            ),
            E::Unknown(noun) => Self::not_found(noun),
            E::OwnFactors => Self::conflict(
                "own_second_factors",
                "Your own second factors are removed with a code, or reset by another owner.",
            ),
            E::TotpInForce => Self::conflict(
                "totp_in_force",
                "The account has a generator; disable it before adding another.",
            ),
            E::NoTotp => Self::conflict("totp_missing", "The account has no such generator."),
            E::ChallengeOver => refused(
                "mfa_token_invalid",
                "No login waits for this second factor; sign in again.",
            ),
            E::WrongFactor => refused("code_invalid", "The code is wrong."),
            E::UnknownDevice => refused("device_invalid", "The terminal is not registered."),
            E::BadPin => refused("pin_invalid", "The account or the PIN is wrong."),
            E::Sealed(_) => Self::internal(error),
            E::Account(error) => error.into(),
        }
    }
}

/// 409 for an account whose person's data was removed: nothing brings it back.
pub(super) fn erased() -> ApiError {
    let detail = "The person's data was removed; the account cannot be used again.";
    ApiError::new(StatusCode::CONFLICT, "account_erased", detail)
}
