//! A real gateway on a free port.

use std::net::SocketAddr;
use std::sync::Arc;

use common::shutdown::Shutdown;
use gateway_service::startup::Application;
use testkit::TestDatabase;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::upstream::Upstream;

const SERVICES: [&str; 6] = ["USER", "INVENTORY", "ORDER", "ANALYTICS", "IOT", "PAYMENT"];

/// A gateway; it is told to stop with this value.
pub(crate) struct Gateway {
    address: SocketAddr,
    shutdown: Shutdown,
    task: Option<JoinHandle<anyhow::Result<()>>>,
    /// Dropped last.
    database: Arc<TestDatabase>,
}

impl Gateway {
    /// With every service at one place.
    pub(crate) async fn before(upstream: &Upstream) -> Self {
        Self::with(&upstream.url(), &[]).await
    }

    /// With every service at `url`, and these settings on top.
    pub(crate) async fn with(url: &str, settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::create().await;
        Self::on(Arc::new(database), url, settings).await
    }

    /// The same on this database: a replica of another gateway, or the same one started again.
    pub(crate) async fn on(
        database: Arc<TestDatabase>,
        url: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        let places = SERVICES
            .iter()
            .map(|name| (format!("{name}_URL"), url.to_owned()));
        let fixed = [
            ("GATEWAY__SERVER__PORT".to_owned(), "0".to_owned()),
            ("GATEWAY__SERVER__WORKERS".to_owned(), "1".to_owned()),
            (
                "GATEWAY__DATABASE__URL".to_owned(),
                database.url().to_owned(),
            ),
        ];
        let own = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment = places.chain(fixed).chain(own);
        let loaded = common::settings::load("gateway", gateway_service::DEFAULTS, environment);
        let shutdown = Shutdown::new();
        let application =
            Application::build(loaded.expect("good settings"), shutdown.clone()).await;
        let application = application.expect("the gateway starts");
        Self {
            address: application.address(),
            shutdown,
            task: Some(tokio::spawn(application.run_until_stopped())),
            database,
        }
    }

    pub(crate) fn database(&self) -> Arc<TestDatabase> {
        Arc::clone(&self.database)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> crate::client::Answer {
        self.connect().await.ask(request).await
    }

    /// Gives the signal to stop.
    pub(crate) fn shut_down(&self) {
        self.shutdown.trigger();
    }

    /// Waits until it has stopped.
    pub(crate) async fn stopped(mut self) {
        let task = self.task.take().unwrap();
        task.await.unwrap().unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}
