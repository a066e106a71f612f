//! Puts the service together and runs it.

use std::net::SocketAddr;
use std::sync::Arc;

use ::store::{Batcher, Db};
use actix_web::web;
use anyhow::Context as _;
use common::clock::Clock;
use common::health::{Health, Importance};
use common::server::{self, RunningServer, ServerParts};
use common::settings::{CommonSettings, Loaded};
use common::shutdown::Shutdown;
use contracts::services::ServiceName;
use messaging::{Messaging, MessagingParams, Outbox};
use resilience::{Announcement, HttpClient, HttpClientParams, Identity};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::app::place_order::PlaceOrders;
use crate::app::{AppState, SiteCache};
use crate::sagas::driver::{Driver, Parts};
use crate::sagas::neighbours::Neighbours;
use crate::sagas::recovery;
use crate::sagas::write::WriteSagas;
use crate::settings::OwnSettings;
use crate::{consumers, routes};

/// The running service.
pub struct Application {
    server: RunningServer,
    messaging: Messaging,
    driver: Driver,
    db: Db,
    settings: CommonSettings,
    shutdown: Shutdown,
}

impl Application {
    /// Opens the database, brings it up to date, and starts serving and background work. Sagas that
    /// were under way when the service last ended go on.
    ///
    /// # Errors
    /// When the settings contradict each other, or the database or the port cannot be had.
    pub async fn build(settings: Loaded<OwnSettings>, shutdown: Shutdown) -> anyhow::Result<Self> {
        let Loaded { common, own, .. } = settings;
        let faults = own.faults();
        anyhow::ensure!(faults.is_empty(), "settings: {}", faults.join("; "));
        let clock = Clock::system();
        let db = Db::connect(&common.database).await.context("database")?;
        db.migrate(&[
            &crate::MIGRATIONS,
            &messaging::MIGRATIONS,
            &::store::idempotency::MIGRATIONS,
        ])
        .await
        .context("migrations")?;

        let identity = Identity::of("order", &common, &clock);
        let outbox = Outbox::new(ServiceName::Order, &common.events, clock.clone());
        let driver = Driver::new(Parts {
            db: db.clone(),
            clock: clock.clone(),
            writer: Batcher::new(WriteSagas {
                db: db.clone(),
                outbox: outbox.clone(),
            }),
            outbox: outbox.clone(),
            neighbours: Neighbours::try_new(
                &common.neighbours.inventory_grpc_url,
                &common.neighbours.payment_grpc_url,
                &own.saga,
                &identity.tokens,
            )?,
            settings: own.saga,
            shutdown: shutdown.clone(),
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            due: Notify::new(),
        });
        let app = AppState {
            db: db.clone(),
            clock: clock.clone(),
            outbox,
            driver: driver.clone(),
            placing: Batcher::new(PlaceOrders {
                db: db.clone(),
                clock: clock.clone(),
                orders: own.orders,
                saga: own.saga,
            }),
            orders: own.orders,
            sites: SiteCache::default(),
        };
        let messaging = start_messaging(&common, &app, &identity, &shutdown)?;
        tokio::spawn(recovery::run(driver.clone()));
        let purging = ::store::idempotency::purge_hourly(db.clone(), clock, shutdown.clone());
        tokio::spawn(purging);

        let tokens = Arc::clone(&identity.tokens);
        let announcement = Announcement::of("order", &common, tokens);
        let parts = ServerParts {
            settings: common.server.clone(),
            health: health(&db, &messaging, &driver.neighbours),
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
            driver,
            db,
            settings: common,
            shutdown,
        })
    }

    /// Where HTTP is served.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Serves until the shutdown, then lets requests and the steps of sagas under way finish. What
    /// is left of a saga is done after the next start.
    ///
    /// # Errors
    /// When the server ends by itself.
    pub async fn run_until_stopped(self) -> anyhow::Result<()> {
        let served = self.server.run_until(&self.shutdown).await;
        self.shutdown.trigger();
        self.driver.tasks.close();
        let grace = self.settings.shutdown_grace();
        if tokio::time::timeout(grace, self.driver.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                "sagas were still under way when the service stopped; they go on after the next start"
            );
        }
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
    let client = HttpClient::try_new(HttpClientParams::default())?;
    Ok(Messaging::start(MessagingParams {
        service: ServiceName::Order,
        db: app.db.clone(),
        outbox: app.outbox.clone(),
        settings: common.events.clone(),
        neighbours: common.neighbours.clone(),
        client: client.with_tokens(Arc::clone(&identity.tokens)),
        consumers: consumers::all(&app.clock),
        clock: app.clock.clone(),
        shutdown: shutdown.clone(),
    })?)
}

fn health(db: &Db, messaging: &Messaging, neighbours: &Neighbours) -> Health {
    let (db, messaging) = (db.clone(), messaging.clone());
    let (stock, money) = (neighbours.clone(), neighbours.clone());
    Health::builder("order-service", env!("CARGO_PKG_VERSION"))
        .check("database", Importance::Required, move || db.clone().check())
        .check("events", Importance::Helpful, move || {
            std::future::ready(messaging.check())
        })
        .check("inventory", Importance::Helpful, move || {
            std::future::ready(stock.check_inventory())
        })
        .check("payment", Importance::Helpful, move || {
            std::future::ready(money.check_payment())
        })
        .build()
}

fn openapi() -> utoipa::openapi::OpenApi {
    server::describe(
        "Orders",
        "Stores, the menu, orders and the saga that places one.",
        env!("CARGO_PKG_VERSION"),
    )
}
