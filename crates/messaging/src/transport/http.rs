//! Delivery without a broker: batches are posted to each subscriber until it acknowledges them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use common::error::ErrorChain;
use common::ids::EventId;
use common::settings::Neighbours;
use contracts::events::ROUTES;
use resilience::{CallError, HttpClient, InvalidParams, Target};
use serde::{Deserialize, Serialize};

use super::{Delivery, Outgoing, Transport, json_array};
use crate::outbox::BUS;

/// Where subscribers take events.
pub(crate) const EVENTS_PATH: &str = "/internal/events";
/// Longest time for a subscriber to give a whole batch its effect.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(15);

/// What a subscriber answers.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Results {
    pub(crate) results: Vec<EventResult>,
}

/// What became of one event.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct EventResult {
    pub(crate) id: EventId,
    pub(crate) outcome: Outcome,
}

/// What became of an event at its subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It has its effect.
    Done,
    /// Not yet: send it again.
    Retry,
    /// The subscriber keeps it for a person to look at.
    Parked,
}

pub(crate) struct HttpTransport(BTreeMap<&'static str, Target>);

impl HttpTransport {
    /// A way to every subscriber of the routing table.
    pub(crate) fn try_new(
        client: &HttpClient,
        neighbours: &Neighbours,
    ) -> Result<Self, InvalidParams> {
        let subscribers = ROUTES
            .iter()
            .flat_map(|(_, _, subscribers)| subscribers.iter().copied());
        let targets = subscribers
            .filter_map(|name| Some((name, base_url(neighbours, name)?)))
            .map(|(name, url)| Ok((name, client.target(name, url)?)));
        targets.collect::<Result<_, _>>().map(Self)
    }

    async fn post(&self, subscriber: &str, batch: &[&Outgoing]) -> Delivery {
        let Some(target) = self.0.get(subscriber) else {
            return Delivery::failed(format!("no address is known for {subscriber}"));
        };
        match post(target, batch).await {
            Ok(Results { results }) => {
                let acknowledged: Vec<EventId> = results
                    .into_iter()
                    .filter(|result| result.outcome != Outcome::Retry)
                    .map(|result| result.id)
                    .collect();
                let later = batch.len().saturating_sub(acknowledged.len());
                let failure = (later > 0).then(|| format!("{later} events are to be sent again"));
                Delivery {
                    acknowledged,
                    failure,
                }
            }
            Err(error) => Delivery::failed(ErrorChain(&error)),
        }
    }

    /// Rows that were written for a broker: each is acknowledged when all its subscribers have it.
    async fn fan_out(&self, batch: &[Outgoing]) -> Delivery {
        let mut missing = BTreeSet::new();
        let mut failure = None;
        for subscriber in self.0.keys() {
            let wanted: Vec<&Outgoing> = batch
                .iter()
                .filter(|event| contracts::subscribers(&event.r#type).contains(subscriber))
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let delivery = self.post(subscriber, &wanted).await;
            let acknowledged: BTreeSet<EventId> = delivery.acknowledged.into_iter().collect();
            let unanswered = wanted.iter().map(|event| event.event_id);
            missing.extend(unanswered.filter(|id| !acknowledged.contains(id)));
            failure = failure.or(delivery.failure);
        }
        let all = batch.iter().map(|event| event.event_id);
        Delivery {
            acknowledged: all.filter(|id| !missing.contains(id)).collect(),
            failure,
        }
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn deliver(&self, destination: &str, batch: &[Outgoing]) -> Delivery {
        if destination == BUS {
            return self.fan_out(batch).await;
        }
        let batch: Vec<&Outgoing> = batch.iter().collect();
        self.post(destination, &batch).await
    }
}

async fn post(target: &Target, batch: &[&Outgoing]) -> Result<Results, CallError> {
    let body = format!(r#"{{"events":{}}}"#, json_array(batch.iter().copied()));
    let call = target
        .post(EVENTS_PATH)
        .bytes("application/json", body)
        .timeout(DELIVERY_TIMEOUT);
    call.send().await?.success()?.json()
}

fn base_url<'a>(neighbours: &'a Neighbours, service: &str) -> Option<&'a str> {
    let url = match service {
        "user" => &neighbours.user_url,
        "inventory" => &neighbours.inventory_url,
        "order" => &neighbours.order_url,
        "analytics" => &neighbours.analytics_url,
        "iot" => &neighbours.iot_url,
        "payment" => &neighbours.payment_url,
        _ => return None,
    };
    Some(url)
}
