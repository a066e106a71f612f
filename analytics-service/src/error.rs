//! Use-case errors, and what a client sees of them.

use common::error::ApiError;

use ::store::StoreError;

/// Why a use case did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UseCaseError {
    /// Amounts of different currencies cannot be added.
    #[error("the period holds sales in several currencies")]
    MixedCurrencies,
    /// An event that the log holds cannot be read any more.
    #[error("the logged event {0} cannot be read")]
    UnreadableEvent(String, #[source] serde_json::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<UseCaseError> for ApiError {
    fn from(error: UseCaseError) -> Self {
        match error {
            UseCaseError::MixedCurrencies => Self::unprocessable(
                "mixed_currencies",
                "The period holds sales in several currencies; ask for one store.",
            ),
            UseCaseError::UnreadableEvent(..) => Self::internal(error),
            UseCaseError::Store(error) => error.into(),
        }
    }
}
