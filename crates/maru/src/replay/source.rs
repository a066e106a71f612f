//! The imported orders, read back page by page.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::ids::{ItemId, OrderId, StoreId};
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::client::{ClientError, Gateway};

/// How long a page of the list is waited for, through outages.
const PATIENCE: Duration = Duration::from_secs(300);

/// An imported order.
#[derive(Debug, Deserialize)]
struct OrderOut {
    id: OrderId,
    store_id: StoreId,
    channel: String,
    lines: Vec<LineOut>,
}

#[derive(Debug, Deserialize)]
struct LineOut {
    item_id: ItemId,
    quantity: i64,
}

/// What is placed again.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) id: OrderId,
    /// How often the list has been gone through before.
    pub(super) round: u64,
    pub(super) store_id: StoreId,
    pub(super) channel: String,
    /// Each item once.
    pub(super) items: BTreeMap<ItemId, i64>,
}

impl Replayed {
    fn new(order: OrderOut, round: u64) -> Self {
        let mut items = BTreeMap::new();
        for line in order.lines {
            *items.entry(line.item_id).or_default() += line.quantity;
        }
        Self {
            id: order.id,
            round,
            store_id: order.store_id,
            channel: order.channel,
            items,
        }
    }
}

/// Reads the orders, once or round after round, for as long as somebody takes them.
pub(super) async fn read_orders(
    gateway: Arc<Gateway>,
    orders: mpsc::Sender<Replayed>,
    rounds: bool,
) -> Result<(), ClientError> {
    for round in 0.. {
        let mut pages = gateway
            .pages::<OrderOut>("/api/orders?origin=imported")
            .patience(PATIENCE);
        let mut is_empty = true;
        while let Some(page) = pages.next().await? {
            for order in page {
                is_empty = false;
                if orders.send(Replayed::new(order, round)).await.is_err() {
                    return Ok(());
                }
            }
        }
        if is_empty || !rounds {
            break;
        }
    }
    Ok(())
}
