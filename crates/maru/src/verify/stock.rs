//! Invariant 1: the fold of the stock ledger is the balance, the lots and what the API shows; what
//! is reserved is what reservations hold.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use contracts::services::ServiceName;
use store::Tx;
use uuid::Uuid;

use super::databases::Databases;
use super::verdict::Verdict;

/// A product in a store.
type Place = (Uuid, Uuid);
type Quantities = BTreeMap<Place, i64>;
type PlaceRow = (Uuid, Uuid, i64);

/// Judges the stock.
///
/// # Errors
/// When the inventory's database cannot be read.
pub(super) async fn check(databases: &Databases) -> Result<Verdict> {
    let mut verdict = Verdict::new(1, "Stock: ledger, balances and lots agree");
    let mut tx = databases.read(ServiceName::Inventory).await?;
    let fold = fold_of_ledger(&mut tx).await?;
    let lots = lots(&mut tx).await?;
    let held = held(&mut tx).await?;
    let (on_hand, reserved) = balances(&mut tx).await?;
    ledger_figures(&mut tx, &mut verdict).await?;
    verdict.figure("on hand", on_hand.values().sum());
    verdict.figure("reserved", reserved.values().sum());
    compare(&mut verdict, "ledger and balance", &fold, &on_hand);
    compare(&mut verdict, "lots and balance", &lots, &on_hand);
    compare(&mut verdict, "held and reserved", &held, &reserved);
    lots_against_ledger(&mut tx, &mut verdict).await?;
    Ok(verdict)
}

fn compare(verdict: &mut Verdict, what: &str, left: &Quantities, right: &Quantities) {
    let places: BTreeSet<&Place> = left.keys().chain(right.keys()).collect();
    for place in places {
        let of = |side: &Quantities| side.get(place).copied().unwrap_or(0);
        let (store, product) = place;
        let name = format_args!("{what} of product {product} in store {store}");
        verdict.expect_equal(name, of(left), of(right));
    }
}

fn by_place(rows: Vec<PlaceRow>) -> Quantities {
    rows.into_iter()
        .map(|(store, product, quantity)| ((store, product), quantity))
        .collect()
}

async fn fold_of_ledger(tx: &mut Tx) -> Result<Quantities> {
    let rows = store::fetch_all!(
        tx,
        PlaceRow,
        "SELECT store_id, product_id, CAST(SUM(quantity) AS bigint) \
         FROM movements GROUP BY store_id, product_id"
    )?;
    Ok(by_place(rows))
}

async fn lots(tx: &mut Tx) -> Result<Quantities> {
    let rows = store::fetch_all!(
        tx,
        PlaceRow,
        "SELECT store_id, product_id, CAST(SUM(remaining) AS bigint) \
         FROM lots GROUP BY store_id, product_id"
    )?;
    Ok(by_place(rows))
}

async fn held(tx: &mut Tx) -> Result<Quantities> {
    let rows = store::fetch_all!(
        tx,
        PlaceRow,
        "SELECT r.store_id, l.product_id, CAST(SUM(l.quantity) AS bigint) \
         FROM reservations r JOIN reservation_lines l ON l.reservation_id = r.id \
         WHERE r.state = 'held' GROUP BY r.store_id, l.product_id"
    )?;
    Ok(by_place(rows))
}

async fn balances(tx: &mut Tx) -> Result<(Quantities, Quantities)> {
    let rows = store::fetch_all!(
        tx,
        (Uuid, Uuid, i64, i64),
        "SELECT store_id, product_id, on_hand, reserved FROM balances"
    )?;
    let on_hand = rows.iter().map(|row| ((row.0, row.1), row.2)).collect();
    let reserved = rows.iter().map(|row| ((row.0, row.1), row.3)).collect();
    Ok((on_hand, reserved))
}

/// The terms of the sum, by kind of movement.
async fn ledger_figures(tx: &mut Tx, verdict: &mut Verdict) -> Result<()> {
    let kinds = store::fetch_all!(
        tx,
        (String, i64, i64),
        "SELECT kind, CAST(COUNT(*) AS bigint), CAST(SUM(quantity) AS bigint) \
         FROM movements GROUP BY kind ORDER BY kind"
    )?;
    verdict.figure("movements", kinds.iter().map(|(_, count, _)| count).sum());
    for (kind, _, sum) in kinds {
        verdict.named_figure(kind, sum);
    }
    Ok(())
}

async fn lots_against_ledger(tx: &mut Tx, verdict: &mut Verdict) -> Result<()> {
    let differing = store::fetch_all!(
        tx,
        (Uuid, i64, i64),
        "SELECT l.id, l.remaining, CAST(COALESCE(SUM(m.quantity), 0) AS bigint) \
         FROM lots l LEFT JOIN movements m ON m.lot_id = l.id \
         GROUP BY l.id, l.remaining \
         HAVING l.remaining <> COALESCE(SUM(m.quantity), 0)"
    )?;
    for (lot, remaining, moved) in differing {
        verdict.expect_equal(
            format_args!("rest and ledger of lot {lot}"),
            remaining,
            moved,
        );
    }
    Ok(())
}
