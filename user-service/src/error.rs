//! Errors of the use cases, and what a client sees of each.

mod credentials;

use std::time::Duration;

use actix_web::http::StatusCode;
use common::error::{ApiError, FieldError};
use common::extract::Faults;
use hashing::{Busy, HashingError};
use store::StoreError;

pub(crate) use self::credentials::CredentialError;
use crate::app::log_in::BUSY_RETRY_AFTER;
use crate::domain::api_key::KeyFault;
use crate::domain::authority::NotHeld;
use crate::keys::{KeyringError, MintError};

/// Why a session was not opened, renewed or believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// Unknown account, wrong password or disabled account.
    #[error("the email or the password is wrong")]
    BadCredentials,
    /// Too many failures before.
    #[error("logins are delayed after failures")]
    Throttled(Duration),
    #[error(transparent)]
    Busy(#[from] Busy),
    /// Unknown, or its session is over.
    #[error("the refresh token is not valid")]
    RefreshRefused,
    /// Used again after the grace; the session has ended just now.
    #[error("the refresh token was used before")]
    RefreshReused,
    /// The token is good, but its session or account is over.
    #[error("the session has ended")]
    SessionEnded,
    /// Not a service's name and secret.
    #[error("the client's name or secret is wrong")]
    BadClient,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Hashing(#[from] HashingError),
    #[error(transparent)]
    Mint(#[from] MintError),
}

/// Why an account was not made, shown or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    /// Not there, or none of the caller's business.
    #[error("there is no such account")]
    Unknown,
    #[error("the account has as many API keys as it may have")]
    TooManyKeys,
    /// A turn at a terminal is too little for this.
    #[error("not in a session that a PIN opened")]
    AtTerminal,
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// Not an API key in force.
    #[error("the API key is not valid")]
    BadKey,
    /// The account may do more than the caller.
    #[error("the account may do more than the caller")]
    Outranked,
    /// The store asked for is not the caller's.
    #[error("there is no such store")]
    ForeignStore,
    #[error("another account has this email")]
    EmailTaken,
    /// Somebody else chose the password of an account.
    #[error("a person chooses their password alone")]
    ForeignPassword,
    /// The change was made from another version.
    #[error("the account has changed meanwhile")]
    Changed,
    /// The person's data was removed, for good.
    #[error("the account was erased")]
    Erased,
    #[error("the chain needs an owner")]
    LastOwner,
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> Self {
        Self::Session(error.into())
    }
}

impl From<Busy> for AccountError {
    fn from(error: Busy) -> Self {
        Self::Session(error.into())
    }
}

impl From<HashingError> for AccountError {
    fn from(error: HashingError) -> Self {
        Self::Session(error.into())
    }
}

/// Why no new signing key was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// Another replica, or another request, made one in the same moment.
    #[error("another rotation was faster")]
    RotatedMeanwhile,
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<StoreError> for KeyError {
    fn from(error: StoreError) -> Self {
        Self::Session(error.into())
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::RotatedMeanwhile => Self::conflict(
                "rotated_meanwhile",
                "Another rotation was faster; look at the keys before another one.",
            ),
            KeyError::Keyring(error) => Self::internal(error),
            KeyError::Session(error) => error.into(),
        }
    }
}

fn refused(code: &'static str, detail: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, code, detail)
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::BadCredentials => {
                refused("credentials_invalid", "The email or the password is wrong.")
            }
            SessionError::Throttled(wait) => Self::too_many(wait),
            SessionError::Busy(_) => Self::unavailable("busy", BUSY_RETRY_AFTER),
            SessionError::RefreshRefused => refused(
                "refresh_token_invalid",
                "The refresh token is not valid; sign in again.",
            ),
            SessionError::RefreshReused => refused(
                "refresh_token_reused",
                "The refresh token was used before, so its session was ended; sign in again.",
            ),
            SessionError::SessionEnded => {
                refused("session_ended", "The session has ended; sign in again.")
            }
            SessionError::BadClient => {
                refused("client_invalid", "The client's name or secret is wrong.")
            }
            SessionError::Store(error) => error.into(),
            SessionError::Hashing(_) | SessionError::Mint(_) => Self::internal(error),
        }
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Unknown => Self::not_found("user"),
            AccountError::TooManyKeys => Self::conflict(
                "too_many_api_keys",
                "The account has 50 API keys in force; revoke one.",
            ),
            AccountError::AtTerminal => Self::new(
                StatusCode::FORBIDDEN,
                "at_terminal",
                "A turn at a terminal is not enough for this; sign in with the password.",
            ),
            AccountError::Key(fault) => {
                let mut faults = Faults::default();
                faults.add(fault.field(), "not_held", fault.to_string());
                faults
                    .into_result()
                    .map_or_else(|error| error, |()| Self::forbidden())
            }
            AccountError::BadKey => refused("client_invalid", "The API key is not valid."),
            AccountError::Outranked => Self::new(
                StatusCode::FORBIDDEN,
                "outranked",
                "The account may do more than this one.",
            ),
            AccountError::ForeignStore => Self::not_found("store"),
            AccountError::EmailTaken => {
                Self::conflict("email_taken", "Another account has this email.")
            }
            AccountError::ForeignPassword => Self::invalid(vec![FieldError {
                field: "password".to_owned(),
                code: "chosen_by_its_person".to_owned(),
                detail: "leave it out: a link to choose one is mailed to the person".to_owned(),
            }]),
            AccountError::Changed => Self::conflict(
                "version_conflict",
                "The account has changed meanwhile; read it again.",
            ),
            AccountError::Erased => credentials::erased(),
            AccountError::LastOwner => Self::conflict(
                "last_owner",
                "The chain needs at least one owner who is not disabled.",
            ),
            AccountError::NotHeld(_) => Self::new(
                StatusCode::FORBIDDEN,
                "not_held",
                "An account can only give or take roles and stores that it has itself.",
            ),
            AccountError::Session(error) => error.into(),
        }
    }
}
