//! The whole service, from settings to a graceful stop.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ::store::Db;
use anyhow::Context as _;
use common::clock::Clock;
use common::health::{Health, Importance};
use common::settings::{CommonSettings, Loaded};
use common::shutdown::Shutdown;
use common::telemetry::Metrics;
use resilience::{Bulkhead, BulkheadParams, Identity};
use routing::cors::CorsPolicy;

use crate::cache::Shelf;
use crate::directory::{AddressGuard, Directory, Loopback, Policies};
use crate::dispatch::{Gateway, Limits, Mirrors};
use crate::docs::{Library, keep};
use crate::edge::auth::Gatekeeper;
use crate::edge::cors::Cors;
use crate::edge::limit::{Limiters, keep_small};
use crate::edge::peers::TrustedPeers;
use crate::fallback::AnswerCache;
use crate::local::LocalState;
use crate::proxy::{Pace, Via};
use crate::registry::{self, Discovery, MIGRATIONS, Registry};
use crate::routing::{Live, LiveParts, watch};
use crate::server::{RunningServer, ServerParts, start};
use crate::settings::{OwnSettings, millis};
use crate::status::{Board, VerdictParams, run_checks};
use crate::tls;

/// The running service.
pub struct Application {
    server: RunningServer,
    db: Db,
    /// The signal to stop.
    asked: Shutdown,
    /// What everything here ends with.
    shutdown: Shutdown,
}

impl Application {
    /// Starts listening and checking the services.
    ///
    /// # Errors
    /// When a setting cannot be used or the address cannot be listened on.
    pub async fn build(settings: Loaded<OwnSettings>, asked: Shutdown) -> anyhow::Result<Self> {
        let Loaded { common, own, .. } = settings;
        let faults = own.faults();
        anyhow::ensure!(faults.is_empty(), "{}", faults.join("; "));
        let policies = Policies::load(&own.resilience)?;
        let directory = Directory::try_new(&common.neighbours, policies)?;
        let clock = Clock::system();
        let shutdown = Shutdown::new();
        let db = Db::connect(&common.database).await.context("database")?;
        db.migrate(&[&MIGRATIONS]).await.context("migrations")?;
        let guard = AddressGuard::try_new(&own.registry, loopback(&common, &db))?;
        let registry = Registry::open(db.clone(), clock.clone(), guard.into(), directory.clone());
        let registry = Arc::new(registry.await.context("registry")?);
        let discovery = Discovery {
            registry: Arc::clone(&registry),
            verifier: Identity::of("gateway", &common, &clock).verifier,
            shutdown: shutdown.clone(),
        };
        let params = VerdictParams {
            rise: own.status.rise,
            fall: own.status.fall,
        };
        let board = Arc::new(Board::new(&directory, params, clock));
        let stopping = Arc::new(AtomicBool::new(false));
        let parts = (board.clone(), discovery, Arc::clone(&stopping));
        let gateway = Arc::new(gateway(&common, &own, &directory, &db, parts)?);
        let secure = tls::listener(&own.tls)?;
        let certificates = secure
            .as_ref()
            .map(|secure| Arc::clone(&secure.certificates));
        let server = start(ServerParts {
            server: common.server,
            limits: own.limits,
            upstream: own.upstream,
            gateway: Arc::clone(&gateway),
            stopping,
            secure,
            h2c: own.h2c.enabled,
            reuse_port: own.listen.reuse_port,
            pause: millis(own.stop.pause_ms),
        })
        .context("the server cannot start")?;
        board.set_own_address(server.address());
        tokio::spawn(gateway.local.metrics.clone().run_upkeep());
        tokio::spawn(watch(Arc::clone(&gateway.routes), shutdown.clone()));
        tokio::spawn(keep_small(Arc::clone(&gateway.routes), shutdown.clone()));
        run_checks(&directory, &board, &own.status, &shutdown);
        tokio::spawn(registry::keep(Arc::clone(&registry), shutdown.clone()));
        tokio::spawn(registry::run_checks(
            registry,
            own.status.clone(),
            shutdown.clone(),
        ));
        tokio::spawn(keep(gateway, own.docs, shutdown.clone()));
        if let Some(certificates) = certificates {
            tokio::spawn(certificates.keep_up(shutdown.clone()));
        }
        tracing::info!(address = %server.address(), "listening");
        Ok(Self {
            server,
            db,
            asked,
            shutdown,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where it listens for HTTPS, if it does.
    #[must_use]
    pub const fn secure_address(&self) -> Option<SocketAddr> {
        self.server.secure_address()
    }

    /// Serves until the signal to stop.
    ///
    /// # Errors
    /// When the server ends by itself.
    pub async fn run_until_stopped(self) -> anyhow::Result<()> {
        let served = self.server.run_until(&self.asked, &self.shutdown).await;
        self.shutdown.trigger();
        self.db.close().await;
        served?;
        tracing::info!("stopped");
        Ok(())
    }
}

fn gateway(
    common: &CommonSettings,
    own: &OwnSettings,
    directory: &Directory,
    db: &Db,
    (board, discovery, stopping): (Arc<Board>, Discovery, Arc<AtomicBool>),
) -> anyhow::Result<Gateway> {
    let db = db.clone();
    let instance = uuid::Uuid::new_v4().simple().to_string();
    Ok(Gateway {
        routes: Arc::new(routes(common, own, directory)?),
        gatekeeper: Gatekeeper::new(discovery.verifier.clone()),
        peers: TrustedPeers::try_new(&own.proxies.trusted)?,
        local: LocalState {
            // Without it nothing can be registered; what is registered is still routed.
            health: Health::builder("gateway", env!("CARGO_PKG_VERSION"))
                .check("database", Importance::Helpful, move || db.clone().check())
                .build(),
            metrics: Metrics::install(),
            board,
            library: Arc::new(Library::new()),
            stopping,
        },
        discovery,
        directory: directory.clone(),
        answers: AnswerCache::default(),
        shelf: Shelf::new(own.cache.max_bytes),
        clock: Clock::system(),
        mirrors: Mirrors::new(own.mirror.max_in_flight),
        load: Bulkhead::try_new(BulkheadParams {
            max_concurrent: own.resilience.max_in_flight,
            max_waiting: 0,
            max_wait: Duration::ZERO,
        })?,
        limits: Limits {
            header_timeout: millis(own.upstream.header_timeout_ms),
            proxy_header_timeout: millis(own.registry.header_timeout_ms),
            max_body_bytes: own.limits.max_body_bytes,
            max_target_bytes: own.limits.max_target_bytes,
            upload_pace: Pace {
                idle_timeout: millis(own.limits.body_idle_timeout_ms),
                min_bytes_per_second: own.limits.body_min_bytes_per_second,
            },
            download_idle_timeout: millis(own.upstream.body_idle_timeout_ms),
            take_timeout: millis(own.limits.take_timeout_ms),
        },
        via: Via::new(format!("maru-{}", instance.get(..8).unwrap_or("0"))),
    })
}

/// The routes in force at the start.
fn routes(
    common: &CommonSettings,
    own: &OwnSettings,
    directory: &Directory,
) -> anyhow::Result<Live> {
    let cors = CorsPolicy::compile(&own.cors.input()).map_err(|faults| {
        let faults = faults
            .iter()
            .map(|(field, fault)| format!("cors.{field}: {fault}"));
        anyhow::anyhow!("{}", faults.collect::<Vec<_>>().join("; "))
    })?;
    Ok(Live::load(LiveParts {
        file: own.routing.file.clone(),
        directory: directory.clone(),
        default_cors: Arc::new(Cors::new(&cors)),
        limiters: Limiters::new(&common.redis.url).context("redis.url")?,
        max_target_bytes: own.limits.max_target_bytes,
    })?)
}

/// Services beside the gateway are registered by this machine's own addresses.
fn loopback(common: &CommonSettings, db: &Db) -> Loopback {
    let host = common
        .server
        .host
        .trim_start_matches('[')
        .trim_end_matches(']');
    let address = host.parse::<IpAddr>();
    let listens_here = host == "localhost" || address.is_ok_and(|ip| ip.is_loopback());
    match listens_here || db.engine_name() == "sqlite" {
        true => Loopback::Allowed,
        false => Loopback::Refused,
    }
}
