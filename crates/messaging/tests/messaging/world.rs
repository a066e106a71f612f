//! Two services that talk: inventory tells, order listens. Between them (or between them and the
//! broker) runs a cable that a test can cut.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use async_trait::async_trait;
use common::auth::{TokenSource, TokenSourceError};
use common::clock::Clock;
use common::ids::{OrderId, StoreId};
use common::server::ServiceConfig;
use common::settings::{EventsSettings, Neighbours};
use common::shutdown::Shutdown;
use contracts::EventPayload;
use contracts::events::InventoryRestocked;
use contracts::services::ServiceName;
use lapin::{Channel, Connection};
use messaging::{ConsumeError, Consumer, Envelope, Messaging, MessagingParams, Outbox};
use resilience::{HttpClient, HttpClientParams};
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType};
use store::{Db, Migrator, Tx};
use testkit::{ApiClient, TestDatabase, TestIdentity, assert_outbox_empty, wait_until};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Tries before an event is parked.
pub(crate) const MAX_ATTEMPTS: u32 = 3;

pub(crate) struct World {
    pub(crate) identity: TestIdentity,
    pub(crate) script: Script,
    pub(crate) cable: Cable,
    pub(crate) amqp_url: String,
    order_address: SocketAddr,
    order_database: TestDatabase,
    inventory_database: TestDatabase,
    pub(crate) order: Option<Node>,
    pub(crate) inventory: Node,
}

impl World {
    pub(crate) async fn start() -> Self {
        let mut world = Self::without_order().await;
        world.start_order().await;
        world
    }

    /// A world in which order-service never ran yet.
    pub(crate) async fn without_order() -> Self {
        let identity = TestIdentity::new();
        let order_address = free_address();
        let server = testkit::broker::amqp_url();
        let broker = address_in(&server);
        let cable = Cable::to(broker.unwrap_or(order_address)).await;
        let amqp_url = broker.map_or_else(String::new, |broker| {
            server.replace(&broker.to_string(), &cable.address.to_string())
        });
        let inventory_database = TestDatabase::create().await;
        let order_database = TestDatabase::create().await;
        let params = NodeParams {
            service: ServiceName::Inventory,
            amqp_url: amqp_url.clone(),
            order_url: format!("http://{}", cable.address),
            identity: identity.clone(),
        };
        let inventory = Node::start(&params, &inventory_database, None).await;
        let script = Script::default();
        Self {
            identity,
            script,
            cable,
            amqp_url,
            order_address,
            order_database,
            inventory_database,
            order: None,
            inventory,
        }
    }

    pub(crate) async fn start_order(&mut self) {
        let params = self.params(ServiceName::Order);
        let effects = Effects {
            script: self.script.clone(),
        };
        let serving = Some((self.order_address, Arc::new(effects) as Arc<dyn Consumer>));
        self.order = Some(Node::start(&params, &self.order_database, serving).await);
    }

    pub(crate) async fn stop_order(&mut self) {
        self.order.take().unwrap().stop().await;
    }

    /// Another replica of inventory-service, on the same database.
    pub(crate) async fn inventory_replica(&self) -> Node {
        Node::start(
            &self.params(ServiceName::Inventory),
            &self.inventory_database,
            None,
        )
        .await
    }

    pub(crate) fn order(&self) -> &Node {
        self.order.as_ref().unwrap()
    }

    /// Emits one event for each subject, in one transaction.
    pub(crate) async fn emit(&self, subjects: impl IntoIterator<Item = impl ToString>) {
        self.inventory.emit(subjects).await;
    }

    /// The subjects of the effects, in order.
    pub(crate) async fn effects(&self) -> Vec<String> {
        self.order().effects().await
    }

    /// Waits until these are the effects and nothing waits any more.
    pub(crate) async fn expect_effects<S: ToString>(&self, subjects: impl IntoIterator<Item = S>) {
        let expected: Vec<String> = subjects.into_iter().map(|s| s.to_string()).collect();
        wait_until("every effect", || async {
            self.effects().await.len() >= expected.len()
        })
        .await;
        assert_outbox_empty(&self.inventory.db).await;
        assert_eq!(self.effects().await, expected);
    }

    /// Somebody else's channel to the broker, if there is one, and what the names of the world's
    /// exchanges and queues begin with.
    pub(crate) async fn channel(&self) -> Option<(Channel, String)> {
        let (_, namespace) = self.amqp_url.rsplit_once('=')?;
        let connection = Connection::connect(&self.amqp_url, Default::default()).await;
        let channel = connection.unwrap().create_channel().await.unwrap();
        Some((channel, namespace.to_owned()))
    }

    /// order-service's API, as the owner.
    pub(crate) fn client(&self) -> ApiClient {
        ApiClient::new(format!("http://{}", self.order_address)).with_token(self.identity.owner())
    }

    fn params(&self, service: ServiceName) -> NodeParams {
        NodeParams {
            service,
            amqp_url: self.amqp_url.clone(),
            order_url: format!("http://{}", self.cable.address),
            identity: self.identity.clone(),
        }
    }
}

struct NodeParams {
    service: ServiceName,
    amqp_url: String,
    order_url: String,
    identity: TestIdentity,
}

/// A running service.
pub(crate) struct Node {
    pub(crate) db: Db,
    pub(crate) outbox: Outbox,
    pub(crate) messaging: Messaging,
    shutdown: Shutdown,
    server: Option<ServerHandle>,
}

impl Node {
    async fn start(
        params: &NodeParams,
        database: &TestDatabase,
        serving: Option<(SocketAddr, Arc<dyn Consumer>)>,
    ) -> Self {
        let db = database.connect().await;
        db.migrate(&[&messaging::MIGRATIONS, &effects_table()])
            .await
            .unwrap();
        let settings = events_settings(&params.amqp_url);
        let clock = Clock::system();
        let outbox = Outbox::new(params.service, &settings, clock.clone());
        let shutdown = Shutdown::new();
        let token = params.identity.service(params.service.as_str());
        let client = HttpClient::try_new(HttpClientParams::default()).unwrap();
        let (address, consumers) = match serving {
            Some((address, consumer)) => (Some(address), vec![consumer]),
            None => (None, Vec::new()),
        };
        let messaging = Messaging::start(MessagingParams {
            service: params.service,
            db: db.clone(),
            outbox: outbox.clone(),
            settings,
            neighbours: neighbours(&params.order_url),
            client: client.with_tokens(Arc::new(FixedToken(token.into()))),
            consumers,
            clock,
            shutdown: shutdown.clone(),
        })
        .unwrap();
        let verifier = params.identity.verifier();
        let server = address.map(|address| {
            let messaging = messaging.clone();
            let server = HttpServer::new(move || {
                App::new()
                    .app_data(web::Data::new(verifier.clone()))
                    .configure(|config| messaging.configure(&mut ServiceConfig::new(config)))
            });
            let server = server
                .workers(1)
                .disable_signals()
                .bind(address)
                .unwrap()
                .run();
            let handle = server.handle();
            tokio::spawn(server);
            handle
        });
        Self {
            db,
            outbox,
            messaging,
            shutdown,
            server,
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        if let Some(server) = &self.server {
            server.stop(true).await;
        }
        self.messaging.stopped().await;
        self.db.close().await;
    }

    pub(crate) async fn emit(&self, subjects: impl IntoIterator<Item = impl ToString>) {
        let mut tx = self.db.begin().await.unwrap();
        let events: Vec<(String, InventoryRestocked)> = subjects
            .into_iter()
            .map(|subject| (subject.to_string(), restocked()))
            .collect();
        self.outbox.append_many(&mut tx, &events).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn effects(&self) -> Vec<String> {
        let mut tx = self.db.read().await.unwrap();
        let sql = "SELECT subject FROM effects ORDER BY position";
        let rows = store::fetch_all!(tx, (String,), sql).unwrap();
        rows.into_iter().map(|(subject,)| subject).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shutdown.trigger();
        if let Some(server) = &self.server {
            drop(server.stop(false));
        }
    }
}

pub(crate) fn restocked() -> InventoryRestocked {
    let clock = Clock::system();
    InventoryRestocked {
        order_id: OrderId::new(&clock),
        store_id: StoreId::new(&clock),
        restocked_at: clock.now(),
    }
}

pub(crate) fn events_settings(amqp_url: &str) -> EventsSettings {
    EventsSettings {
        amqp_url: amqp_url.into(),
        poll_interval_ms: 50,
        batch_size: 64,
        max_attempts: MAX_ATTEMPTS,
    }
}

fn neighbours(order_url: &str) -> Neighbours {
    let nobody = "http://127.0.0.1:9".to_owned();
    Neighbours {
        gateway_url: String::new(),
        user_url: nobody.clone(),
        inventory_url: nobody.clone(),
        inventory_grpc_url: nobody.clone(),
        order_url: order_url.to_owned(),
        analytics_url: nobody.clone(),
        iot_url: nobody.clone(),
        payment_url: nobody.clone(),
        payment_grpc_url: nobody,
    }
}

/// What the consumer does with an event of some subject, the first times it sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// Fails this many times.
    Fails(u32),
    /// Fails until another subject has had its effect.
    NeedsFirst(&'static str),
    /// Is refused.
    Rejected,
    /// Panics.
    Panics,
}

#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Mutex<HashMap<String, Trouble>>>);

impl Script {
    pub(crate) fn set(&self, subject: &str, trouble: Trouble) {
        self.0.lock().unwrap().insert(subject.to_owned(), trouble);
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// Whether a failure is due now.
    fn next(&self, subject: &str) -> Option<Trouble> {
        let mut script = self.0.lock().unwrap();
        match script.get_mut(subject)? {
            Trouble::Fails(0) => None,
            trouble => {
                let now = *trouble;
                if let Trouble::Fails(left) = trouble {
                    *left -= 1;
                }
                Some(now)
            }
        }
    }
}

/// A consumer whose effect is a row: a second effect would be a second row.
struct Effects {
    script: Script,
}

#[async_trait]
impl Consumer for Effects {
    fn types(&self) -> &[&'static str] {
        &[InventoryRestocked::TYPE]
    }

    async fn consume(&self, tx: &mut Tx, event: &Envelope) -> Result<(), ConsumeError> {
        event.payload::<InventoryRestocked>()?;
        let sql = "INSERT INTO effects (subject, position)
                   SELECT $1, count(*) FROM effects";
        store::execute!(tx, sql, &event.subject)?;
        // The row is written before the trouble starts: it must be undone.
        match self.script.next(&event.subject) {
            None => Ok(()),
            Some(Trouble::Rejected) => Err(ConsumeError::Reject("not today".to_owned())),
            Some(Trouble::Panics) => panic!("the consumer of this test panics"),
            Some(Trouble::Fails(_)) => Err(ConsumeError::Retry("not yet".into())),
            Some(Trouble::NeedsFirst(other)) => {
                let sql = "SELECT count(*) FROM effects WHERE subject = $1";
                match store::fetch_one!(tx, (i64,), sql, other)? {
                    (0,) => Err(ConsumeError::Retry("too early".into())),
                    _ => Ok(()),
                }
            }
        }
    }
}

fn effects_table() -> Migrator {
    let sql = "CREATE TABLE effects (subject text NOT NULL, position bigint NOT NULL)";
    let kind = MigrationType::Simple;
    let migration = Migration::new(99, "effects".into(), kind, sql.into_sql_str(), false);
    Migrator::with_migrations(vec![migration])
}

struct FixedToken(Arc<str>);

#[async_trait]
impl TokenSource for FixedToken {
    async fn token(&self) -> Result<Arc<str>, TokenSourceError> {
        Ok(Arc::clone(&self.0))
    }
}

/// Forwards TCP connections until it is cut.
pub(crate) struct Cable {
    address: SocketAddr,
    state: Arc<tokio::sync::Mutex<Option<JoinSet<()>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Cable {
    async fn to(target: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(tokio::sync::Mutex::new(Some(JoinSet::new())));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                if let Some(connections) = shared.lock().await.as_mut() {
                    connections.spawn(async move {
                        if let Ok(mut far) = TcpStream::connect(target).await {
                            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                        }
                    });
                }
            }
        });
        Self {
            address,
            state,
            task,
        }
    }

    /// Breaks every connection and every new one.
    pub(crate) async fn cut(&self) {
        if let Some(mut connections) = self.state.lock().await.take() {
            connections.shutdown().await;
        }
    }

    pub(crate) async fn mend(&self) {
        self.state.lock().await.get_or_insert_with(JoinSet::new);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// `host:port` of a broker's address, when there is one.
fn address_in(amqp_url: &str) -> Option<SocketAddr> {
    let (_, rest) = amqp_url.split_once('@')?;
    rest.split('/').next()?.parse().ok()
}
