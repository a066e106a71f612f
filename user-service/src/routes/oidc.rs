//! The OpenID Connect provider over HTTP.
//!
//! The endpoints of the protocol and its pages stand in the discovery document and not in the OpenAPI
//! one: their errors are those of RFC 6749, or pages for people, never problem documents. None of them
//! needs a token of ours; `tests/api/oidc` holds what each refuses.

mod authorize;
mod browser;
pub(super) mod clients;
pub(super) mod consents;
mod discovery;
mod html;
mod login;
mod second_factor;
mod sign_out;
mod token;
mod userinfo;

use actix_web::web;
use common::server::ServiceConfig;

/// Registers every route.
#[expect(
    clippy::disallowed_methods,
    reason = "the protocol's endpoints stand in the discovery document; nobody proves who asks there \
              with a token of ours, so no permission lets anybody in"
)]
pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(clients::register)
        .service(clients::list)
        .service(clients::read)
        .service(clients::change)
        .service(clients::renew_secret)
        .service(clients::delete)
        .service(consents::list)
        .service(consents::take_back);
    // For browsers.
    config
        .route("/oauth/authorize", web::get().to(authorize::get))
        .route("/oauth/authorize", web::post().to(authorize::post))
        .route("/oauth/continue", web::get().to(authorize::resume))
        .route("/oauth/login", web::post().to(login::log_in))
        .route("/oauth/consent", web::post().to(authorize::decide))
        .route("/oauth/end_session", web::get().to(sign_out::get))
        .route("/oauth/end_session", web::post().to(sign_out::post))
        .route(
            "/oauth/end_session/confirm",
            web::post().to(sign_out::confirm),
        );
    // For applications.
    config
        .route("/oauth/token", web::post().to(token::token))
        .route("/oauth/revoke", web::post().to(token::revoke))
        .route("/oauth/userinfo", web::get().to(userinfo::userinfo))
        .route("/oauth/userinfo", web::post().to(userinfo::userinfo))
        .route(
            "/.well-known/openid-configuration",
            web::get().to(discovery::configuration),
        )
        .route(
            "/.well-known/oauth-authorization-server",
            web::get().to(discovery::configuration),
        );
}
