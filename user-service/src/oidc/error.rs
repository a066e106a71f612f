//! Errors as OAuth names them (RFC 6749, sections 4.1.2.1 and 5.2).

use ::store::StoreError;

use crate::error::SessionError;
use crate::keys::MintError;

/// Why an authorization request is refused. The application hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// OAuth's name of it.
    pub(crate) code: &'static str,
    /// For the application's developer.
    pub(crate) detail: &'static str,
}

impl Refusal {
    pub(crate) const fn new(code: &'static str, detail: &'static str) -> Self {
        Self { code, detail }
    }

    pub(crate) const fn invalid(detail: &'static str) -> Self {
        Self::new("invalid_request", detail)
    }
}

/// Why the token or revocation endpoint refuses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrantError {
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("the client is unknown, or did not prove itself")]
    InvalidClient,
    #[error("{0}")]
    InvalidGrant(&'static str),
    #[error("more was asked for than was granted")]
    InvalidScope,
    #[error("this grant type is not offered")]
    UnsupportedGrantType,
    #[error("this application acts for people only")]
    UnauthorizedClient,
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<StoreError> for GrantError {
    fn from(error: StoreError) -> Self {
        Self::Session(error.into())
    }
}

impl From<MintError> for GrantError {
    fn from(error: MintError) -> Self {
        Self::Session(error.into())
    }
}
