//! Accounts: making, reading and changing them.

mod change;
mod create;
mod read;

pub(crate) use change::change;
pub(crate) use create::{NewAccount, create};
pub(crate) use read::{list, read, read_for_service, visible};
