//! A service as the others are, that verifies tokens with what user-service tells it.

use actix_web::{HttpResponse, get};
use common::auth::{Permit, access, permits};
use common::health::Health;
use common::server::{RunningServer, ServerParts, describe};
use common::shutdown::Shutdown;
use resilience::Identity;
use testkit::{ApiClient, wait_for};

use crate::harness::{ROOT_SECRET, TestApp};

/// Runs until it is dropped.
pub(crate) struct Neighbour {
    pub(crate) client: ApiClient,
    shutdown: Shutdown,
}

#[access(chain)]
#[utoipa::path(responses((status = 204)))]
#[get("/guarded")]
async fn guarded(_auth: Permit<permits::MenuRead>) -> HttpResponse {
    HttpResponse::NoContent().finish()
}

impl Neighbour {
    /// As the service `order` of the installation of `app`.
    pub(crate) fn of(app: &TestApp) -> Self {
        let variables = [
            ("USER_URL", app.client.base().to_owned()),
            ("MARU_SERVICE_ROOT_SECRET", ROOT_SECRET.to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        let loaded = common::settings::load::<serde_json::Value>("order", "", variables).unwrap();
        let identity = Identity::of("order", &loaded.common, &app.clock);
        let parts = ServerParts {
            settings: loaded.common.server,
            health: Health::builder("order", "test").build(),
            verifier: identity.verifier,
            openapi: describe("Test", "A service as the others are.", "test"),
        };
        let server = common::server::start(parts, |config| {
            config.service(guarded);
        });
        let server: RunningServer = server.unwrap();
        let client = ApiClient::new(format!("http://{}", server.address()));
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        tokio::spawn(async move { server.run_until(&stop).await });
        Self { client, shutdown }
    }

    /// The status with which a token is answered.
    pub(crate) async fn status(&self, token: &str) -> u16 {
        self.client.with_token(token).get("/guarded").await.status
    }

    /// Waits until it refuses the token, and says how long that took.
    pub(crate) async fn refuses(&self, what: &str, token: &str) -> std::time::Duration {
        let since = std::time::Instant::now();
        wait_for(what, || async {
            let reply = self.client.with_token(token).get("/guarded").await;
            (reply.status == 401).then_some(())
        })
        .await;
        since.elapsed()
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}
