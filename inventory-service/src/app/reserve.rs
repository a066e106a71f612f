//! Sets stock aside for an order: all of it, or none.

use std::collections::BTreeMap;
use std::time::Duration;

use ::store::Tx;
use common::ids::{ItemId, OrderId, ProductId, ReservationId, StoreId};
use common::time::Timestamp;

use super::{AppState, expiry_date};
use crate::domain::recipe::explode;
use crate::domain::reservation::State;
use crate::error::UseCaseError;
use crate::store::catalog;
use crate::store::reservations::{self, Direction, NewReservation, Shortage};

/// What an order wants to be set aside.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) command_id: &'a str,
    pub(crate) order_id: OrderId,
    pub(crate) store_id: StoreId,
    pub(crate) sold: BTreeMap<ItemId, i64>,
    pub(crate) ttl: Duration,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Everything is held.
    Reserved(ReservationId),
    /// Nothing is held.
    OutOfStock(Vec<Shortage>),
    /// The order was given up before; nothing is held.
    AlreadyReleased,
}

/// Sets aside what the order consumes. Repeated, it answers what it answered the first time.
pub(crate) async fn reserve(
    app: &AppState,
    request: &Request<'_>,
) -> Result<Outcome, UseCaseError> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let new = NewReservation {
        order_id: request.order_id,
        id: ReservationId::new(&app.clock),
        store_id: Some(request.store_id),
        state: State::Held,
        command_id: request.command_id,
        expires_at: now.plus(request.ttl.min(app.reservations.max_ttl())),
        created_at: now,
    };
    if !reservations::insert(&mut tx, &new).await? {
        return answer_again(&mut tx, request.order_id).await;
    }
    let recipes = reservations::list_recipes(&mut tx, request.sold.keys().copied()).await?;
    let needed = explode(&request.sold, &recipes)?;
    reservations::insert_lines(&mut tx, new.id, &needed).await?;
    let shortages = find_shortages(&mut tx, request.store_id, new.id, &needed, now).await?;
    let outcome = if shortages.is_empty() {
        let direction = Direction::SetAside;
        reservations::add_reserved(&mut tx, request.store_id, new.id, direction).await?;
        Outcome::Reserved(new.id)
    } else {
        reservations::update_refused(&mut tx, new.id, &shortages, now).await?;
        Outcome::OutOfStock(shortages)
    };
    tx.commit().await?;
    Ok(outcome)
}

async fn answer_again(tx: &mut Tx, order: OrderId) -> Result<Outcome, UseCaseError> {
    let Some(row) = reservations::lock(tx, order).await? else {
        return Err(UseCaseError::Inconsistent(format!(
            "order {order} is and is not reserved"
        )));
    };
    Ok(match row.state.parse()? {
        State::Held | State::Committed => Outcome::Reserved(row.id),
        State::Refused => Outcome::OutOfStock(row.shortages.map(|json| json.0).unwrap_or_default()),
        State::Released | State::Expired | State::Restocked => Outcome::AlreadyReleased,
    })
}

async fn find_shortages(
    tx: &mut Tx,
    store: StoreId,
    id: ReservationId,
    needed: &BTreeMap<ProductId, i64>,
    now: Timestamp,
) -> Result<Vec<Shortage>, UseCaseError> {
    // The locks come first: what is read after them stands still until the transaction ends.
    let reserved: BTreeMap<_, _> = reservations::lock_balances(tx, store, id)
        .await?
        .into_iter()
        .collect();
    let usable: BTreeMap<_, _> = reservations::list_usable(tx, store, id, expiry_date(now))
        .await?
        .into_iter()
        .collect();
    let of = |map: &BTreeMap<ProductId, i64>, product| map.get(product).copied().unwrap_or(0);
    let mut shortages: Vec<Shortage> = needed
        .iter()
        .map(|(product, wanted)| Shortage {
            product_id: *product,
            sku: String::new(),
            wanted: *wanted,
            available: (of(&usable, product) - of(&reserved, product)).max(0),
        })
        .filter(|shortage| shortage.available < shortage.wanted)
        .collect();
    if !shortages.is_empty() {
        let skus: BTreeMap<_, _> = catalog::list_skus(tx, id).await?.into_iter().collect();
        for shortage in &mut shortages {
            shortage.sku = skus.get(&shortage.product_id).cloned().unwrap_or_default();
        }
    }
    Ok(shortages)
}
