//! The whole service, from settings to a graceful stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use common::clock::Clock;
use common::health::Health;
use common::settings::Loaded;
use common::shutdown::Shutdown;
use common::telemetry::Metrics;

use crate::directory::Directory;
use crate::dispatch::{Gateway, Limits};
use crate::docs::{Library, keep};
use crate::edge::cors::Cors;
use crate::edge::peers::TrustedPeers;
use crate::local::LocalState;
use crate::routing::RouteTable;
use crate::server::{RunningServer, ServerParts, start};
use crate::settings::{OwnSettings, millis};
use crate::status::{Board, VerdictParams, run_checks};

/// The running service.
pub struct Application {
    server: RunningServer,
    shutdown: Shutdown,
}

impl Application {
    /// Starts listening and checking the services.
    ///
    /// # Errors
    /// When a setting cannot be used or the address cannot be listened on.
    #[expect(clippy::unused_async, reason = "every service is built with an await")]
    pub async fn build(settings: Loaded<OwnSettings>, shutdown: Shutdown) -> anyhow::Result<Self> {
        let Loaded { common, own, .. } = settings;
        let faults = own.faults();
        anyhow::ensure!(faults.is_empty(), "{}", faults.join("; "));
        let directory = Directory::try_new(&common.neighbours)?;
        let clock = Clock::system();
        let params = VerdictParams {
            rise: own.status.rise,
            fall: own.status.fall,
        };
        let board = Arc::new(Board::new(&directory, params, clock));
        let stopping = Arc::new(AtomicBool::new(false));
        let gateway = Arc::new(gateway(&own, &directory, &board, &stopping)?);
        let server = start(ServerParts {
            server: common.server,
            limits: own.limits,
            upstream: own.upstream,
            gateway: Arc::clone(&gateway),
            stopping,
        })
        .context("the server cannot start")?;
        board.set_own_address(server.address());
        tokio::spawn(gateway.local.metrics.clone().run_upkeep());
        run_checks(&directory, &board, &own.status, &shutdown);
        tokio::spawn(keep(gateway, own.docs, shutdown.clone()));
        tracing::info!(address = %server.address(), "listening");
        Ok(Self { server, shutdown })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Serves until the signal to stop.
    ///
    /// # Errors
    /// When the server ends by itself.
    pub async fn run_until_stopped(self) -> anyhow::Result<()> {
        self.server.run_until(&self.shutdown).await?;
        tracing::info!("stopped");
        Ok(())
    }
}

fn gateway(
    own: &OwnSettings,
    directory: &Directory,
    board: &Arc<Board>,
    stopping: &Arc<AtomicBool>,
) -> anyhow::Result<Gateway> {
    let instance = uuid::Uuid::new_v4().simple().to_string();
    Ok(Gateway {
        routes: RouteTable::load(&own.routing.file, directory)?,
        cors: Cors::try_new(&own.cors)?,
        peers: TrustedPeers::try_new(&own.proxies.trusted)?,
        local: LocalState {
            health: Health::builder("gateway", env!("CARGO_PKG_VERSION")).build(),
            metrics: Metrics::install(),
            board: Arc::clone(board),
            library: Arc::new(Library::new()),
            stopping: Arc::clone(stopping),
        },
        limits: Limits {
            max_body_bytes: own.limits.max_body_bytes,
            max_target_bytes: own.limits.max_target_bytes,
            upload_idle_timeout: millis(own.limits.body_idle_timeout_ms),
            download_idle_timeout: millis(own.upstream.body_idle_timeout_ms),
        },
        via: format!("maru-{}", instance.get(..8).unwrap_or("0")),
    })
}
