//! Takes over orders that another system sold, in bulk. They move neither stock nor money.
//!
//! An order is known by its source and its id there: repeating a batch, or part of it, changes
//! nothing. What cannot be taken over is named and does not keep the rest from it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use common::auth::Principal;
use common::ids::{ItemId, OrderId, StoreId};
use common::time::Timestamp;
use contracts::events::{OrderConfirmed, OrderOrigin};
use jiff::civil::DateTime;

use crate::app::AppState;
use crate::domain::menu::MenuItem;
use crate::domain::order::{Cancellation, Channel, External, Order, Status};
use crate::domain::pricing::{self, Wanted};
use crate::domain::site::Site;
use crate::error::UseCaseError;
use crate::sagas::write::confirmed_event;
use crate::store::{menu, orders};

/// Most orders of one batch.
pub(crate) const MAX_ORDERS: usize = 500;
/// Clocks of two systems may differ by this much.
const FUTURE_SLACK: Duration = Duration::from_secs(24 * 3_600);
/// Tries when another batch with the same orders is written at the same time.
const MAX_TRIES: u32 = 5;

/// An order as its source knows it. What could not be read is a fault.
#[derive(Clone, Debug)]
pub(crate) struct PastOrder {
    pub(crate) external_id: String,
    pub(crate) store_id: StoreId,
    pub(crate) channel: Channel,
    pub(crate) placed_at_local: DateTime,
    pub(crate) wanted: Vec<Wanted>,
}

/// Why an order was not taken over.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) code: &'static str,
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

/// What became of a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Imported {
    pub(crate) created: usize,
    pub(crate) duplicates: usize,
    /// By index in the batch, ascending.
    pub(crate) rejected: Vec<(usize, Fault)>,
}

/// What the orders of a batch refer to.
struct Catalog {
    sites: HashMap<StoreId, Arc<Site>>,
    items: HashMap<ItemId, MenuItem>,
}

/// Takes the batch over in one transaction, with an event for each new order.
pub(crate) async fn import_orders(
    app: &AppState,
    caller: &Principal,
    source: &str,
    batch: Vec<Result<PastOrder, Fault>>,
) -> Result<Imported, UseCaseError> {
    let catalog = look_up(app, caller, &batch).await?;
    let now = app.clock.now();
    let mut outcome = Imported::default();
    let mut candidates: Vec<(usize, Order)> = Vec::with_capacity(batch.len());
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(batch.len());
    for (index, past) in batch.into_iter().enumerate() {
        let order = past.and_then(|past| take_over(app, &catalog, source, past, now));
        let order = match order {
            Ok(order) => order,
            Err(fault) => {
                outcome.rejected.push((index, fault));
                continue;
            }
        };
        // The same order twice in one batch: the first one counts.
        match seen.get(external_id(&order)) {
            None => {
                seen.insert(external_id(&order).to_owned(), candidates.len());
                candidates.push((index, order));
            }
            Some(place) => {
                let first = candidates.get(*place).map(|(_, first)| first);
                note_known(
                    &mut outcome,
                    index,
                    first.is_some_and(|first| same(first, &order)),
                );
            }
        }
    }
    write(app, source, candidates, &mut outcome).await?;
    outcome.rejected.sort_by_key(|(index, _)| *index);
    metrics::counter!("order_imported_total").increment(outcome.created as u64);
    Ok(outcome)
}

/// Reads the stores that the caller may see and the items of the whole batch.
async fn look_up(
    app: &AppState,
    caller: &Principal,
    batch: &[Result<PastOrder, Fault>],
) -> Result<Catalog, UseCaseError> {
    let readable = || batch.iter().filter_map(|past| past.as_ref().ok());
    let stores: HashSet<StoreId> = readable().map(|past| past.store_id).collect();
    let mut sites = HashMap::new();
    for id in stores.into_iter().filter(|id| caller.stores.contains(*id)) {
        match app.site(id).await {
            Ok(site) => sites.insert(id, site),
            Err(UseCaseError::UnknownStore(_)) => None,
            Err(error) => return Err(error),
        };
    }
    let wanted = readable().flat_map(|past| past.wanted.iter().map(|wanted| wanted.item_id));
    let mut tx = app.db.read().await?;
    let items = menu::find_items(&mut tx, wanted).await?;
    Ok(Catalog { sites, items })
}

fn take_over(
    app: &AppState,
    catalog: &Catalog,
    source: &str,
    past: PastOrder,
    now: Timestamp,
) -> Result<Order, Fault> {
    let site = catalog
        .sites
        .get(&past.store_id)
        .ok_or_else(|| Fault::new("unknown_store", "there is no such store"))?;
    let resolved = site.resolve(past.placed_at_local);
    let (placed_at, local_time) = resolved
        .filter(|(placed_at, _)| *placed_at <= now.plus(FUTURE_SLACK))
        .ok_or_else(|| Fault::new("invalid_time", "placed_at_local lies in the future"))?;
    let priced = pricing::price(&past.wanted, &catalog.items, site.currency);
    let priced = priced.map_err(|faults| describe(&faults))?;
    Ok(Order {
        id: OrderId::new(&app.clock),
        store_id: site.id,
        channel: past.channel,
        status: Status::Confirmed,
        cancel_reason: None,
        origin: OrderOrigin::Imported,
        placed_at,
        local_time,
        business_date: site.business_date(local_time),
        lines: priced.lines,
        total: priced.total,
        method: None,
        external: Some(External {
            source: source.to_owned(),
            id: past.external_id,
        }),
        created_at: now,
        closed_at: Some(now),
        confirmed_at: Some(now),
        cancellation: Cancellation::default(),
    })
}

fn describe(faults: &[(usize, pricing::LineFault)]) -> Fault {
    let Some((index, fault)) = faults.first() else {
        return Fault::new("invalid_lines", "the lines cannot be priced");
    };
    let (code, detail) = fault.describe();
    Fault::new(code, format!("lines[{index}]: {detail}"))
}

fn external_id(order: &Order) -> &str {
    order
        .external
        .as_ref()
        .map_or("", |external| external.id.as_str())
}

/// Whether two orders with the same external id are the same sale. Names are not compared: the menu
/// may have been corrected since.
fn same(a: &Order, b: &Order) -> bool {
    let sold = |order: &Order| -> Vec<(ItemId, i64, i64)> {
        let lines = order.lines.iter();
        lines
            .map(|line| (line.item.item_id, line.quantity, line.unit_price))
            .collect()
    };
    (a.store_id, a.channel, a.placed_at, a.total) == (b.store_id, b.channel, b.placed_at, b.total)
        && sold(a) == sold(b)
}

fn note_known(outcome: &mut Imported, index: usize, same: bool) {
    if same {
        outcome.duplicates += 1;
    } else {
        let detail = "an order with this external_id was imported with other content";
        outcome
            .rejected
            .push((index, Fault::new("content_differs", detail)));
    }
}

/// Inserts what is new. When another batch wins a race for some of it, the transaction is given up
/// and the batch looked at again.
async fn write(
    app: &AppState,
    source: &str,
    candidates: Vec<(usize, Order)>,
    outcome: &mut Imported,
) -> Result<(), UseCaseError> {
    for _ in 0..MAX_TRIES {
        let mut tx = app.db.begin().await?;
        let ids: Vec<&str> = candidates
            .iter()
            .map(|(_, order)| external_id(order))
            .collect();
        let known = orders::find_by_external_ids(&mut tx, source, &ids).await?;
        let known: HashMap<&str, &Order> = known
            .iter()
            .map(|order| (external_id(order), order))
            .collect();
        let is_new = |order: &Order| !known.contains_key(external_id(order));
        let new: Vec<&Order> = candidates
            .iter()
            .map(|(_, order)| order)
            .filter(|order| is_new(order))
            .collect();
        let inserted = orders::insert_orders(&mut tx, &new).await?;
        if inserted != new.len() as u64 {
            tx.rollback().await?;
            continue;
        }
        let events: Vec<(OrderId, OrderConfirmed)> = new
            .iter()
            .map(|order| (order.id, confirmed_event(order)))
            .collect();
        app.outbox.append_many(&mut tx, &events).await?;
        tx.commit().await?;
        outcome.created += new.len();
        for (index, order) in &candidates {
            if let Some(known) = known.get(external_id(order)) {
                note_known(outcome, *index, same(known, order));
            }
        }
        return Ok(());
    }
    Err(UseCaseError::InFlight)
}
