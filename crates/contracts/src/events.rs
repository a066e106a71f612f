//! Every event of the system: its payload, its type and who is told of it.
//!
//! A payload is the `data` of a CloudEvents envelope. Readers tolerate new fields, so a field
//! may be added; anything else is a new version beside the old one (`order.confirmed.v2`).

mod accounts;

pub use accounts::{MailRequested, MailTemplate, UserErased};

use common::ids::{IntentId, ItemId, OrderId, StoreId};
use common::money::Currency;
use common::time::{CivilDate, Timestamp};
use jiff::civil;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What an event carries.
pub trait EventPayload: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The type on the wire: noun, past participle, version.
    const TYPE: &'static str;

    /// The services that are told of it.
    #[must_use]
    fn subscribers() -> &'static [&'static str] {
        subscribers(Self::TYPE)
    }
}

/// The one routing table of both transports: the short names of the services that consume an
/// event type. An unknown type has none.
#[must_use]
pub fn subscribers(event_type: &str) -> &'static [&'static str] {
    ROUTES
        .iter()
        .find(|(routed, _, _)| *routed == event_type)
        .map_or(&[], |(_, _, subscribers)| subscribers)
}

/// Whether a service may tell others of this type: each is told by one. Of a type that stands in no
/// route nobody is told.
#[must_use]
pub fn is_told_by(event_type: &str, service: &str) -> bool {
    let mut routes = ROUTES.iter();
    let teller = routes.find(|(routed, _, _)| *routed == event_type);
    teller.is_none_or(|(_, teller, _)| *teller == service)
}

/// The event types that a service consumes; what its queue is bound to.
pub fn consumed_by(service: &str) -> impl Iterator<Item = &'static str> {
    ROUTES
        .iter()
        .filter(move |(_, _, subscribers)| subscribers.contains(&service))
        .map(|(event_type, _, _)| *event_type)
}

/// Event type, the service that tells of it, the services that are told. A type that nobody is told of
/// yet does not stand here: without a broker no row waits for it, and a broker lets it go.
pub const ROUTES: [(&str, &str, &[&str]); 4] = [
    (OrderConfirmed::TYPE, "order", &["analytics"]),
    (
        OrderCancelled::TYPE,
        "order",
        &["payment", "inventory", "analytics"],
    ),
    (PaymentRefunded::TYPE, "payment", &["order", "analytics"]),
    (InventoryRestocked::TYPE, "inventory", &["order"]),
];

/// How an order came into the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderOrigin {
    /// Placed through the API; its stock and money were moved by the saga.
    Live,
    /// Taken over from another system; it touched neither stock nor money.
    Imported,
}

impl OrderOrigin {
    /// The text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Imported => "imported",
        }
    }
}

/// An order is paid and its stock is consumed, or it was imported as such. From order-service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderConfirmed {
    /// The order.
    pub order_id: OrderId,
    /// Where it was sold.
    pub store_id: StoreId,
    /// `dine_in`, `takeaway`, `delivery`, ...
    pub channel: String,
    /// Currency of every amount below.
    pub currency: Currency,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// The same moment on the clock of the store.
    pub local_time: civil::DateTime,
    /// The business day of the store that it counts for.
    pub business_date: CivilDate,
    /// Live or imported.
    pub origin: OrderOrigin,
    /// What was sold; never empty.
    pub lines: Vec<ConfirmedLine>,
    /// Minor units: the sum of the lines.
    pub net_amount: i64,
}

/// One line of a confirmed order, with the names it was sold under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmedLine {
    /// From 1, unique within the order.
    pub line_no: i32,
    /// The sellable variant.
    pub item_id: ItemId,
    /// Its code in the menu.
    pub item_sku: String,
    /// Its name in the menu.
    pub item_name: String,
    /// Groups the variants of one product: `bbq_ckn` for all sizes of that pizza.
    pub product_key: String,
    /// The name of that group.
    pub product_name: String,
    /// Category in the menu.
    pub category: String,
    /// How many, from 1.
    pub quantity: i64,
    /// Minor units for one.
    pub unit_price: i64,
    /// Minor units for all of them, after discounts.
    pub net_amount: i64,
}

/// A confirmed order was cancelled. Payment refunds and inventory restocks on their own; an order
/// that was never confirmed is undone by its saga and emits nothing. From order-service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelled {
    /// The order.
    pub order_id: OrderId,
    /// Where it was sold.
    pub store_id: StoreId,
    /// A stable `snake_case` code.
    pub reason: String,
    /// When the cancellation was accepted.
    pub cancelled_at: Timestamp,
    /// Always true in this version; there so that a reader need not know the rule above.
    pub was_confirmed: bool,
}

/// Money went back to the guest. From payment-service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefunded {
    /// The payment intent.
    pub intent_id: IntentId,
    /// The order it paid.
    pub order_id: OrderId,
    /// Where it was sold.
    pub store_id: StoreId,
    /// Minor units of this refund.
    pub amount: i64,
    /// Currency of both amounts.
    pub currency: Currency,
    /// Minor units refunded so far, this refund included.
    pub refunded_total: i64,
    /// Whether nothing of the captured amount is left.
    pub full: bool,
    /// When the provider confirmed it.
    pub refunded_at: Timestamp,
}

/// The stock that an order consumed is back. From inventory-service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryRestocked {
    /// The order.
    pub order_id: OrderId,
    /// The store whose stock it is.
    pub store_id: StoreId,
    /// When the stock was booked back.
    pub restocked_at: Timestamp,
}

impl EventPayload for OrderConfirmed {
    const TYPE: &'static str = "order.confirmed.v1";
}

impl EventPayload for OrderCancelled {
    const TYPE: &'static str = "order.cancelled.v1";
}

impl EventPayload for PaymentRefunded {
    const TYPE: &'static str = "payment.refunded.v1";
}

impl EventPayload for InventoryRestocked {
    const TYPE: &'static str = "inventory.restocked.v1";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::ServiceName;
    use serde_json::{Value, json};

    fn round_trip<E: EventPayload + PartialEq + std::fmt::Debug>(wire: &Value) {
        let event: E = serde_json::from_value(wire.clone()).expect("the payload reads");
        assert_eq!(&serde_json::to_value(&event).unwrap(), wire);
        let mut newer = wire.clone();
        newer["added_later"] = json!({"by": "a newer writer"});
        assert_eq!(serde_json::from_value::<E>(newer).unwrap(), event);
    }

    #[test]
    fn a_confirmed_order_keeps_its_form() {
        round_trip::<OrderConfirmed>(&json!({
            "order_id": "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e",
            "store_id": "0190b7a0-5a3c-7c1e-9a51-000000000001",
            "channel": "takeaway",
            "currency": "USD",
            "placed_at": "2015-01-01T16:38:36Z",
            "local_time": "2015-01-01T11:38:36",
            "business_date": "2015-01-01",
            "origin": "imported",
            "lines": [{
                "line_no": 1,
                "item_id": "0190b7a0-5a3c-7c1e-9a51-000000000002",
                "item_sku": "hawaiian_m",
                "item_name": "The Hawaiian Pizza (M)",
                "product_key": "hawaiian",
                "product_name": "The Hawaiian Pizza",
                "category": "Classic",
                "quantity": 2,
                "unit_price": 1325,
                "net_amount": 2650
            }],
            "net_amount": 2650
        }));
    }

    #[test]
    fn the_other_events_keep_their_form() {
        let order = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e";
        let store = "0190b7a0-5a3c-7c1e-9a51-000000000001";
        round_trip::<OrderCancelled>(&json!({
            "order_id": order, "store_id": store, "reason": "guest_request",
            "cancelled_at": "2026-03-01T09:00:00Z", "was_confirmed": true
        }));
        round_trip::<PaymentRefunded>(&json!({
            "intent_id": "0190b7a0-5a3c-7c1e-9a51-000000000003", "order_id": order,
            "store_id": store, "amount": 500, "currency": "KRW", "refunded_total": 900,
            "full": false, "refunded_at": "2026-03-01T09:00:00.25Z"
        }));
        round_trip::<InventoryRestocked>(&json!({
            "order_id": order, "store_id": store, "restocked_at": "2026-03-01T09:00:00Z"
        }));
    }

    #[test]
    fn every_subscriber_is_a_service_and_finds_its_types() {
        for (event_type, teller, subscribers) in ROUTES {
            assert!(teller.parse::<ServiceName>().is_ok(), "{teller}");
            assert!(is_told_by(event_type, teller) && !is_told_by(event_type, "iot"));
            assert!(!subscribers.is_empty(), "{event_type} reaches nobody");
            assert_eq!(super::subscribers(event_type), subscribers);
            for subscriber in subscribers {
                assert!(subscriber.parse::<ServiceName>().is_ok(), "{subscriber}");
                assert!(consumed_by(subscriber).any(|consumed| consumed == event_type));
            }
        }
        assert!(super::subscribers("order.eaten.v1").is_empty());
        assert_eq!(consumed_by("order").count(), 2);
        assert_eq!(OrderCancelled::subscribers().len(), 3);
    }
}
