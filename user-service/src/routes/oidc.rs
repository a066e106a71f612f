//! The OpenID Connect provider over HTTP.
//!
//! The protocol's endpoints and pages answer with the errors of RFC 6749, or with pages for people,
//! where others answer with problem documents.

mod authorize;
mod browser;
pub(super) mod clients;
pub(super) mod consents;
mod discovery;
mod forms;
mod html;
mod login;
mod second_factor;
mod sign_out;
mod token;
mod userinfo;

use common::server::ServiceConfig;

/// Registers every route.
pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(clients::register)
        .service(clients::list)
        .service(clients::read)
        .service(clients::change)
        .service(clients::renew_secret)
        .service(clients::delete)
        .service(consents::list)
        .service(consents::take_back)
        // For browsers.
        .service(authorize::get_authorize)
        .service(authorize::post_authorize)
        .service(authorize::resume)
        .service(authorize::decide)
        .service(login::submit_login)
        .service(sign_out::get_sign_out)
        .service(sign_out::post_sign_out)
        .service(sign_out::confirm)
        // For applications.
        .service(token::issue_tokens)
        .service(token::revoke_token)
        .service(userinfo::get_userinfo)
        .service(userinfo::post_userinfo)
        .service(discovery::openid_configuration)
        .service(discovery::oauth_configuration);
}
