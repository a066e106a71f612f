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
use contracts::inventory_v1::inventory_commands_server::InventoryCommandsServer;
use contracts::services::ServiceName;
use messaging::{Consumer, Messaging, MessagingParams, Outbox};
use resilience::grpc::{Guarded, serve_grpc, server_builder};
use resilience::{Announcement, HttpClient, HttpClientParams, Identity};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::app::AppState;
use crate::consumers::order_cancelled::RestockCancelledOrders;
use crate::grpc::Commands;
use crate::settings::OwnSettings;
use crate::{jobs, routes};

/// Services that may send commands.
const COMMANDERS: &[&str] = &["order"];

/// The running service.
pub struct Application {
    server: RunningServer,
    grpc_address: SocketAddr,
    grpc: JoinHandle<Result<(), tonic::transport::Error>>,
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
        db.migrate(&[
            &crate::MIGRATIONS,
            &messaging::MIGRATIONS,
            &::store::idempotency::MIGRATIONS,
        ])
        .await
        .context("migrations")?;

        let identity = Identity::of("inventory", &common, &clock);
        let outbox = Outbox::new(ServiceName::Inventory, &common.events, clock.clone());
        let at_hand = (db.clone(), clock.clone());
        let app = AppState::new(at_hand, outbox.clone(), settings.own.reservations);
        let messaging = start_messaging(&common, &app, &identity, &shutdown)?;

        let listener = TcpListener::bind((common.server.host.as_str(), common.server.grpc_port))
            .await
            .with_context(|| format!("gRPC port {}", common.server.grpc_port))?;
        let grpc_address = listener.local_addr()?;
        let commands = InventoryCommandsServer::new(Commands(app.clone()));
        let router = server_builder().add_service(Guarded::new(
            commands,
            identity.verifier.clone(),
            COMMANDERS,
        ));
        let stop = shutdown.clone();
        let grpc = tokio::spawn(serve_grpc(listener, router, async move {
            stop.triggered().await
        }));

        tokio::spawn(jobs::expire_reservations::run(
            app.clone(),
            shutdown.clone(),
        ));
        tokio::spawn(::store::idempotency::purge_hourly(
            db.clone(),
            clock,
            shutdown.clone(),
        ));
        let tokens = Arc::clone(&identity.tokens);
        let announcement = Announcement::of("inventory", &common, tokens);
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
            grpc_address,
            grpc,
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

    /// Where gRPC is served.
    #[must_use]
    pub const fn grpc_address(&self) -> SocketAddr {
        self.grpc_address
    }

    /// Serves until the shutdown, then lets what is under way finish.
    ///
    /// # Errors
    /// When a server ends by itself.
    pub async fn run_until_stopped(self) -> anyhow::Result<()> {
        let served = self.server.run_until(&self.shutdown).await;
        self.shutdown.trigger();
        self.grpc.await?.context("gRPC server")?;
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
    let consumer: Arc<dyn Consumer> = Arc::new(RestockCancelledOrders {
        clock: app.clock.clone(),
        outbox: app.outbox.clone(),
    });
    let client = HttpClient::try_new(HttpClientParams::default())?;
    Ok(Messaging::start(MessagingParams {
        service: ServiceName::Inventory,
        db: app.db.clone(),
        outbox: app.outbox.clone(),
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
    Health::builder("inventory-service", env!("CARGO_PKG_VERSION"))
        .check("database", Importance::Required, move || db.clone().check())
        .check("events", Importance::Helpful, move || {
            std::future::ready(messaging.check())
        })
        .build()
}

fn openapi() -> utoipa::openapi::OpenApi {
    server::describe(
        "Inventory",
        "Products, recipes, lots, the stock ledger and reservations.",
        env!("CARGO_PKG_VERSION"),
    )
}
