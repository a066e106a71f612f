//! The whole route list.

use actix_web::web;
use common::server::ServiceConfig;
use common::settings::Profile;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi, OpenApiBuilder};

use crate::state::AppState;

mod api_keys;
mod audit;
mod dev_outbox;
mod devices;
mod emails;
mod internal;
mod invitations;
mod key_rotation;
mod keys;
mod mfa;
mod oidc;
mod passkeys;
mod passwords;
mod pins;
mod privacy;
mod profile;
mod revocations;
mod session_list;
mod sessions;
mod users;

pub(crate) use users::UserIn;

/// Registers every route. Fixed paths stand before those with an id in the same place.
pub(crate) fn configure(config: &mut ServiceConfig<'_>, state: &web::Data<AppState>) {
    config.app_data(state.clone());
    own_account(config);
    others_accounts(config);
    config
        // For people and terminals, through the gateway.
        .service(sessions::log_in)
        .service(mfa::log_in)
        .service(sessions::refresh)
        .service(sessions::log_out)
        .service(sessions::read_me)
        .service(session_list::list_own)
        .service(session_list::end_others)
        .service(session_list::end_one)
        .service(session_list::list_of)
        .service(session_list::end_all_of)
        .service(api_keys::exchange)
        .service(api_keys::create)
        .service(api_keys::list)
        .service(api_keys::revoke)
        .service(key_rotation::rotate)
        .service(audit::list)
        .service(audit::export)
        .service(users::create)
        .service(users::list)
        .service(users::read)
        .service(users::change)
        .service(privacy::export)
        .service(privacy::erase)
        .service(mfa::reset)
        .service(passkeys::start_registration)
        .service(passkeys::finish_registration)
        .service(passkeys::list)
        .service(passkeys::rename)
        .service(passkeys::remove)
        .service(passkeys::start_login)
        .service(passkeys::finish_login)
        .configure(oidc::configure)
        // For everybody who verifies tokens.
        .service(keys::jwks)
        // For other services, never through the gateway.
        .service(internal::issue_token)
        .service(revocations::list);
    if state.profile == Profile::Development {
        config.service(dev_outbox::list);
    }
}

/// What people do about their own account.
fn own_account(config: &mut ServiceConfig<'_>) {
    config
        .service(profile::change)
        .service(privacy::export_own)
        .service(passwords::forgot)
        .service(passwords::reset)
        .service(passwords::change)
        .service(emails::ask_verification)
        .service(emails::ask_change)
        .service(emails::verify)
        .service(mfa::read)
        .service(mfa::enrol)
        .service(mfa::confirm)
        .service(mfa::disable)
        .service(mfa::renew_recovery_codes)
        .service(pins::choose)
        .service(pins::give_up)
        .service(pins::people)
        .service(pins::take_turn)
        .service(invitations::accept);
}

/// What owners and managers do about the accounts and terminals of others. Fixed paths: they stand
/// before those with an id in the same place.
fn others_accounts(config: &mut ServiceConfig<'_>) {
    config
        .service(invitations::invite)
        .service(invitations::list)
        .service(invitations::resend)
        .service(invitations::take_back)
        .service(devices::register)
        .service(devices::list)
        .service(devices::revoke);
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
