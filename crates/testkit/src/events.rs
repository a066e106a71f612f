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
    let source = EventSource {
        service: "order",
        token: token.to_owned(),
    };
    let outcomes = source.deliver_through(client, &[event]).await;
    assert_eq!(outcomes, ["parked"]);
    id
}

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
        let client = ApiClient::new(format!("http://{address}"));
        self.deliver_through(&client, events).await
    }

    async fn deliver_through(&self, client: &ApiClient, events: &[Value]) -> Vec<String> {
        let answer = client
            .with_token(self.token.clone())
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
}
