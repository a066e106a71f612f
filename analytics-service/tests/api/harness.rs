//! Starts the service and tells it what happened.

use std::net::SocketAddr;

use analytics_service::OwnSettings;
use analytics_service::startup::Application;
use common::auth::Role;
use common::clock::Clock;
use common::ids::{IntentId, ItemId, OrderId, StoreId};
use common::settings::load;
use common::shutdown::Shutdown;
use common::time::Timestamp;
use contracts::events::{
    ConfirmedLine, OrderCancelled, OrderConfirmed, OrderOrigin, PaymentRefunded,
};
use serde_json::Value;
use testkit::events::EventSource;
use testkit::{ApiClient, FakeUserService, TestDatabase, TestIdentity};
use tokio::task::JoinHandle;

pub(crate) struct Harness {
    pub(crate) identity: TestIdentity,
    pub(crate) owner: ApiClient,
    pub(crate) store: StoreId,
    pub(crate) source: EventSource,
    http: SocketAddr,
    clock: Clock,
    shutdown: Shutdown,
    running: JoinHandle<anyhow::Result<()>>,
    _user_service: FakeUserService,
    _database: TestDatabase,
}

impl Harness {
    pub(crate) async fn start() -> Self {
        let identity = TestIdentity::new();
        let user_service = FakeUserService::start(&identity);
        let database = TestDatabase::create().await;
        let environment = [
            ("ANALYTICS__SERVER__PORT".to_owned(), "0".to_owned()),
            (
                "ANALYTICS__DATABASE__MAX_CONNECTIONS".to_owned(),
                "4".to_owned(),
            ),
            ("DATABASE_URL".to_owned(), database.url().to_owned()),
            ("USER_URL".to_owned(), user_service.url()),
        ];
        let settings = load::<OwnSettings>("analytics", analytics_service::DEFAULTS, environment)
            .expect("the settings are right");
        let shutdown = Shutdown::new();
        let application = Application::build(settings, shutdown.clone())
            .await
            .expect("the service starts");
        let http = application.address();
        let clock = Clock::system();
        Self {
            owner: ApiClient::new(format!("http://{http}")).with_token(identity.owner()),
            store: StoreId::new(&clock),
            source: EventSource::new("order", &identity),
            http,
            clock,
            shutdown,
            running: tokio::spawn(application.run_until_stopped()),
            _user_service: user_service,
            _database: database,
            identity,
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        self.running.await.expect("no panic").expect("a clean stop");
    }

    pub(crate) fn client_of(&self, role: Role) -> ApiClient {
        self.owner
            .with_token(self.identity.user_of(role, self.store))
    }

    pub(crate) async fn tell(&self, events: &[Value]) -> Vec<String> {
        self.source.deliver(self.http, events).await
    }

    pub(crate) async fn summary(&self) -> Value {
        let path = "/api/analytics/sales/summary?from=2015-01-01&to=2015-12-31";
        let mut summary = self.owner.get(path).await.expect(200);
        summary.as_object_mut().expect("an object").remove("as_of");
        summary
    }

    /// A confirmed order of these pieces, at a local time such as `2015-01-01T11:38:36`.
    pub(crate) fn sale(&self, local: &str, lines: &[(&str, &str, i64, i64)]) -> OrderConfirmed {
        let local_time: jiff::civil::DateTime = local.parse().expect("a local time");
        let lines: Vec<ConfirmedLine> = lines
            .iter()
            .zip(1..)
            .map(
                |((product, category, quantity, price), line_no)| ConfirmedLine {
                    line_no,
                    item_id: ItemId::new(&self.clock),
                    item_sku: format!("{product}_m"),
                    item_name: format!("The {product} M"),
                    product_key: (*product).to_owned(),
                    product_name: format!("The {product}"),
                    category: (*category).to_owned(),
                    quantity: *quantity,
                    unit_price: *price,
                    net_amount: quantity * price,
                },
            )
            .collect();
        OrderConfirmed {
            order_id: OrderId::new(&self.clock),
            store_id: self.store,
            channel: "takeaway".to_owned(),
            currency: "USD".parse().expect("a currency"),
            placed_at: Timestamp::from_unix_seconds(1_420_000_000),
            local_time,
            business_date: common::time::CivilDate::from_jiff(local_time.date()),
            origin: OrderOrigin::Imported,
            net_amount: lines.iter().map(|line| line.net_amount).sum(),
            lines,
        }
    }

    pub(crate) fn cancellation(&self, sale: &OrderConfirmed) -> Value {
        let event = OrderCancelled {
            order_id: sale.order_id,
            store_id: sale.store_id,
            reason: "guest_left".to_owned(),
            cancelled_at: Timestamp::from_unix_seconds(1_420_000_100),
            was_confirmed: true,
        };
        self.source.event(sale.order_id, &event)
    }

    pub(crate) fn refund(&self, sale: &OrderConfirmed, amount: i64) -> Value {
        let event = PaymentRefunded {
            intent_id: IntentId::new(&self.clock),
            order_id: sale.order_id,
            store_id: sale.store_id,
            amount,
            currency: sale.currency,
            refunded_total: amount,
            full: amount == sale.net_amount,
            refunded_at: Timestamp::from_unix_seconds(1_420_000_200),
        };
        let payment = EventSource::new("payment", &self.identity);
        payment.event(sale.order_id, &event)
    }

    pub(crate) fn confirmation(&self, sale: &OrderConfirmed) -> Value {
        self.source.event(sale.order_id, sale)
    }
}
