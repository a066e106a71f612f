//! The messaging of one service: what runs in the background and what other modules are handed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::clock::Clock;
use common::server::ServiceConfig;
use common::settings::{EventsSettings, Neighbours};
use common::shutdown::Shutdown;
use contracts::services::ServiceName;
use resilience::{HttpClient, InvalidParams};
use secrecy::ExposeSecret;
use store::Db;
use tokio::task::JoinSet;

use crate::backlog::Backlog;
use crate::intake::Intake;
use crate::outbox::Outbox;
use crate::relay::Relay;
use crate::transport::Transport;
use crate::transport::amqp::{Broker, Link, Publisher, Subscription};
use crate::transport::http::HttpTransport;
use crate::{Consumer, routes};

/// What messaging needs to know.
pub struct MessagingParams {
    /// Whose messaging this is.
    pub service: ServiceName,
    /// Its database, migrated with [`crate::MIGRATIONS`].
    pub db: Db,
    /// Its outbox.
    pub outbox: Outbox,
    /// The transport and its limits.
    pub settings: EventsSettings,
    /// Where subscribers are when there is no broker.
    pub neighbours: Neighbours,
    /// Calls them in the service's name.
    pub client: HttpClient,
    /// What to do with events.
    pub consumers: Vec<Arc<dyn Consumer>>,
    /// Tells the time.
    pub clock: Clock,
    /// Ends everything.
    pub shutdown: Shutdown,
}

/// Why messaging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum MessagingError {
    /// Two consumers want the same type.
    #[error("two consumers want {0}")]
    TwoConsumers(&'static str),
    /// A neighbour's address is none.
    #[error("a neighbour's address is unusable")]
    Neighbour(#[from] InvalidParams),
    /// The broker's address is none.
    #[error("events.amqp_url is unusable: {0}")]
    Broker(String),
}

/// The running messaging of a service. Clones are the same.
#[derive(Clone)]
pub struct Messaging(Arc<Inner>);

struct Inner {
    outbox: Outbox,
    intake: Arc<Intake>,
    backlog: Arc<Backlog>,
    /// The way to the broker, where there is one.
    link: Option<Link>,
    tasks: Mutex<JoinSet<()>>,
}

impl Messaging {
    /// Starts relaying and consuming in the background.
    ///
    /// # Errors
    /// When the parameters contradict themselves. A subscriber or broker that is down is no error.
    pub fn start(params: MessagingParams) -> Result<Self, MessagingError> {
        let MessagingParams {
            service,
            db,
            outbox,
            settings,
            clock,
            shutdown,
            ..
        } = params;
        let state = (db.clone(), clock.clone());
        let intake = Arc::new(Intake::try_new(
            state,
            settings.max_attempts,
            params.consumers,
        )?);
        let backlog = Arc::new(Backlog::new(db.clone(), clock.clone()));
        let mut tasks = JoinSet::new();

        let amqp_url = settings.amqp_url.expose_secret();
        let mut link = None;
        let transport: Box<dyn Transport> = if amqp_url.is_empty() {
            Box::new(HttpTransport::try_new(&params.client, &params.neighbours)?)
        } else {
            let broker = Broker::try_new(amqp_url, service).map_err(MessagingError::Broker)?;
            link = Some(broker.link());
            if !intake.is_idle() {
                let subscription = Subscription::new(broker.clone(), Arc::clone(&intake));
                tasks.spawn(subscription.run(shutdown.clone()));
            }
            Box::new(Publisher::new(broker))
        };
        let relay = Relay {
            db,
            outbox: outbox.clone(),
            transport,
            clock,
            poll_interval: Duration::from_millis(settings.poll_interval_ms),
            batch_size: settings.batch_size,
            shutdown: shutdown.clone(),
        };
        tasks.spawn(relay.run());
        let watched = Arc::clone(&backlog);
        tasks.spawn(async move { watched.watch(&shutdown).await });
        let tasks = Mutex::new(tasks);
        Ok(Self(Arc::new(Inner {
            outbox,
            intake,
            backlog,
            link,
            tasks,
        })))
    }

    /// The service's outbox.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    /// Adds `/internal/events` and the endpoints of parked events.
    pub fn configure(&self, config: &mut ServiceConfig<'_>) {
        routes::configure(config, self);
    }

    /// Whether events flow. What it finds degrades a service and does not stop it: register it with
    /// `Importance::Helpful`.
    ///
    /// # Errors
    /// What is wrong, in general words.
    pub fn check(&self) -> Result<(), String> {
        match &self.0.link {
            Some(link) if !link.is_up() => Err("the message broker cannot be reached".to_owned()),
            _ => self.0.backlog.check(),
        }
    }

    /// Waits until everything in the background has ended after the shutdown.
    pub async fn stopped(&self) {
        let mut tasks =
            std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }

    pub(crate) fn intake(&self) -> &Intake {
        &self.0.intake
    }
}
