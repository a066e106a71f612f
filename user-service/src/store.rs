//! SQL. Every function works in the transaction it is given; the caller owns it.

pub(crate) mod accounts;
pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod development_mails;
pub(crate) mod factors;
pub(crate) mod invitations;
pub(crate) mod known_addresses;
pub(crate) mod link_tokens;
pub(crate) mod owner_recoveries;
pub(crate) mod personal;
pub(crate) mod pos_devices;
pub(crate) mod profiles;
pub(crate) mod reset_requests;
pub(crate) mod revocations;
mod roles;
pub(crate) mod session_list;
pub(crate) mod sessions;
pub(crate) mod signing_keys;
