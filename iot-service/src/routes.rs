//! The whole route list.

use actix_web::web;
use common::server::ServiceConfig;

use crate::app::AppState;

mod devices;
mod readings;

/// Registers every route. All of them are for people; devices speak MQTT.
pub(crate) fn configure(config: &mut ServiceConfig<'_>, state: &web::Data<AppState>) {
    config
        .app_data(state.clone())
        .service(devices::list)
        .service(devices::create)
        .service(devices::read)
        .service(devices::renew_credentials)
        .service(readings::list)
        .service(readings::latest);
}
