//! What happens in the registry, as those who watch see it.

use std::time::Duration;

use crate::client::Client;
use crate::registrar::Registrar;
use crate::upstream::{Reply, Upstream};

const SERVICES: &str = "/api/discovery/services";

async fn echo() -> Upstream {
    Upstream::start(|seen| Reply::ok(&seen.head.start)).await
}

/// One reader of server-sent events.
struct Events {
    client: Client,
    text: String,
}

impl Events {
    async fn open(registrar: &Registrar, last: Option<&str>) -> Self {
        let mut client = registrar.gateway.connect().await;
        let token = registrar.identity.owner();
        let last = last
            .map(|id| format!("Last-Event-ID: {id}\r\n"))
            .unwrap_or_default();
        client
            .send(format!(
                "GET /api/discovery/watch HTTP/1.1\r\nHost: x\r\n\
                 Authorization: Bearer {token}\r\n{last}\r\n"
            ))
            .await;
        let head = client.reader.head().await.unwrap().unwrap();
        assert!(head.start.contains(" 200 "), "{head:?}");
        assert_eq!(
            head.one("content-type").as_deref(),
            Some("text/event-stream")
        );
        let mut events = Self {
            client,
            text: String::new(),
        };
        events.until("retry: ").await;
        events
    }

    /// Reads until the text has come.
    async fn until(&mut self, text: &str) {
        while !self.text.contains(text) {
            let part = tokio::time::timeout(Duration::from_secs(10), self.client.reader.part());
            let part = part
                .await
                .unwrap_or_else(|_| panic!("no {text} in {:?}", self.text));
            self.text.push_str(&String::from_utf8_lossy(&part.unwrap()));
        }
    }

    fn last_id(&self) -> String {
        let ids = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("id: "));
        ids.max_by_key(|id| id.parse::<u64>().ok())
            .unwrap()
            .to_owned()
    }
}

#[tokio::test]
async fn those_who_watch_are_told_and_those_who_come_back_miss_nothing() {
    let registrar = Registrar::start().await;
    let (one, two) = (echo().await, echo().await);
    let mut events = Events::open(&registrar, None).await;
    registrar.register("web", &one).await.expect(201);
    events.until("event: registered").await;
    let data = format!("\"instance_id\":\"{}\"", one.address());
    events.until(&data).await;
    let last = events.last_id();
    drop(events);
    registrar.register("web", &two).await.expect(201);
    registrar
        .call("DELETE", &format!("{SERVICES}/web"), None)
        .await
        .expect(204);
    let mut events = Events::open(&registrar, Some(&last)).await;
    events.until("event: deregistered").await;
    let second = events.text.find(&two.address().to_string()).unwrap();
    assert!(
        events.text.find("event: deregistered").unwrap() > second,
        "in their order"
    );
    // A number that was never given: the client knows another registry.
    let mut events = Events::open(&registrar, Some("999999")).await;
    events.until("event: reset").await;
    let token = registrar.identity.owner();
    let request = format!(
        "GET /api/discovery/watch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Last-Event-ID: soon\r\n\r\n"
    );
    registrar
        .gateway
        .ask(&request)
        .await
        .problem(400, "invalid_event_id");
}

#[tokio::test]
async fn a_watch_ends_when_the_gateway_stops() {
    let registrar = Registrar::start().await;
    let mut events = Events::open(&registrar, None).await;
    registrar.gateway.shut_down();
    let rest = async {
        while events
            .client
            .reader
            .part()
            .await
            .is_ok_and(|part| !part.is_empty())
        {}
    };
    let ended = tokio::time::timeout(Duration::from_secs(10), rest).await;
    ended.expect("the events end");
    registrar.gateway.stopped().await;
}
