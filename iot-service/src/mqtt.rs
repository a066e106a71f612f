//! Where readings come from: the inner broker, or an outside one.

pub(crate) mod broker;
pub(crate) mod client;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::clock::Clock;

use crate::app::ingest::{Ingest, Stored};
use crate::domain::message::Telemetry;
use crate::domain::topic::Place;

/// Whether messages can come in now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link(Arc<AtomicBool>);

impl Link {
    pub(crate) fn set(&self, up: bool) {
        self.0.store(up, Ordering::Relaxed);
    }

    /// For the health check.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.0.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err("the MQTT broker cannot be reached".to_owned())
        }
    }
}

/// What to do with a message after it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is stored, or never can be: acknowledge.
    Acknowledge,
    /// It is not stored: say nothing, so that it is sent again.
    Withhold,
}

/// Reads messages and hands them to the store.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) ingest: Ingest,
    pub(crate) clock: Clock,
}

impl Receiver {
    /// Takes one message in. What can never be stored is counted, logged and acknowledged: sent
    /// again it would be no better, and it would block what comes after it.
    pub(crate) async fn receive(&self, topic: &str, payload: &[u8]) -> Verdict {
        let Some(place) = Place::of_telemetry(topic) else {
            return refuse("topic", topic);
        };
        let telemetry = match Telemetry::parse(payload, self.clock.now()) {
            Ok(telemetry) => telemetry,
            Err(error) => return refuse("payload", &common::error::ErrorChain(&error).to_string()),
        };
        match self.ingest.store(place, telemetry).await {
            Some(Stored::Committed) => Verdict::Acknowledge,
            Some(Stored::UnknownDevice) => refuse("device", topic),
            Some(Stored::Refused) => refuse("database", topic),
            None => Verdict::Withhold,
        }
    }
}

fn refuse(reason: &'static str, detail: &str) -> Verdict {
    metrics::counter!("iot_messages_refused_total", "reason" => reason).increment(1);
    tracing::debug!(reason, detail, "a message was refused");
    Verdict::Acknowledge
}
