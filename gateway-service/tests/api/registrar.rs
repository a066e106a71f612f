//! A gateway with a registry that tests may write to, and instances to register.

use std::sync::Arc;

use serde_json::{Value, json};
use testkit::{FakeUserService, TestDatabase, TestIdentity};

use crate::client::Answer;
use crate::gateway::Gateway;
use crate::upstream::Upstream;

/// A gateway whose tokens a test can make.
pub(crate) struct Registrar {
    pub(crate) identity: TestIdentity,
    pub(crate) users: FakeUserService,
    pub(crate) gateway: Gateway,
}

impl Registrar {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let identity = TestIdentity::new();
        let users = FakeUserService::start(&identity);
        let database = Arc::new(TestDatabase::create().await);
        let gateway = gateway(database, &users, settings).await;
        Self {
            identity,
            users,
            gateway,
        }
    }

    /// Another gateway on the same database.
    pub(crate) async fn replica(&self) -> Gateway {
        gateway(self.gateway.database(), &self.users, &[]).await
    }

    /// The same gateway, stopped and started again.
    pub(crate) async fn restarted(self) -> Self {
        let database = self.gateway.database();
        self.gateway.shut_down();
        self.gateway.stopped().await;
        Self {
            gateway: gateway(database, &self.users, &[]).await,
            ..self
        }
    }

    pub(crate) async fn call(&self, method: &str, target: &str, body: Option<Value>) -> Answer {
        let token = self.identity.owner();
        self.call_as(&token, method, target, body).await
    }

    pub(crate) async fn call_as(
        &self,
        token: &str,
        method: &str,
        target: &str,
        body: Option<Value>,
    ) -> Answer {
        let text = body.map(|body| body.to_string());
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n");
        let rest = match text {
            Some(text) => {
                let length = text.len();
                format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{text}")
            }
            None => "\r\n".to_owned(),
        };
        self.gateway.ask(&format!("{head}{rest}")).await
    }

    /// Registers an instance of `service`.
    pub(crate) async fn register(&self, service: &str, instance: &Upstream) -> Answer {
        let body = json!({"service_name": service, "base_url": instance.url()});
        self.call("POST", "/api/discovery/services", Some(body))
            .await
    }

    /// A GET through the gateway.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        get(&self.gateway, target).await
    }
}

pub(crate) async fn get(gateway: &Gateway, target: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    gateway.ask(&request).await
}

async fn gateway(
    database: Arc<TestDatabase>,
    users: &FakeUserService,
    settings: &[(&str, &str)],
) -> Gateway {
    let url = users.url();
    let mut all = vec![("USER_URL", url.as_str())];
    all.extend_from_slice(settings);
    Gateway::on(database, "http://127.0.0.1:1", &all).await
}

/// The body as JSON.
#[track_caller]
pub(crate) fn value(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body.kept).expect("JSON")
}
