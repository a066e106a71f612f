//! Devices, topics and messages: pure, without a database, a clock or a network.

pub(crate) mod kind;
pub(crate) mod message;
pub(crate) mod topic;
