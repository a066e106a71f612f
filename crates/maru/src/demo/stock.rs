//! Deliveries of stock, in lots that expire.

use common::clock::Clock;
use common::ids::{ProductId, StoreId};
use common::time::CivilDate;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::tz::TimeZone;
use jiff::{Span, civil};
use serde::{Deserialize, Serialize};

use crate::client::{ClientError, Gateway};

/// Deliveries booked at a time.
const IN_FLIGHT: usize = 4;
/// Share of the first lot, in percent, and days until the lots expire: enough to see which is used
/// first.
const FIRST_LOT_PERCENT: i64 = 30;
const LOT_DAYS: [i64; 2] = [7, 21];
/// Largest quantity that inventory-service takes in one line.
const MAX_QUANTITY: i64 = 1_000_000_000;

/// A store, as far as stock is concerned.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Store {
    pub(crate) id: StoreId,
    pub(crate) name: String,
    pub(crate) time_zone: String,
}

#[derive(Debug, Deserialize)]
struct Product {
    id: ProductId,
    unit: String,
}

#[derive(Serialize)]
struct ReceiptIn {
    store_id: StoreId,
    lines: Vec<LotIn>,
}

#[derive(Serialize)]
struct LotIn {
    product_id: ProductId,
    quantity: i64,
    lot_code: String,
    expires_on: CivilDate,
}

/// How much is delivered, and under which name: the same label, day, store, product and amount is
/// the same delivery.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    pub(crate) label: &'a str,
    pub(crate) servings: u32,
    pub(crate) clock: &'a Clock,
}

/// Delivers every product to every store; returns how many products there are.
pub(crate) async fn deliver(
    gateway: &Gateway,
    stores: &[Store],
    delivery: &Delivery<'_>,
) -> Result<usize, ClientError> {
    let products: Vec<Product> = gateway.pages("/api/inventory/products").all().await?;
    let mut calls = Vec::new();
    for store in stores {
        let today = delivery.today(store);
        for product in &products {
            let key = format!(
                "{}-{today}-{}-{}-{}",
                delivery.label, store.id, product.id, delivery.servings
            );
            let receipt = delivery.receipt(store, product, today);
            calls.push(
                gateway
                    .post("/api/inventory/receipts")
                    .key(key)
                    .json(&receipt),
            );
        }
    }
    let booked = calls
        .into_iter()
        .map(|call| call.send::<serde_json::Value>());
    let mut booked = stream::iter(booked).buffer_unordered(IN_FLIGHT);
    while booked.try_next().await?.is_some() {}
    Ok(products.len())
}

impl Delivery<'_> {
    /// The day at the store.
    fn today(&self, store: &Store) -> civil::Date {
        let zone = TimeZone::get(&store.time_zone).unwrap_or(TimeZone::UTC);
        zone.to_datetime(self.clock.now().to_jiff()).date()
    }

    fn receipt(&self, store: &Store, product: &Product, today: civil::Date) -> ReceiptIn {
        let total = i64::from(self.servings) * per_serving(&product.unit);
        let first = (total * FIRST_LOT_PERCENT / 100).max(1);
        let quantities = [first, (total - first).max(1)];
        let lots = quantities.into_iter().zip(LOT_DAYS).zip(1..);
        let lot = |((quantity, days), number): ((i64, i64), i32)| LotIn {
            product_id: product.id,
            quantity: quantity.min(MAX_QUANTITY),
            lot_code: format!("{}-{today}-{number}", self.label),
            expires_on: CivilDate::from_jiff(today.saturating_add(Span::new().days(days))),
        };
        ReceiptIn {
            store_id: store.id,
            lines: lots.map(lot).collect(),
        }
    }
}

/// Base units that one dish takes of a product at the most: the dough of the largest pizza.
fn per_serving(unit: &str) -> i64 {
    match unit {
        "g" => 600,
        "ml" => 300,
        _ => 2,
    }
}
