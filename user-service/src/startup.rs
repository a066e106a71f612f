//! Puts the service together and runs it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use anyhow::{Context as _, ensure};
use common::auth::TokenVerifier;
use common::clock::Clock;
use common::error::ErrorChain;
use common::health::{Health, Importance};
use common::server::{RunningServer, ServerParts};
use common::settings::{AuthSettings, DatabaseSettings, Loaded, RedisSettings};
use common::shutdown::Shutdown;
use contracts::services::ServiceName;
use hashing::Hasher;
use messaging::{Messaging, Outbox};
use resilience::Announcement;
use secrecy::{ExposeSecret, SecretString};
use store::{Batcher, Db, Migrator};

use crate::app::bootstrap::settle_owner;
use crate::app::log_in::Admissions;
use crate::app::{audit_trail, rotate_keys};
use crate::domain::session::SessionLimits;
use crate::events::OwnTokens;
use crate::grpc::GrpcServer;
use crate::keys::{FactorKeys, InstallationSecret, Keyring, Mint, RefreshTokens};
use crate::oidc::browser;
use crate::oidc::provider::Provider;
use crate::passkeys::Passkeys;
use crate::revocations::RevocationList;
use crate::settings::{self, KeysSettings, OwnSettings, TokensSettings};
use crate::state::AppState;
use crate::store::audit;
use crate::throttle::{SharedCounts, Throttle};
use crate::tickets::Tickets;
use crate::{events, jobs, routes};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/user");

/// The service, listening.
pub struct Application {
    server: RunningServer,
    grpc: GrpcServer,
    messaging: Messaging,
    state: web::Data<AppState>,
    shutdown: Shutdown,
}

impl Application {
    /// Opens the database, brings its schema, keys and owner account into being, and listens.
    ///
    /// # Errors
    /// When the settings are not acceptable, the database cannot be used, the keys in it were
    /// sealed with another secret, or the address is taken.
    pub async fn build(settings: Loaded<OwnSettings>, shutdown: Shutdown) -> anyhow::Result<Self> {
        Self::build_at(settings, Clock::system(), shutdown).await
    }

    /// The same by another clock, for tests.
    ///
    /// # Errors
    /// As [`Application::build`].
    pub async fn build_at(
        settings: Loaded<OwnSettings>,
        clock: Clock,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let faults = settings::faults(&settings);
        ensure!(faults.is_empty(), "{}", faults.join("; "));
        let Loaded { common, own, .. } = settings;
        let db = open_database(&common.database).await?;
        let secret =
            InstallationSecret::obtain(&own.keys.encryption_secret, &common.data_dir.join("keys"))?;
        let keyring = Keyring::open(db.clone(), &secret, clock.clone()).await?;
        let verifier = TokenVerifier::new(keyring.clone(), clock.clone());
        let revocations = RevocationList::new(db.clone(), clock.clone(), verifier.clone());
        revocations.reload().await?;
        let shared = shared_counts(&common.redis)?;
        let mfa = own.mfa.policy(common.profile);
        let state = web::Data::new(AppState {
            outbox: Outbox::new(ServiceName::User, &common.events, clock.clone()),
            profile: common.profile,
            links: own.links,
            admissions: Batcher::new(Admissions::new(&db, &clock, &mfa)),
            mfa,
            factors: FactorKeys::new(&secret),
            pin_session_life: own.devices.pin_session_life(),
            reset_requests: Arc::default(),
            mint: Mint::new(keyring.clone(), clock.clone(), &own.tokens),
            refresh_tokens: RefreshTokens::new(&secret),
            session_limits: session_limits(&own.tokens),
            throttle: Throttle::new(
                &own.throttle,
                secret.blinding_key(),
                shared.clone(),
                clock.clone(),
            ),
            hasher: Hasher::new(&own.hashing)?,
            passkeys: Passkeys::new(&own.passkeys, &own.public.url)?,
            oidc: Provider {
                is_secure: own.public.url.starts_with("https:"),
                issuer: own.public.url,
                browser_life: browser::life_of(own.oidc.browser_hours),
            },
            tickets: Tickets::new(secret.ticket_key()),
            trusted_proxies: own.proxies.trusted,
            service_roots: service_roots(&common.auth, &own.keys),
            rotation: own.keys.rotation(),
            verifier: verifier.clone(),
            keyring,
            revocations: revocations.clone(),
            clock,
            db,
        });
        settle_owner(&state, &own.owner, common.profile).await?;
        rotate_keys::rotate_if_due(&state).await?;
        state.hasher.release_memory();
        jobs::start(&state, &shutdown);
        tokio::spawn(revocations.run(shutdown.clone()));
        let tokens = Arc::new(OwnTokens(state.clone()));
        let announcement = Announcement::of("user", &common, tokens);
        let messaging = events::start(&state, common.events, common.neighbours, &shutdown)?;

        let grpc = GrpcServer::start(&state, &common.server, &shutdown).await?;

        let parts = ServerParts {
            settings: common.server,
            health: health(&state.db, &messaging, shared),
            verifier,
            openapi: routes::openapi(),
        };
        let (routed, endpoints) = (state.clone(), messaging.clone());
        let server = common::server::start(parts, move |config| {
            routes::configure(config, &routed);
            endpoints.configure(config);
        })
        .context("cannot listen")?;
        tracing::info!(address = %server.address(), "user-service listens");
        Ok(Self {
            server: announcement.start(server),
            grpc,
            messaging,
            state,
            shutdown,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where gRPC is served.
    #[must_use]
    pub const fn grpc_address(&self) -> SocketAddr {
        self.grpc.address
    }

    /// Serves until it is told to stop, and lets requests under way finish.
    ///
    /// # Errors
    /// When the server ends by itself.
    pub async fn run_until_stopped(self) -> anyhow::Result<()> {
        let served = self.server.run_until(&self.shutdown).await;
        self.shutdown.trigger();
        self.grpc.stopped().await?;
        served?;
        self.messaging.stopped().await;
        // Nothing of what was written down last can be cut off unnoticed while the service is away.
        if let Err(error) = audit_trail::seal(&self.state).await {
            tracing::warn!(error = %ErrorChain(&error), "the audit trail could not be sealed");
        }
        self.state.db.close().await;
        Ok(())
    }
}

async fn open_database(settings: &DatabaseSettings) -> anyhow::Result<Db> {
    let db = Db::connect(settings).await?;
    db.migrate(&[&MIGRATIONS, &messaging::MIGRATIONS]).await?;
    for table in audit::APPEND_ONLY {
        db.make_append_only(table).await?;
    }
    Ok(db)
}

fn shared_counts(settings: &RedisSettings) -> anyhow::Result<Option<Arc<SharedCounts>>> {
    if settings.url.expose_secret().is_empty() {
        return Ok(None);
    }
    // For rediss:// only. A second installation fails and finds the same provider in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let counts = SharedCounts::new(&settings.url).context("redis.url (REDIS_URL)")?;
    Ok(Some(Arc::new(counts)))
}

fn health(db: &Db, messaging: &Messaging, shared: Option<Arc<SharedCounts>>) -> Health {
    let (db, messaging) = (db.clone(), messaging.clone());
    let health = Health::builder("user", env!("CARGO_PKG_VERSION"))
        .check("database", Importance::Required, move || db.clone().check())
        .check("events", Importance::Helpful, move || {
            std::future::ready(messaging.check())
        });
    let Some(shared) = shared else {
        return health.build();
    };
    let check = move || {
        let shared = Arc::clone(&shared);
        async move { shared.ping().await.map_err(|error| error.to_string()) }
    };
    health.check("redis", Importance::Helpful, check).build()
}

fn service_roots(auth: &AuthSettings, keys: &KeysSettings) -> Vec<SecretString> {
    let previous = &keys.previous_service_root_secret;
    let roots = [&auth.service_root_secret, previous].into_iter();
    // An empty previous one is none; anybody could derive secrets from it.
    let roots = roots.filter(|root| !root.expose_secret().is_empty());
    roots.cloned().collect()
}

fn session_limits(tokens: &TokensSettings) -> SessionLimits {
    let days = |days: u32| Duration::from_secs(u64::from(days) * 24 * 3_600);
    SessionLimits {
        idle: days(tokens.session_idle_days),
        life: days(tokens.session_days),
        grace: Duration::from_secs(tokens.refresh_grace_seconds.into()),
    }
}
