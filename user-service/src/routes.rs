//! The whole route list.

use actix_web::web;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::state::AppState;

mod audit;
mod internal;
mod keys;
mod revocations;
mod session_list;
mod sessions;
mod users;

/// Registers every route.
pub(crate) fn configure(config: &mut ServiceConfig<'_>, state: &web::Data<AppState>) {
    config
        .app_data(state.clone())
        // For people and terminals, through the gateway.
        .service(sessions::log_in)
        .service(sessions::refresh)
        .service(sessions::log_out)
        .service(sessions::read_me)
        .service(session_list::list_own)
        .service(session_list::end_others)
        .service(session_list::end_one)
        .service(session_list::list_of)
        .service(session_list::end_all_of)
        // Before the routes with an id in the same place.
        .service(audit::list)
        .service(audit::export)
        .service(users::create)
        .service(users::list)
        .service(users::read)
        .service(users::change)
        // For everybody who verifies tokens.
        .service(keys::jwks)
        // For other services, never through the gateway.
        .service(internal::issue_token)
        .service(revocations::list);
}

/// What the OpenAPI document says beside the routes.
pub(crate) fn openapi() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    let info = InfoBuilder::new()
        .title("user-service")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Accounts, sessions and the keys that sign tokens."))
        .build();
    let mut components = Components::new();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .build()
}
