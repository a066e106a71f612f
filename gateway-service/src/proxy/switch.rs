//! Asking a service for another protocol on the same connection.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Payload;
use http::{HeaderMap, StatusCode, header};

use super::attempts::{NoAnswer, outcome_of};
use super::headers::Outbound;
use super::tunnel::Tunnel;
use super::upstreams::{Exchange, Trial, Upstreams};
use crate::directory::{Selection, Service};

/// A handshake with one instance of a service. It is not tried again: the client does that.
pub(crate) struct Switch<'s> {
    pub(crate) upstreams: &'s Upstreams,
    pub(crate) service: &'s Arc<Service>,
    pub(crate) outbound: &'s Outbound<'s>,
    /// Longest wait for the service's word.
    pub(crate) header_timeout: Duration,
    /// The key of a consistent hash.
    pub(crate) key: Option<u64>,
}

/// The service's word.
pub(crate) enum Switched {
    /// It has switched.
    Tunnel(HeaderMap, Box<Tunnel>),
    /// It stays with HTTP.
    Refused(Box<Exchange>),
}

impl Switch<'_> {
    pub(crate) async fn run(
        &self,
        client: Payload,
        idle_timeout: Duration,
    ) -> Result<Switched, NoAnswer> {
        let service = self.service;
        let permit = service.breaker.try_acquire();
        let permit = permit.map_err(|open| NoAnswer::CircuitOpen(open.retry_after))?;
        let Selection {
            instance,
            in_flight,
        } = service.select(self.key, &[]).ok_or(NoAnswer::NoInstance)?;
        let trial = Trial {
            instance: &instance,
            outbound: self.outbound,
            deadline: None,
            number: 1,
        };
        let started = std::time::Instant::now();
        let answered = self.upstreams.upgrade(trial, self.header_timeout).await;
        if let Some(outcome) = outcome_of(&answered, started.elapsed()) {
            service.settle(&instance, outcome);
        }
        let mut exchange = match answered {
            Ok(exchange) => exchange,
            Err(error) => {
                permit.failed();
                return Err(error.into());
            }
        };
        match exchange.answer.status().is_server_error() {
            true => permit.failed(),
            false => permit.succeeded(),
        }
        if !has_switched(&exchange) {
            // Nobody knows what it takes the next bytes for.
            exchange.lease.do_not_reuse();
            return Ok(Switched::Refused(Box::new(exchange)));
        }
        let Exchange { answer, lease } = exchange;
        let headers = answer.headers().clone();
        let tunnel = Tunnel::open(answer, client, idle_timeout, in_flight).await;
        // Held until the connection has changed hands.
        drop(lease);
        let tunnel = tunnel.map_err(NoAnswer::Tunnel)?;
        Ok(Switched::Tunnel(headers, Box::new(tunnel)))
    }
}

/// Whether the service speaks the protocol that was asked for from now on. A 101 to anything else is
/// a bad answer, which the relay refuses.
fn has_switched(exchange: &Exchange) -> bool {
    let mut protocols = exchange.answer.headers().get_all(header::UPGRADE).iter();
    let names_it = protocols.any(|value| {
        let name = value.as_bytes().trim_ascii();
        name.eq_ignore_ascii_case(b"websocket")
    });
    exchange.answer.status() == StatusCode::SWITCHING_PROTOCOLS && names_it
}
