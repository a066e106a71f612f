//! The use cases, one per file.

pub(crate) mod accounts;
pub(crate) mod audit_trail;
pub(crate) mod bootstrap;
pub(crate) mod log_in;
pub(crate) mod log_out;
pub(crate) mod own_sessions;
pub(crate) mod refresh;
pub(crate) mod service_token;
pub(crate) mod whoami;
