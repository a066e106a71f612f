//! Puts the service together and runs it.

use std::net::SocketAddr;
use std::sync::Arc;

use ::store::Db;
use actix_web::web;
use anyhow::Context as _;
use common::clock::Clock;
use common::health::{Health, Importance};
use common::server::{self, RunningServer, ServerParts};
use common::settings::{CommonSettings, Loaded};
use common::shutdown::Shutdown;
use contracts::services::ServiceName;
use messaging::{Consumer, Messaging, MessagingParams, Outbox};
use resilience::{Announcement, HttpClient, HttpClientParams, Identity};

use crate::app::AppState;
use crate::consumer::SalesProjector;
use crate::routes;
use crate::settings::OwnSettings;

/// The running service.
pub struct Application {
    server: RunningServer,
    messaging: Messaging,
    db: Db,
    shutdown: Shutdown,
}

impl Application {
    /// Opens the database, brings it up to date, and starts serving and background work.
    ///
    /// # Errors
    /// When the database or a port cannot be had.
    pub async fn build(settings: Loaded<OwnSettings>, shutdown: Shutdown) -> anyhow::Result<Self> {
        let common = settings.common;
        let clock = Clock::system();
        let db = Db::connect(&common.database).await.context("database")?;
        db.migrate(&[&crate::MIGRATIONS, &messaging::MIGRATIONS])
            .await
            .context("migrations")?;

        let identity = Identity::of("analytics", &common, &clock);
        let app = AppState {
            db: db.clone(),
            clock: clock.clone(),
            reports: settings.own.reports,
        };
        let messaging = start_messaging(&common, &app, &identity, &shutdown)?;

        let tokens = Arc::clone(&identity.tokens);
        let announcement = Announcement::of("analytics", &common, tokens);
        let parts = ServerParts {
            settings: common.server,
            health: health(&db, &messaging),
            verifier: identity.verifier,
            openapi: openapi(),
        };
        let (state, endpoints) = (web::Data::new(app), messaging.clone());
        let server = server::start(parts, move |config| {
            routes::configure(config, &state);
            endpoints.configure(config);
        })?;
        Ok(Self {
            server: announcement.start(server),
            messaging,
            db,
            shutdown,
        })
    }

    /// Where HTTP is served.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Serves until the shutdown, then lets what is under way finish.
    ///
    /// # Errors
    /// When a server ends by itself.
    pub async fn run_until_stopped(self) -> anyhow::Result<()> {
        let served = self.server.run_until(&self.shutdown).await;
        self.shutdown.trigger();
        self.messaging.stopped().await;
        self.db.close().await;
        Ok(served?)
    }
}

fn start_messaging(
    common: &CommonSettings,
    app: &AppState,
    identity: &Identity,
    shutdown: &Shutdown,
) -> anyhow::Result<Messaging> {
    let consumer: Arc<dyn Consumer> = Arc::new(SalesProjector {
        clock: app.clock.clone(),
    });
    let client = HttpClient::try_new(HttpClientParams::default())?;
    Ok(Messaging::start(MessagingParams {
        service: ServiceName::Analytics,
        db: app.db.clone(),
        outbox: Outbox::new(ServiceName::Analytics, &common.events, app.clock.clone()),
        settings: common.events.clone(),
        neighbours: common.neighbours.clone(),
        client: client.with_tokens(Arc::clone(&identity.tokens)),
        consumers: vec![consumer],
        clock: app.clock.clone(),
        shutdown: shutdown.clone(),
    })?)
}

fn health(db: &Db, messaging: &Messaging) -> Health {
    let (db, messaging) = (db.clone(), messaging.clone());
    Health::builder("analytics-service", env!("CARGO_PKG_VERSION"))
        .check("database", Importance::Required, move || db.clone().check())
        .check("events", Importance::Helpful, move || {
            std::future::ready(messaging.check())
        })
        .build()
}

fn openapi() -> utoipa::openapi::OpenApi {
    server::describe(
        "Analytics",
        "Sales reports, made from events.",
        env!("CARGO_PKG_VERSION"),
    )
}
