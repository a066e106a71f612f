//! The messaging of this service: what it tells the others, and its own identity towards them.

use std::sync::Arc;

use actix_web::web;
use async_trait::async_trait;
use common::auth::{TokenSource, TokenSourceError};
use common::settings::{EventsSettings, Neighbours};
use common::shutdown::Shutdown;
use contracts::services::ServiceName;
use messaging::{Messaging, MessagingParams};
use resilience::{HttpClient, HttpClientParams};

use crate::state::AppState;

/// Starts telling events. A subscriber or a broker that is down is no error.
pub(crate) fn start(
    state: &web::Data<AppState>,
    settings: EventsSettings,
    neighbours: Neighbours,
    shutdown: &Shutdown,
) -> anyhow::Result<Messaging> {
    let client = HttpClient::try_new(HttpClientParams::default())?;
    Ok(Messaging::start(MessagingParams {
        service: ServiceName::User,
        db: state.db.clone(),
        outbox: state.outbox.clone(),
        settings,
        neighbours,
        client: client.with_tokens(Arc::new(OwnTokens(state.clone()))),
        consumers: Vec::new(),
        clock: state.clock.clone(),
        shutdown: shutdown.clone(),
    })?)
}

/// This service needs nobody to vouch for it: it signs its own token.
pub(crate) struct OwnTokens(pub(crate) web::Data<AppState>);

#[async_trait]
impl TokenSource for OwnTokens {
    async fn token(&self) -> Result<Arc<str>, TokenSourceError> {
        let minted = self.0.mint.service(ServiceName::User);
        let minted = minted.map_err(|error| TokenSourceError::Sign(error.into()))?;
        Ok(minted.expose().into())
    }
}
