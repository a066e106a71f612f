//! Base units: the smallest piece of a product that is counted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What one unit of quantity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) enum Unit {
    /// Gram.
    #[serde(rename = "g")]
    Gram,
    /// Millilitre.
    #[serde(rename = "ml")]
    Millilitre,
    /// Piece.
    #[serde(rename = "piece")]
    Piece,
}

impl Unit {
    /// The text in JSON and in the database.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Gram => "g",
            Self::Millilitre => "ml",
            Self::Piece => "piece",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no unit.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no unit")]
pub(crate) struct NotAUnit(String);

impl FromStr for Unit {
    type Err = NotAUnit;

    fn from_str(text: &str) -> Result<Self, NotAUnit> {
        [Self::Gram, Self::Millilitre, Self::Piece]
            .into_iter()
            .find(|unit| unit.as_str() == text)
            .ok_or_else(|| NotAUnit(text.to_owned()))
    }
}
