//! A neighbour that tells a service under test what happened.

use std::fmt::Display;

use contracts::EventPayload;
use serde_json::{Value, json};

use crate::client::ApiClient;
use crate::identity::TestIdentity;

/// Gives the service of `client` an event that it cannot consume, and returns the id under which it
/// parked it. The token is another service's.
///
/// # Panics
/// When the service does not park it.
pub async fn park_an_event(client: &ApiClient, token: &str) -> String {
    let id = uuid::Uuid::new_v4().to_string();
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/services/order", "type": "nobody.knows.v1",
        "subject": "nothing", "time": "2026-03-01T09:30:00Z",
        "datacontenttype": "application/json", "data": {},
    });
    let outcomes = deliver(&client.with_token(token), &[event]).await;
    assert_eq!(outcomes, ["parked"]);
    id
}

/// Emits events in the name of a service.
pub struct EventSource {
    service: &'static str,
    identity: TestIdentity,
}

impl EventSource {
    /// Speaks for `service`, with tokens that this identity signs.
    #[must_use]
    pub fn new(service: &'static str, identity: &TestIdentity) -> Self {
        Self {
            service,
            identity: identity.clone(),
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

    /// Delivers events to the service at `address`, each with a token of the service that it comes from,
    /// and returns each one's outcome: `done`, `retry` or `parked`.
    ///
    /// # Panics
    /// When a delivery is refused.
    pub async fn deliver(&self, address: impl Display, events: &[Value]) -> Vec<String> {
        let client = ApiClient::new(format!("http://{address}"));
        let mut outcomes = Vec::new();
        for of_one in events.chunk_by(|one, next| teller(one) == teller(next)) {
            let token = self.identity.service(of_one.first().map_or("", teller));
            outcomes.extend(deliver(&client.with_token(token), of_one).await);
        }
        outcomes
    }
}

/// The service that an event comes from.
fn teller(event: &Value) -> &str {
    let source = event.get("source").and_then(Value::as_str);
    source.unwrap_or_default().trim_start_matches("/services/")
}

async fn deliver(client: &ApiClient, events: &[Value]) -> Vec<String> {
    let answer = client
        .post("/internal/events", &json!({ "events": events }))
        .await
        .expect(200);
    let results = answer.get("results").and_then(Value::as_array);
    let outcome = |result: &Value| {
        let outcome = result.get("outcome").and_then(Value::as_str);
        outcome.unwrap_or_default().to_owned()
    };
    let results = results.expect("a result for each event");
    results.iter().map(outcome).collect()
}
