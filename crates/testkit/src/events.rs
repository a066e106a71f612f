//! A neighbour that tells a service under test what happened.

use std::fmt::Display;

use contracts::EventPayload;
use serde_json::{Value, json};

use crate::client::ApiClient;
use crate::identity::TestIdentity;

/// Emits events in the name of a service.
pub struct EventSource {
    service: &'static str,
    token: String,
}

impl EventSource {
    /// Speaks for `service`, with a token that this identity signs.
    #[must_use]
    pub fn new(service: &'static str, identity: &TestIdentity) -> Self {
        Self {
            service,
            token: identity.service(service),
        }
    }

    /// A new event, in the form it has on the wire.
    #[must_use]
    pub fn event<E: EventPayload>(&self, subject: impl Display, event: &E) -> Value {
        json!({
            "specversion": "1.0",
            "id": uuid::Uuid::new_v4(),
            "source": format!("/services/{}", self.service),
            "type": E::TYPE,
            "subject": subject.to_string(),
            "time": "2026-03-01T09:30:00Z",
            "datacontenttype": "application/json",
            "data": event,
        })
    }

    /// Delivers events to the service at `address` and returns each one's outcome: `done`, `retry`
    /// or `parked`.
    ///
    /// # Panics
    /// When the delivery is refused.
    pub async fn deliver(&self, address: impl Display, events: &[Value]) -> Vec<String> {
        let client = ApiClient::new(format!("http://{address}")).with_token(self.token.clone());
        let answer = client
            .post("/internal/events", &json!({ "events": events }))
            .await
            .expect(200);
        let results = answer["results"]
            .as_array()
            .expect("a result for each event")
            .clone();
        let outcome = |result: &Value| result["outcome"].as_str().unwrap_or_default().to_owned();
        results.iter().map(outcome).collect()
    }
}
