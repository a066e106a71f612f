//! Starts the service and knows how to talk to it.

use std::net::SocketAddr;

use common::auth::Role;
use common::clock::Clock;
use common::ids::{ItemId, StoreId};
use common::settings::load;
use common::shutdown::Shutdown;
use order_service::OwnSettings;
use order_service::startup::Application;
use serde_json::{Value, json};
use store::Db;
use testkit::{
    ApiClient, FakeSubscriber, FakeUserService, Reply, TestDatabase, TestIdentity, wait_for,
};
use tokio::task::JoinHandle;

use crate::neighbours::World;

/// What surrounds the service, whether it runs or not.
pub(crate) struct Surroundings {
    pub(crate) identity: TestIdentity,
    pub(crate) world: World,
    /// Stands for analytics, payment and inventory as subscribers.
    pub(crate) subscriber: FakeSubscriber,
    pub(crate) environment: Vec<(String, String)>,
    user_service: FakeUserService,
    pub(crate) database: TestDatabase,
}

impl Surroundings {
    pub(crate) async fn new(extra: &[(&str, &str)]) -> Self {
        let identity = TestIdentity::new();
        let world = World::new();
        let commands = world.serve(&identity).await;
        let user_service = FakeUserService::start(&identity);
        let subscriber = FakeSubscriber::start();
        let database = TestDatabase::create().await;
        let told = subscriber.url();
        let environment = [
            ("ORDER__SERVER__PORT", "0"),
            ("ORDER__DATABASE__MAX_CONNECTIONS", "4"),
            ("ORDER__ORDERS__ANSWER_WITHIN_MS", "10000"),
            ("ORDER__SAGA__STEP_TIMEOUT_MS", "1000"),
            ("ORDER__SAGA__LEASE_MS", "2500"),
            ("ORDER__SAGA__RETRY_BASE_MS", "5"),
            ("ORDER__SAGA__RETRY_MAX_MS", "20"),
            ("ORDER__SAGA__PARKED_RETRY_MAX_MS", "40"),
            ("ORDER__SAGA__PARK_AFTER_ATTEMPTS", "5"),
            ("ORDER__SAGA__POLL_INTERVAL_MS", "50"),
            ("DATABASE_URL", database.url()),
            ("USER_URL", &user_service.url()),
            ("INVENTORY_GRPC_URL", &commands),
            ("PAYMENT_GRPC_URL", &commands),
            ("ANALYTICS_URL", &told),
            ("PAYMENT_URL", &told),
            ("INVENTORY_URL", &told),
        ]
        .iter()
        .chain(extra)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        Self {
            identity,
            world,
            subscriber,
            environment,
            user_service,
            database,
        }
    }
}

/// A running service and its surroundings.
pub(crate) struct Harness {
    pub(crate) around: Surroundings,
    pub(crate) api: Api,
    pub(crate) db: Db,
    pub(crate) address: SocketAddr,
    shutdown: Shutdown,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts with these settings besides the usual ones.
    pub(crate) async fn start_with(extra: &[(&str, &str)]) -> Self {
        let around = Surroundings::new(extra).await;
        let (address, shutdown, running) = run(&around).await;
        let api = Api::open(address, &around.identity).await;
        Self {
            db: around.database.connect().await,
            api,
            address,
            shutdown,
            running,
            around,
        }
    }

    /// Stops the service and waits until it has; then nothing may be left in its outbox.
    pub(crate) async fn stop(self) {
        assert!(!self.around.user_service.url().is_empty());
        testkit::assert_outbox_empty(&self.db).await;
        self.shutdown.trigger();
        self.running.await.expect("no panic").expect("a clean stop");
    }

    pub(crate) const fn world(&self) -> &World {
        &self.around.world
    }

    /// A client for a role in the harness's store.
    pub(crate) fn client_of(&self, role: Role) -> ApiClient {
        let token = self.around.identity.user_of(role, self.api.store);
        self.api.owner.with_token(token)
    }

    /// Asserts that the books of a finished order agree with its status.
    pub(crate) fn assert_books_agree(&self, order: &Value) {
        assert_books_agree(self.world(), order);
    }
}

/// A confirmed order is paid and its stock consumed; a cancelled one holds neither.
pub(crate) fn assert_books_agree(world: &World, order: &Value) {
    let books = world.books(order["id"].as_str().expect("an id"));
    match order["status"].as_str() {
        Some("confirmed") => {
            assert!(books.committed && !books.held, "{books:?}");
            let total = order["total"]["amount"].as_i64().expect("an amount");
            assert_eq!((books.captured, books.refunded), (total, 0), "{books:?}");
        }
        Some("cancelled") => assert!(books.is_clean(), "{order} {books:?}"),
        other => panic!("not finished: {other:?}"),
    }
}

/// Runs the service in this process.
async fn run(around: &Surroundings) -> (SocketAddr, Shutdown, JoinHandle<anyhow::Result<()>>) {
    let settings = load::<OwnSettings>(
        "order",
        order_service::DEFAULTS,
        around.environment.iter().cloned(),
    )
    .expect("the settings are right");
    let shutdown = Shutdown::new();
    let application = Application::build(settings, shutdown.clone())
        .await
        .expect("the service starts");
    let address = application.address();
    (
        address,
        shutdown,
        tokio::spawn(application.run_until_stopped()),
    )
}

/// Talks to the service: an owner, a store and a menu of two items.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) owner: ApiClient,
    pub(crate) store: StoreId,
    /// 12.50 USD.
    pub(crate) pizza: ItemId,
    /// Free of charge.
    pub(crate) water: ItemId,
    token: String,
    clock: Clock,
}

impl Api {
    /// Opens a store in New York and fills the menu.
    pub(crate) async fn open(address: SocketAddr, identity: &TestIdentity) -> Self {
        let clock = Clock::system();
        let token = identity.owner();
        let api = Self {
            owner: ApiClient::new(format!("http://{address}")).with_token(&token),
            token,
            store: StoreId::new(&clock),
            pizza: ItemId::new(&clock),
            water: ItemId::new(&clock),
            clock,
        };
        let _ = api.open_store(api.store).await;
        let _ = api
            .put_item(api.pizza, "hawaiian_m", 1_250)
            .await
            .expect(200);
        let _ = api.put_item(api.water, "water", 0).await.expect(200);
        api
    }

    /// The same owner, with the service at another address.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self {
            owner: ApiClient::new(format!("http://{address}")).with_token(&self.token),
            ..self.clone()
        }
    }

    pub(crate) fn new_item(&self) -> ItemId {
        ItemId::new(&self.clock)
    }

    pub(crate) fn new_store(&self) -> StoreId {
        StoreId::new(&self.clock)
    }

    pub(crate) async fn open_store(&self, id: StoreId) -> Value {
        let body = json!({
            "id": id, "name": "Pizza Place", "time_zone": "America/New_York", "currency": "USD",
        });
        self.owner.post("/api/stores", &body).await.expect(201)
    }

    pub(crate) async fn put_item(&self, id: ItemId, sku: &str, amount: i64) -> Reply {
        let path = format!("/api/menu/items/{id}");
        self.owner.put(&path, &item_body(sku, amount)).await
    }

    /// Two pizzas, paid by card.
    pub(crate) fn order_body(&self) -> Value {
        self.order_of(&[(self.pizza, 2)])
    }

    pub(crate) fn order_of(&self, lines: &[(ItemId, i64)]) -> Value {
        let lines: Vec<Value> = lines
            .iter()
            .map(|(item, quantity)| json!({"item_id": item, "quantity": quantity}))
            .collect();
        json!({
            "store_id": self.store, "channel": "takeaway", "lines": lines,
            "payment": {"method": "card", "token": "tok_ok"},
        })
    }

    pub(crate) async fn post_order(&self, key: &str, body: &Value) -> Reply {
        self.owner.post_with_key("/api/orders", key, body).await
    }

    /// Places two pizzas under a new key; the saga ends before the answer.
    pub(crate) async fn place(&self) -> Value {
        let reply = self.post_order(&new_key(), &self.order_body()).await;
        reply.expect(201)
    }

    pub(crate) async fn order(&self, id: &Value) -> Value {
        let id = id.as_str().expect("an id");
        self.owner
            .get(&format!("/api/orders/{id}"))
            .await
            .expect(200)
    }

    pub(crate) async fn timeline(&self, order: &Value) -> Value {
        let id = order["id"].as_str().expect("an id");
        let path = format!("/api/orders/{id}/timeline");
        self.owner.get(&path).await.expect(200)
    }

    /// The saga's steps as `step outcome`, oldest first.
    pub(crate) async fn steps(&self, order: &Value) -> Vec<String> {
        let timeline = self.timeline(order).await;
        let entries = timeline["entries"].as_array().expect("a list");
        let steps = entries.iter().filter(|entry| entry["attempt"].is_i64());
        steps
            .map(|entry| {
                let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
                format!("{} {}", text("step"), text("outcome"))
            })
            .collect()
    }

    /// Waits until the order has this status.
    pub(crate) async fn wait_for_status(&self, id: &Value, status: &str) -> Value {
        wait_for(&format!("an order that is {status}"), || async {
            let order = self.order(id).await;
            (order["status"] == status).then_some(order)
        })
        .await
    }

    /// Waits until the order is confirmed or cancelled.
    pub(crate) async fn wait_for_end(&self, id: &Value) -> Value {
        wait_for("the end of an order's saga", || async {
            let order = self.order(id).await;
            (order["status"] != "pending").then_some(order)
        })
        .await
    }
}

pub(crate) fn item_body(sku: &str, amount: i64) -> Value {
    json!({
        "sku": sku, "name": format!("The {sku}"), "product_key": "hawaiian",
        "product_name": "The Hawaiian Pizza", "category": "Classic",
        "price": {"amount": amount, "currency": "USD"},
    })
}

pub(crate) fn new_key() -> String {
    uuid::Uuid::new_v4().to_string()
}
