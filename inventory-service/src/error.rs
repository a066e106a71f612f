//! Use-case errors, and what a client sees of them.

use common::error::ApiError;
use common::ids::ProductId;

use ::store::StoreError;

use crate::domain::fefo::TooFew;
use crate::domain::recipe::TooMuch;
use crate::domain::reservation::NotAState;

/// Why a use case did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UseCaseError {
    /// A product that does not exist.
    #[error("there is no product {0}")]
    UnknownProduct(ProductId),
    /// The store has less, or other orders hold it.
    #[error("only {available} base units of product {product_id} are free, not {wanted}")]
    NotEnoughStock {
        /// The product.
        product_id: ProductId,
        /// Base units asked for.
        wanted: i64,
        /// Base units on hand that no order holds.
        available: i64,
    },
    /// More than any store holds.
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    /// Rows that contradict each other. Nothing is changed.
    #[error("the stock records are inconsistent: {0}")]
    Inconsistent(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NotAState> for UseCaseError {
    fn from(error: NotAState) -> Self {
        Self::Inconsistent(error.to_string())
    }
}

impl From<TooFew> for UseCaseError {
    fn from(error: TooFew) -> Self {
        Self::Inconsistent(error.to_string())
    }
}

impl From<UseCaseError> for ApiError {
    fn from(error: UseCaseError) -> Self {
        match error {
            UseCaseError::UnknownProduct(id) => {
                Self::unprocessable("unknown_product", format!("There is no product {id}."))
            }
            UseCaseError::NotEnoughStock { .. } => {
                Self::conflict("not_enough_stock", capitalised(&error.to_string()))
            }
            UseCaseError::TooMuch(_) => {
                Self::unprocessable("quantity_too_large", capitalised(&error.to_string()))
            }
            UseCaseError::Inconsistent(_) => Self::internal(error),
            UseCaseError::Store(error) => error.into(),
        }
    }
}

/// A sentence out of an error's text.
fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters
        .next()
        .map(|c| c.to_uppercase().to_string())
        .unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}
