//! Starts the service and knows how to talk to it.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use common::auth::{Role, TokenSource, TokenSourceError};
use common::clock::Clock;
use common::ids::{ItemId, OrderId, ProductId, StoreId};
use common::settings::load;
use common::shutdown::Shutdown;
use contracts::inventory_v1::inventory_commands_client::InventoryCommandsClient;
use contracts::inventory_v1::{
    CommandOutcome, CommandRequest, GetReservationRequest, ReservationState, ReserveLine,
    ReserveReply, ReserveRequest,
};
use inventory_service::OwnSettings;
use inventory_service::startup::Application;
use resilience::grpc::{ChannelParams, GrpcChannel};
use serde_json::{Value, json};
use store::Db;
use testkit::{ApiClient, FakeSubscriber, FakeUserService, TestDatabase, TestIdentity};
use tokio::task::JoinHandle;

/// A running service and its surroundings.
pub(crate) struct Harness {
    pub(crate) identity: TestIdentity,
    pub(crate) owner: ApiClient,
    pub(crate) store: StoreId,
    pub(crate) db: Db,
    pub(crate) order_service: FakeSubscriber,
    pub(crate) http: SocketAddr,
    grpc: SocketAddr,
    clock: Clock,
    shutdown: Shutdown,
    running: JoinHandle<anyhow::Result<()>>,
    _user_service: FakeUserService,
    _database: TestDatabase,
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
        Self::start_with(&[]).await
    }

    /// Starts with these settings besides the usual ones.
    pub(crate) async fn start_with(extra: &[(&str, &str)]) -> Self {
        let identity = TestIdentity::new();
        let user_service = FakeUserService::start(&identity);
        let order_service = FakeSubscriber::start();
        let database = TestDatabase::create().await;
        let mut environment = vec![
            ("INVENTORY__SERVER__PORT".to_owned(), "0".to_owned()),
            ("INVENTORY__SERVER__GRPC_PORT".to_owned(), "0".to_owned()),
            (
                "INVENTORY__DATABASE__MAX_CONNECTIONS".to_owned(),
                "4".to_owned(),
            ),
            ("DATABASE_URL".to_owned(), database.url().to_owned()),
            ("USER_URL".to_owned(), user_service.url()),
            ("ORDER_URL".to_owned(), order_service.url()),
        ];
        environment.extend(
            extra
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        );
        let settings = load::<OwnSettings>("inventory", inventory_service::DEFAULTS, environment)
            .expect("the settings are right");
        let shutdown = Shutdown::new();
        let application = Application::build(settings, shutdown.clone())
            .await
            .expect("the service starts");
        let (http, grpc) = (application.address(), application.grpc_address());
        let owner = ApiClient::new(format!("http://{http}")).with_token(identity.owner());
        let clock = Clock::system();
        Self {
            owner,
            store: StoreId::new(&clock),
            db: database.connect().await,
            order_service,
            http,
            grpc,
            clock,
            shutdown,
            running: tokio::spawn(application.run_until_stopped()),
            _user_service: user_service,
            _database: database,
            identity,
        }
    }

    /// Stops the service and waits until it has.
    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        self.running.await.expect("no panic").expect("a clean stop");
    }

    /// A client for a role in the harness's store.
    pub(crate) fn client_of(&self, role: Role) -> ApiClient {
        self.owner
            .with_token(self.identity.user_of(role, self.store))
    }

    pub(crate) fn new_store(&self) -> StoreId {
        StoreId::new(&self.clock)
    }

    pub(crate) fn new_item(&self) -> ItemId {
        ItemId::new(&self.clock)
    }

    pub(crate) fn new_order(&self) -> OrderId {
        OrderId::new(&self.clock)
    }

    /// A product under this SKU.
    pub(crate) async fn product(&self, sku: &str) -> ProductId {
        let id = ProductId::new(&self.clock);
        let body = json!({"sku": sku, "name": sku, "unit": "g"});
        let _ = self
            .owner
            .put(&format!("/api/inventory/products/{id}"), &body)
            .await
            .expect(200);
        id
    }

    /// An item that consumes these products.
    pub(crate) async fn item(&self, lines: &[(ProductId, i64)]) -> ItemId {
        let item = self.new_item();
        let lines: Vec<Value> = lines
            .iter()
            .map(|(product, quantity)| json!({"product_id": product, "quantity": quantity}))
            .collect();
        let path = format!("/api/inventory/recipes/{item}");
        let _ = self
            .owner
            .put(&path, &json!({"lines": lines}))
            .await
            .expect(200);
        item
    }

    /// Receives a lot.
    pub(crate) async fn receive(
        &self,
        product: ProductId,
        quantity: i64,
        expires_on: Option<&str>,
    ) {
        let body = json!({
            "store_id": self.store,
            "lines": [{"product_id": product, "quantity": quantity, "expires_on": expires_on}],
        });
        let key = uuid::Uuid::new_v4().to_string();
        let _ = self
            .owner
            .post_with_key("/api/inventory/receipts", &key, &body)
            .await
            .expect(201);
    }

    /// On hand and reserved.
    pub(crate) async fn balance(&self, product: ProductId) -> (i64, i64) {
        let path = format!("/api/inventory/stock?store_id={}", self.store);
        let page = self.owner.get(&path).await.expect(200);
        let id = product.to_string();
        let items = page["items"].as_array().expect("a list").clone();
        items
            .iter()
            .find(|row| row["product_id"] == id.as_str())
            .map_or((0, 0), |row| {
                (
                    row["on_hand"].as_i64().unwrap(),
                    row["reserved"].as_i64().unwrap(),
                )
            })
    }

    /// The command client, with order-service's token.
    pub(crate) fn commands(&self) -> Commands {
        self.commands_with(self.identity.service("order"))
    }

    /// The command client, with this token.
    pub(crate) fn commands_with(&self, token: String) -> Commands {
        let tokens: Arc<dyn TokenSource> = Arc::new(FixedToken(token.into()));
        let url = format!("http://{}", self.grpc);
        let channel =
            GrpcChannel::try_new("inventory", &url, ChannelParams::default(), Some(tokens))
                .expect("the parameters are right");
        Commands {
            client: InventoryCommandsClient::new(channel),
            store: self.store,
        }
    }

    /// Balances equal the fold of the ledger and the sum of the lots.
    pub(crate) async fn assert_ledger_holds(&self) {
        let mut tx = self.db.read().await.expect("the database can be read");
        let rows: Vec<(i64, i64, i64, i64)> = store::fetch_all!(
            tx,
            (i64, i64, i64, i64),
            "SELECT b.on_hand,
                    (SELECT CAST(COALESCE(SUM(m.quantity), 0) AS bigint) FROM movements m
                     WHERE m.store_id = b.store_id AND m.product_id = b.product_id),
                    (SELECT CAST(COALESCE(SUM(l.remaining), 0) AS bigint) FROM lots l
                     WHERE l.store_id = b.store_id AND l.product_id = b.product_id),
                    b.reserved - (SELECT CAST(COALESCE(SUM(rl.quantity), 0) AS bigint)
                     FROM reservation_lines rl JOIN reservations r ON r.id = rl.reservation_id
                     WHERE r.state = 'held' AND r.store_id = b.store_id
                       AND rl.product_id = b.product_id)
             FROM balances b"
        )
        .expect("the tables exist");
        for (on_hand, ledger, lots, reserved_too_much) in rows {
            assert_eq!((on_hand, on_hand, 0), (ledger, lots, reserved_too_much));
        }
    }
}

/// Sends commands.
#[derive(Clone)]
pub(crate) struct Commands {
    client: InventoryCommandsClient<GrpcChannel>,
    store: StoreId,
}

impl Commands {
    /// The same for another store.
    pub(crate) fn in_store(self, store: StoreId) -> Self {
        Self { store, ..self }
    }

    pub(crate) async fn try_reserve(
        &self,
        order: OrderId,
        lines: &[(ItemId, i64)],
        ttl_seconds: i64,
    ) -> Result<ReserveReply, tonic::Status> {
        let lines = lines
            .iter()
            .map(|(item, quantity)| ReserveLine {
                item_id: item.to_string(),
                quantity: *quantity,
            })
            .collect();
        let request = ReserveRequest {
            command_id: format!("{order}:reserve"),
            order_id: order.to_string(),
            store_id: self.store.to_string(),
            lines,
            ttl_seconds,
            // As a client of before would: by the present UTC date.
            store_date: String::new(),
        };
        self.client
            .clone()
            .reserve(request)
            .await
            .map(tonic::Response::into_inner)
    }

    pub(crate) async fn reserve(&self, order: OrderId, lines: &[(ItemId, i64)]) -> ReserveReply {
        self.try_reserve(order, lines, 600)
            .await
            .expect("an answer")
    }

    pub(crate) async fn commit(&self, order: OrderId) -> CommandOutcome {
        let reply = self
            .client
            .clone()
            .commit(command(order, "commit"))
            .await
            .expect("an answer");
        reply.into_inner().outcome()
    }

    pub(crate) async fn release(&self, order: OrderId) -> CommandOutcome {
        let reply = self
            .client
            .clone()
            .release(command(order, "release"))
            .await
            .expect("an answer");
        reply.into_inner().outcome()
    }

    pub(crate) async fn restock(&self, order: OrderId) -> CommandOutcome {
        let reply = self
            .client
            .clone()
            .restock(command(order, "restock"))
            .await
            .expect("an answer");
        reply.into_inner().outcome()
    }

    pub(crate) async fn state(&self, order: OrderId) -> ReservationState {
        let request = GetReservationRequest {
            order_id: order.to_string(),
        };
        let reply = self
            .client
            .clone()
            .get_reservation(request)
            .await
            .expect("an answer");
        reply.into_inner().state()
    }
}

fn command(order: OrderId, step: &str) -> CommandRequest {
    CommandRequest {
        command_id: format!("{order}:{step}"),
        order_id: order.to_string(),
    }
}
