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
    secure_address: Option<SocketAddr>,
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
        let shutdown = Shutdown::new();
        let application = Self::build(&database, url, settings, shutdown.clone()).await;
        let application = application.expect("the gateway starts");
        Self {
            address: application.address(),
            secure_address: application.secure_address(),
            shutdown,
            task: Some(tokio::spawn(application.run_until_stopped())),
            database,
        }
    }

    async fn build(
        database: &TestDatabase,
        url: &str,
        settings: &[(&str, &str)],
        shutdown: Shutdown,
    ) -> anyhow::Result<Application> {
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
        Application::build(loaded.expect("good settings"), shutdown).await
    }

    /// With every service at one place, and these routes.
    pub(crate) async fn routing(upstream: &Upstream, routes: &RoutingFile) -> Self {
        Self::routing_with(upstream, routes, &[]).await
    }

    /// With these routes and settings.
    pub(crate) async fn routing_with(
        upstream: &Upstream,
        routes: &RoutingFile,
        settings: &[(&str, &str)],
    ) -> Self {
        let path = routes.0.path().display().to_string();
        let file = ("GATEWAY__ROUTING__FILE", path.as_str());
        let settings: Vec<_> = std::iter::once(file)
            .chain(settings.iter().copied())
            .collect();
        Self::with(&upstream.url(), &settings).await
    }

    /// What keeps a gateway with these routes from starting.
    pub(crate) async fn refused(routes: &RoutingFile) -> String {
        let path = routes.0.path().display().to_string();
        let settings = [("GATEWAY__ROUTING__FILE", path.as_str())];
        let database = TestDatabase::create().await;
        let url = "http://127.0.0.1:1";
        let built = Self::build(&database, url, &settings, Shutdown::new()).await;
        format!("{:#}", built.err().expect("the gateway does not start"))
    }

    /// What keeps a gateway with these settings from starting.
    pub(crate) async fn refused_with(settings: &[(&str, &str)]) -> String {
        let database = TestDatabase::create().await;
        let url = "http://127.0.0.1:1";
        let built = Self::build(&database, url, settings, Shutdown::new()).await;
        format!("{:#}", built.err().expect("the gateway does not start"))
    }

    /// Where it listens for HTTPS.
    pub(crate) fn secure_address(&self) -> SocketAddr {
        self.secure_address.expect("a listener for HTTPS")
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

/// A routing file of a test's own.
pub(crate) struct RoutingFile(tempfile::NamedTempFile);

impl RoutingFile {
    pub(crate) fn new(text: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Self(file)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> String {
        self.0.path().display().to_string()
    }

    /// As an editor does it: the gateway never sees a part of the text.
    pub(crate) fn write(&self, text: &str) {
        let next = self.0.path().with_extension("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(&next, self.0.path()).unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}
