//! A stand-in for a service that consumes events over HTTP: it remembers what it was told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fake::FakeServer;
use crate::wait::wait_for;

/// A subscriber on a free port, until it is dropped.
pub struct FakeSubscriber {
    server: FakeServer,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    events: Vec<Value>,
    tokens: Vec<String>,
    refusal: Option<u16>,
    outcome: Option<&'static str>,
}

#[derive(Deserialize)]
struct Batch {
    events: Vec<Value>,
}

impl FakeSubscriber {
    /// Starts one that accepts every event.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = web::Data::from(Arc::clone(&state));
        let server = FakeServer::start(move |config| {
            config
                .app_data(shared.clone())
                .app_data(web::JsonConfig::default().limit(16 << 20))
                .route("/internal/events", web::post().to(receive));
        });
        Self { server, state }
    }

    /// Its base address.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// From now on answers every delivery with this status and remembers nothing.
    pub fn refuse(&self, status: u16) {
        self.state().refusal = Some(status);
    }

    /// From now on reports this outcome (`done`, `retry`, `parked`) for every event.
    pub fn report(&self, outcome: &'static str) {
        self.state().outcome = Some(outcome);
    }

    /// From now on accepts every event again.
    pub fn accept(&self) {
        let mut state = self.state();
        state.refusal = None;
        state.outcome = None;
    }

    /// Every envelope that was accepted, in order of arrival; repeated deliveries appear repeatedly.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.state().events.clone()
    }

    /// The accepted envelopes of one type.
    #[must_use]
    pub fn events_of(&self, event_type: &str) -> Vec<Value> {
        let mut events = self.events();
        events.retain(|event| event.get("type").is_some_and(|kind| kind == event_type));
        events
    }

    /// The `Authorization` headers of the deliveries.
    #[must_use]
    pub fn authorizations(&self) -> Vec<String> {
        self.state().tokens.clone()
    }

    /// Waits for at least `count` events of a type.
    ///
    /// # Panics
    /// When they do not arrive in time.
    pub async fn wait_for_events(&self, event_type: &str, count: usize) -> Vec<Value> {
        let what = format!("{count} events {event_type}");
        wait_for(&what, || {
            let events = self.events_of(event_type);
            std::future::ready((events.len() >= count).then_some(events))
        })
        .await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive(
    state: web::Data<Mutex<State>>,
    request: HttpRequest,
    batch: web::Json<Batch>,
) -> HttpResponse {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(status) = state.refusal {
        let status = actix_web::http::StatusCode::from_u16(status).unwrap_or_default();
        return HttpResponse::build(status).finish();
    }
    let authorization = request.headers().get("authorization");
    let authorization = authorization.and_then(|value| value.to_str().ok());
    state
        .tokens
        .push(authorization.unwrap_or_default().to_owned());
    let outcome = state.outcome.unwrap_or("done");
    let events = batch.into_inner().events;
    let results: Vec<Value> = events
        .iter()
        .map(|event| json!({"id": event.get("id"), "outcome": outcome}))
        .collect();
    if outcome == "done" {
        state.events.extend(events);
    }
    HttpResponse::Ok().json(json!({ "results": results }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiClient;

    #[tokio::test]
    async fn it_remembers_what_it_accepted() {
        let fake = FakeSubscriber::start();
        let client = ApiClient::new(fake.url()).with_token("t");
        let batch = json!({"events": [{"id": "1", "type": "a.v1"}, {"id": "2", "type": "b.v1"}]});
        fake.refuse(503);
        assert_eq!(client.post("/internal/events", &batch).await.status, 503);
        fake.accept();
        fake.report("retry");
        assert_eq!(client.post("/internal/events", &batch).await.status, 200);
        assert!(fake.events().is_empty());
        fake.accept();
        let answer = client.post("/internal/events", &batch).await.expect(200);
        assert_eq!(answer["results"][1], json!({"id": "2", "outcome": "done"}));
        assert_eq!(fake.wait_for_events("b.v1", 1).await.len(), 1);
        assert_eq!(fake.authorizations(), ["Bearer t", "Bearer t"]);
    }
}
