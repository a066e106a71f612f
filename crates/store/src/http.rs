//! What a client sees of a database's failures.

use std::time::Duration;

use common::error::ApiError;

use crate::StoreError;

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                Self::unavailable("database_unavailable", Duration::from_secs(2)).with_cause(error)
            }
            StoreError::Serialization(_) => {
                Self::unavailable("concurrent_change", Duration::from_secs(1)).with_cause(error)
            }
            StoreError::Conflict { .. } => {
                let detail = "Something with the same unique value exists.";
                Self::conflict("already_exists", detail).with_cause(error)
            }
            StoreError::Database(_) | StoreError::Migration(_) | StoreError::Settings(_) => {
                Self::internal(error)
            }
        }
    }
}
