//! Starts the service and knows how to talk to it.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use common::auth::{Role, TokenSource, TokenSourceError};
use common::clock::Clock;
use common::ids::{IntentId, OrderId, StoreId};
use common::settings::load;
use common::shutdown::Shutdown;
use contracts::payment_v1::payment_commands_client::PaymentCommandsClient;
use contracts::payment_v1::{
    AuthorizeOutcome, AuthorizeReply, AuthorizeRequest, CaptureOutcome, CaptureRequest,
    GetIntentReply, GetIntentRequest, VoidOutcome, VoidRequest,
};
use payment_service::OwnSettings;
use payment_service::startup::Application;
use resilience::grpc::{ChannelParams, GrpcChannel};
use serde_json::{Value, json};
use store::Db;
use testkit::{
    ApiClient, FakeSubscriber, FakeUserService, Reply, TestDatabase, TestIdentity,
    assert_outbox_empty,
};
use tokio::runtime::Runtime;

/// What every order of these tests costs, in cents.
pub(crate) const AMOUNT: i64 = 2_650;

/// A running service and its surroundings.
pub(crate) struct Harness {
    pub(crate) identity: TestIdentity,
    pub(crate) owner: ApiClient,
    pub(crate) store: StoreId,
    pub(crate) db: Db,
    pub(crate) order_service: FakeSubscriber,
    pub(crate) analytics_service: FakeSubscriber,
    pub(crate) clock: Clock,
    process: Process,
    user_service: FakeUserService,
    database: TestDatabase,
}

/// The service on a runtime of its own, so that it can be killed.
struct Process {
    runtime: Runtime,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
    shutdown: Shutdown,
    http: SocketAddr,
    grpc: SocketAddr,
}

impl Process {
    async fn start(environment: Vec<(String, String)>) -> Self {
        let settings = load::<OwnSettings>("payment", payment_service::DEFAULTS, environment)
            .expect("the settings are right");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let shutdown = Shutdown::new();
        let (handle, stop) = (runtime.handle().clone(), shutdown.clone());
        // Starting up is not `Send`; it needs a thread that waits for it.
        let application = tokio::task::spawn_blocking(move || {
            handle.block_on(Application::build(settings, stop))
        });
        let application = application
            .await
            .expect("no panic")
            .expect("the service starts");
        let (http, grpc) = (application.address(), application.grpc_address());
        let running = runtime.spawn(application.run_until_stopped());
        Self {
            runtime,
            running,
            shutdown,
            http,
            grpc,
        }
    }
}

/// A token that never changes.
struct FixedToken(Arc<str>);

#[async_trait]
impl TokenSource for FixedToken {
    async fn token(&self) -> Result<Arc<str>, TokenSourceError> {
        Ok(Arc::clone(&self.0))
    }
}

impl Harness {
    pub(crate) async fn start() -> Self {
        let identity = TestIdentity::new();
        let user_service = FakeUserService::start(&identity);
        let order_service = FakeSubscriber::start();
        let analytics_service = FakeSubscriber::start();
        let database = TestDatabase::create().await;
        let addresses = [
            ("DATABASE_URL", database.url().to_owned()),
            ("USER_URL", user_service.url()),
            ("ORDER_URL", order_service.url()),
            ("ANALYTICS_URL", analytics_service.url()),
        ];
        let process = Process::start(environment(&addresses)).await;
        let clock = Clock::system();
        let owner = ApiClient::new(format!("http://{}", process.http)).with_token(identity.owner());
        Self {
            owner,
            store: StoreId::new(&clock),
            db: database.connect().await,
            order_service,
            analytics_service,
            clock,
            process,
            user_service,
            database,
            identity,
        }
    }

    /// Kills the service as it stands: nothing is finished, nothing is cleaned up. Then starts it
    /// again on the same database.
    pub(crate) async fn crash_and_restart(mut self) -> Self {
        let addresses = [
            ("DATABASE_URL", self.database.url().to_owned()),
            ("USER_URL", self.user_service.url()),
            ("ORDER_URL", self.order_service.url()),
            ("ANALYTICS_URL", self.analytics_service.url()),
        ];
        self.process.runtime.shutdown_background();
        self.process = Process::start(environment(&addresses)).await;
        let token = self.identity.owner();
        self.owner = ApiClient::new(format!("http://{}", self.process.http)).with_token(token);
        self
    }

    /// Checks what must hold at the end of every test, then stops the service.
    pub(crate) async fn finish(self) {
        let report = self.owner.get("/internal/reconciliation").await.expect(200);
        assert_eq!(report.get("agrees"), Some(&json!(true)), "{report}");
        assert_eq!(report.get("unsettled"), Some(&json!(0)), "{report}");
        self.stop().await;
    }

    /// Stops the service without looking at its books.
    pub(crate) async fn stop(self) {
        let mut tx = self.db.read().await.expect("the database can be read");
        let (kept,): (i64,) = store::fetch_one!(
            tx,
            (i64,),
            "SELECT COUNT(*) FROM intents WHERE token IS NOT NULL AND state <> 'authorizing'"
        )
        .expect("the table exists");
        drop(tx);
        assert_eq!(
            kept, 0,
            "tokens are erased when they are not needed any more"
        );
        assert_outbox_empty(&self.db).await;
        self.process.shutdown.trigger();
        self.process
            .running
            .await
            .expect("no panic")
            .expect("a clean stop");
        self.process.runtime.shutdown_background();
    }

    pub(crate) const fn http(&self) -> SocketAddr {
        self.process.http
    }

    /// A client for a role in the harness's store.
    pub(crate) fn client_of(&self, role: Role) -> ApiClient {
        self.owner
            .with_token(self.identity.user_of(role, self.store))
    }

    /// Makes a new store the harness's and returns the old one.
    pub(crate) fn move_to_new_store(&mut self) -> StoreId {
        std::mem::replace(&mut self.store, StoreId::new(&self.clock))
    }

    pub(crate) fn new_order(&self) -> OrderId {
        OrderId::new(&self.clock)
    }

    /// The command client, with order-service's token.
    pub(crate) fn commands(&self) -> Commands {
        self.commands_with(Some(self.identity.service("order")))
    }

    /// The command client, with this token.
    pub(crate) fn commands_with(&self, token: Option<String>) -> Commands {
        let tokens = token.map(|token| Arc::new(FixedToken(token.into())) as Arc<dyn TokenSource>);
        let url = format!("http://{}", self.process.grpc);
        let channel = GrpcChannel::try_new("payment", &url, ChannelParams::default(), tokens)
            .expect("the parameters are right");
        Commands {
            client: PaymentCommandsClient::new(channel),
            store: self.store,
        }
    }

    /// A captured card payment.
    pub(crate) async fn captured(&self, token: &str) -> (OrderId, IntentId) {
        let (commands, order) = (self.commands(), self.new_order());
        let reply = commands.authorize(order, token).await;
        assert_eq!(reply.outcome(), AuthorizeOutcome::Authorized);
        let intent: IntentId = reply.intent_id.parse().expect("an id");
        assert_eq!(commands.capture(intent).await, CaptureOutcome::Captured);
        (order, intent)
    }

    /// `GET /api/payments/{id}` as the owner.
    pub(crate) async fn payment(&self, intent: IntentId) -> Value {
        self.owner
            .get(&format!("/api/payments/{intent}"))
            .await
            .expect(200)
    }

    /// `POST /api/payments/{id}/refunds` as the owner.
    pub(crate) async fn refund(&self, intent: IntentId, key: &str, amount: i64) -> Reply {
        let body = json!({"amount": usd(amount), "reason": "cold pizza"});
        let path = format!("/api/payments/{intent}/refunds");
        self.owner.post_with_key(&path, key, &body).await
    }

    /// Lines of one kind in the sandbox's book that were done.
    pub(crate) async fn effects(&self, kind: &str) -> i64 {
        let mut tx = self.db.read().await.expect("the database can be read");
        let (effects,): (i64,) = store::fetch_one!(
            tx,
            (i64,),
            "SELECT COUNT(*) FROM sandbox_operations WHERE kind = $1 AND decline IS NULL",
            kind
        )
        .expect("the table exists");
        effects
    }
}

pub(crate) fn usd(amount: i64) -> Value {
    json!({"amount": amount, "currency": "USD"})
}

fn environment(addresses: &[(&str, String)]) -> Vec<(String, String)> {
    let fixed = [
        ("PAYMENT__SERVER__PORT", "0"),
        ("PAYMENT__SERVER__GRPC_PORT", "0"),
        ("PAYMENT__DATABASE__MAX_CONNECTIONS", "6"),
        // Short times, in the proportions of the defaults.
        ("PAYMENT__PROVIDER__TIMEOUT_MS", "600"),
        ("PAYMENT__PROVIDER__LATE_EFFECT_MS", "1500"),
        ("PAYMENT__SANDBOX__SLOW_MS", "200"),
        ("PAYMENT__RESOLVER__POLL_INTERVAL_MS", "50"),
        ("PAYMENT__RESOLVER__MAX_BACKOFF_MS", "500"),
    ];
    let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let addresses = addresses.iter();
    let addresses = addresses.map(|(name, value)| ((*name).to_owned(), value.clone()));
    fixed.into_iter().chain(addresses).collect()
}

/// Sends commands.
#[derive(Clone)]
pub(crate) struct Commands {
    client: PaymentCommandsClient<GrpcChannel>,
    store: StoreId,
}

impl Commands {
    /// The command that authorizes the usual amount.
    pub(crate) fn authorization(&self, order: OrderId, token: &str) -> AuthorizeRequest {
        AuthorizeRequest {
            command_id: format!("{order}:authorize"),
            order_id: order.to_string(),
            store_id: self.store.to_string(),
            amount: AMOUNT,
            currency: "USD".to_owned(),
            method: "card".to_owned(),
            token: token.to_owned(),
        }
    }

    pub(crate) async fn try_authorize(
        &self,
        request: AuthorizeRequest,
    ) -> Result<AuthorizeReply, tonic::Status> {
        let reply = self.client.clone().authorize(request).await;
        reply.map(tonic::Response::into_inner)
    }

    pub(crate) async fn authorize(&self, order: OrderId, token: &str) -> AuthorizeReply {
        let request = self.authorization(order, token);
        self.try_authorize(request).await.expect("an answer")
    }

    pub(crate) async fn pay_cash(&self, order: OrderId) -> AuthorizeReply {
        let request = AuthorizeRequest {
            method: "cash".to_owned(),
            ..self.authorization(order, "")
        };
        self.try_authorize(request).await.expect("an answer")
    }

    pub(crate) async fn capture(&self, intent: IntentId) -> CaptureOutcome {
        let request = CaptureRequest {
            command_id: format!("{intent}:capture"),
            intent_id: intent.to_string(),
        };
        let reply = self.client.clone().capture(request).await;
        reply.expect("an answer").into_inner().outcome()
    }

    pub(crate) async fn void(&self, order: OrderId) -> VoidOutcome {
        let request = VoidRequest {
            command_id: format!("{order}:void"),
            order_id: order.to_string(),
        };
        let reply = self.client.clone().void(request).await;
        reply.expect("an answer").into_inner().outcome()
    }

    pub(crate) async fn intent(&self, order: OrderId) -> GetIntentReply {
        let request = GetIntentRequest {
            order_id: order.to_string(),
        };
        let reply = self.client.clone().get_intent(request).await;
        reply.expect("an answer").into_inner()
    }
}
