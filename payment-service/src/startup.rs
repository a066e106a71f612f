//! Puts the service together and runs it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::store::{Batcher, Db};
use actix_web::web;
use anyhow::Context as _;
use common::clock::Clock;
use common::health::{Health, Importance};
use common::server::{self, RunningServer, ServerParts};
use common::settings::{CommonSettings, Loaded};
use common::shutdown::Shutdown;
use contracts::payment_v1::payment_commands_server::PaymentCommandsServer;
use contracts::services::ServiceName;
use messaging::{Consumer, Messaging, MessagingParams, Outbox};
use resilience::grpc::{Guarded, serve_grpc, server_builder};
use resilience::{Announcement, HttpClient, HttpClientParams, Identity};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::app::AppState;
use crate::app::steps::{Desk, Steps};
use crate::consumers::order_cancelled::RefundCancelledOrders;
use crate::grpc::Commands;
use crate::jobs::resolve::{self, Pace};
use crate::provider::sandbox::Sandbox;
use crate::routes;
use crate::settings::OwnSettings;
use crate::store::operations;

/// Services that may send commands.
const COMMANDERS: &[&str] = &["order"];

/// The running service.
pub struct Application {
    server: RunningServer,
    grpc_address: SocketAddr,
    grpc: JoinHandle<Result<(), tonic::transport::Error>>,
    messaging: Messaging,
    tasks: TaskTracker,
    grace: Duration,
    db: Db,
    shutdown: Shutdown,
}

impl Application {
    /// Opens the database, brings it up to date, and starts serving and background work.
    ///
    /// # Errors
    /// When the database or a port cannot be had.
    pub async fn build(settings: Loaded<OwnSettings>, shutdown: Shutdown) -> anyhow::Result<Self> {
        let (common, own) = (settings.common, settings.own);
        let clock = Clock::system();
        let db = open(&common).await?;
        let identity = Identity::of("payment", &common, &clock);
        let app = app_state(&common, &own, &db, &clock);
        let due = Arc::new(Notify::new());
        let messaging = start_messaging(&common, &app, &identity, &due, &shutdown)?;

        let (grpc_address, listener) = bind_grpc(&common).await?;
        let commands = PaymentCommandsServer::new(Commands(app.clone()));
        let guarded = Guarded::new(commands, identity.verifier.clone(), COMMANDERS);
        let router = server_builder().add_service(guarded);
        let stop = shutdown.clone();
        let grpc = tokio::spawn(serve_grpc(listener, router, async move {
            stop.triggered().await;
        }));

        let pace = Pace {
            poll_interval: Duration::from_millis(own.resolver.poll_interval_ms.get()),
            batch_size: own.resolver.batch_size.get(),
            due,
        };
        tokio::spawn(resolve::run(app.clone(), pace, shutdown.clone()));
        let purge = ::store::idempotency::purge_hourly(db.clone(), clock, shutdown.clone());
        tokio::spawn(purge);

        let grace = common.shutdown_grace();
        let tokens = Arc::clone(&identity.tokens);
        let announcement = Announcement::of("payment", &common, tokens);
        let parts = ServerParts {
            settings: common.server,
            health: health(
                &app,
                &messaging,
                Duration::from_secs(own.resolver.alert_after_s),
            ),
            verifier: identity.verifier,
            openapi: openapi(),
        };
        let tasks = app.tasks.clone();
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
            tasks,
            grace,
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
        self.tasks.close();
        if tokio::time::timeout(self.grace, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                "operations were still under way at the stop; the next start asks what became of them"
            );
        }
        self.messaging.stopped().await;
        self.db.close().await;
        Ok(served?)
    }
}

async fn open(common: &CommonSettings) -> anyhow::Result<Db> {
    let db = Db::connect(&common.database).await.context("database")?;
    db.migrate(&[
        &crate::MIGRATIONS,
        &messaging::MIGRATIONS,
        &::store::idempotency::MIGRATIONS,
    ])
    .await
    .context("migrations")?;
    Ok(db)
}

fn app_state(common: &CommonSettings, own: &OwnSettings, db: &Db, clock: &Clock) -> AppState {
    let slow = Duration::from_millis(own.sandbox.slow_ms);
    let desk = Desk {
        db: db.clone(),
        clock: clock.clone(),
        outbox: Outbox::new(ServiceName::Payment, &common.events, clock.clone()),
        policy: own.policy(),
    };
    AppState {
        db: db.clone(),
        clock: clock.clone(),
        outbox: desk.outbox.clone(),
        provider: Arc::new(Sandbox::new(db.clone(), clock.clone(), slow)),
        policy: desk.policy,
        steps: Batcher::new(Steps(desk)),
        max_call: Duration::from_millis(own.calls.max_duration_ms.get()),
        tasks: TaskTracker::new(),
        runtime: Handle::current(),
    }
}

async fn bind_grpc(common: &CommonSettings) -> anyhow::Result<(SocketAddr, TcpListener)> {
    let place = (common.server.host.as_str(), common.server.grpc_port);
    let listener = TcpListener::bind(place)
        .await
        .with_context(|| format!("gRPC port {}", common.server.grpc_port))?;
    Ok((listener.local_addr()?, listener))
}

fn start_messaging(
    common: &CommonSettings,
    app: &AppState,
    identity: &Identity,
    due: &Arc<Notify>,
    shutdown: &Shutdown,
) -> anyhow::Result<Messaging> {
    let consumer: Arc<dyn Consumer> = Arc::new(RefundCancelledOrders {
        clock: app.clock.clone(),
        outbox: app.outbox.clone(),
        policy: app.policy,
        due: Arc::clone(due),
    });
    let client = HttpClient::try_new(HttpClientParams::default())?;
    Ok(Messaging::start(MessagingParams {
        service: ServiceName::Payment,
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

fn health(app: &AppState, messaging: &Messaging, alert_after: Duration) -> Health {
    let (db, messaging, app) = (app.db.clone(), messaging.clone(), app.clone());
    Health::builder("payment-service", env!("CARGO_PKG_VERSION"))
        .check("database", Importance::Required, move || db.clone().check())
        .check("events", Importance::Helpful, move || {
            std::future::ready(messaging.check())
        })
        .check("operations", Importance::Helpful, move || {
            let app = app.clone();
            async move { check_operations(&app, alert_after).await }
        })
        .build()
}

/// Money whose whereabouts nobody knows for long needs a person.
async fn check_operations(app: &AppState, alert_after: Duration) -> Result<(), String> {
    let cutoff = app.clock.now().minus(alert_after);
    let count = async {
        let mut tx = app.db.glance().await?;
        operations::count_stuck(&mut tx, cutoff).await
    };
    match count.await {
        Ok(0) => Ok(()),
        Ok(stuck) => Err(format!(
            "{stuck} operations have had no known outcome for long"
        )),
        Err(_error) => Err("the operations cannot be counted".to_owned()),
    }
}

fn openapi() -> utoipa::openapi::OpenApi {
    server::describe(
        "Payments",
        "Payment intents, refunds and the money ledger.",
        env!("CARGO_PKG_VERSION"),
    )
}
