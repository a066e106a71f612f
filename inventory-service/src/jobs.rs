//! Recurring work.

pub(crate) mod expire_reservations;
