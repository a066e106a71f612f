//! The use cases, one per file.

pub(crate) mod accounts;
pub(crate) mod acting;
pub(crate) mod api_keys;
pub(crate) mod audit_trail;
pub(crate) mod bootstrap;
pub(crate) mod devices;
pub(crate) mod emails;
mod failed_logins;
pub(crate) mod invitations;
pub(crate) mod log_in;
pub(crate) mod log_out;
pub(crate) mod mail;
pub(crate) mod mfa;
pub(crate) mod own_sessions;
pub(crate) mod passwords;
pub(crate) mod pins;
pub(crate) mod privacy;
pub(crate) mod profile;
pub(crate) mod reauth;
mod recover_owner;
pub(crate) mod refresh;
pub(crate) mod rotate_keys;
pub(crate) mod service_token;
pub(crate) mod whoami;
