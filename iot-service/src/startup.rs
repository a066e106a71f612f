//! Puts the service together and runs it.

use std::net::SocketAddr;
use std::sync::Arc;

use ::store::Db;
use actix_web::web;
use anyhow::Context as _;
use common::clock::Clock;
use common::health::{Health, Importance};
use common::server::{self, RunningServer, ServerParts};
use common::settings::Loaded;
use common::shutdown::Shutdown;
use resilience::{Announcement, Identity};
use secrecy::ExposeSecret as _;

use crate::app::AppState;
use crate::app::connections::ConnectionRegistry;
use crate::app::ingest::Ingest;
use crate::mqtt::broker::{Devices, RunningBroker};
use crate::mqtt::{Link, Receiver, client};
use crate::routes;
use crate::settings::OwnSettings;

/// The running service.
pub struct Application {
    server: RunningServer,
    broker: Option<RunningBroker>,
    db: Db,
    shutdown: Shutdown,
}

impl Application {
    /// Opens the database, brings it up to date, and starts serving HTTP and receiving MQTT.
    ///
    /// # Errors
    /// When the database or a port cannot be had.
    pub async fn build(settings: Loaded<OwnSettings>, shutdown: Shutdown) -> anyhow::Result<Self> {
        let (common, own) = (settings.common, settings.own);
        let clock = Clock::system();
        let db = Db::connect(&common.database).await.context("database")?;
        db.migrate(&[&crate::MIGRATIONS])
            .await
            .context("migrations")?;

        let ingest = Ingest::start(own.ingest, db.clone(), clock.clone(), shutdown.clone());
        let receiver = Receiver {
            ingest,
            clock: clock.clone(),
        };
        let link = Link::default();
        let connections = ConnectionRegistry::default();
        let broker = if own.mqtt.url.expose_secret().is_empty() {
            let devices = Devices {
                db: db.clone(),
                connections: connections.clone(),
            };
            let stop = shutdown.clone();
            Some(RunningBroker::start(&own.mqtt, devices, receiver, link.clone(), stop).await?)
        } else {
            client::start(&own.mqtt, receiver, link.clone(), shutdown.clone())?;
            None
        };

        let identity = Identity::of("iot", &common, &clock);
        let tokens = Arc::clone(&identity.tokens);
        let announcement = Announcement::of("iot", &common, tokens);
        let parts = ServerParts {
            settings: common.server,
            health: health(&db, &link),
            verifier: identity.verifier,
            openapi: server::describe(
                "IoT",
                "Devices and their readings.",
                env!("CARGO_PKG_VERSION"),
            ),
        };
        let state = web::Data::new(AppState {
            db: db.clone(),
            clock,
            connections,
        });
        let server = server::start(parts, move |config| routes::configure(config, &state))?;
        Ok(Self {
            server: announcement.start(server),
            broker,
            db,
            shutdown,
        })
    }

    /// Where HTTP is served.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where the inner broker listens, if there is one.
    #[must_use]
    pub fn mqtt_address(&self) -> Option<SocketAddr> {
        self.broker.as_ref().map(|broker| broker.address)
    }

    /// Serves until the shutdown, then lets what is under way finish.
    ///
    /// # Errors
    /// When the server ends by itself.
    pub async fn run_until_stopped(self) -> anyhow::Result<()> {
        let served = self.server.run_until(&self.shutdown).await;
        self.shutdown.trigger();
        if let Some(broker) = self.broker {
            broker.stopped().await;
        }
        self.db.close().await;
        Ok(served?)
    }
}

fn health(db: &Db, link: &Link) -> Health {
    let (db, link) = (db.clone(), link.clone());
    Health::builder("iot-service", env!("CARGO_PKG_VERSION"))
        .check("database", Importance::Required, move || db.clone().check())
        .check("mqtt", Importance::Helpful, move || {
            std::future::ready(link.check())
        })
        .build()
}
