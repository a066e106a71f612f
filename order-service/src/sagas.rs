//! Sagas: what drives them, and the neighbours that they command.

pub(crate) mod driver;
pub(crate) mod neighbours;
pub(crate) mod recovery;
pub(crate) mod write;
