//! The OpenID Connect provider: applications of third parties that people let act for them.
//!
//! Authorization code flow with PKCE, and for programs that act for themselves the client credentials
//! grant; no implicit flow and no password grant (RFC 9700, sections 2.1.2 and 2.4). What an application may do is a session of its own, so that
//! whatever ends sessions (a disabled account, a reused refresh token) ends it too. This module knows
//! no HTTP; the pages and endpoints are in `routes/oidc`.

pub(crate) mod authorize;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod clients;
pub(crate) mod codes;
pub(crate) mod consents;
pub(crate) mod end_session;
pub(crate) mod error;
pub(crate) mod params;
pub(crate) mod pkce;
pub(crate) mod provider;
pub(crate) mod redirect_uri;
pub(crate) mod request;
pub(crate) mod revoke;
pub(crate) mod scopes;
pub(crate) mod service;
pub(crate) mod store;
pub(crate) mod token;
pub(crate) mod userinfo;
