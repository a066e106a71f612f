//! Invariant 3: a confirmed order is paid and its stock is consumed; a cancelled one holds neither
//! money nor stock. The three databases are joined here by the order's id.

use std::collections::BTreeMap;

use anyhow::Result;
use contracts::services::ServiceName;
use sqlx::FromRow;
use uuid::Uuid;

use super::databases::Databases;
use super::verdict::Verdict;

#[derive(FromRow)]
struct OrderRow {
    id: Uuid,
    status: String,
    origin: String,
    currency: String,
    total_amount: i64,
}

/// What payment-service has for one order.
#[derive(Default)]
struct Money {
    captured: i64,
    refunded: i64,
    currency: String,
    /// States of intents that may hold or take money.
    holding: Vec<String>,
}

/// What inventory-service has for one order.
#[derive(Default)]
struct Stock {
    state: String,
    /// Units in the reservation's lines.
    reserved: i64,
    /// Units that the ledger took for the order, less those it put back.
    consumed: i64,
}

/// Judges every order against its money and its stock.
///
/// # Errors
/// When a database cannot be read.
pub(super) async fn check(databases: &Databases) -> Result<Verdict> {
    let mut verdict = Verdict::new(
        3,
        "Orders: confirmed ones are paid and consumed, cancelled ones hold nothing",
    );
    let orders = orders(databases).await?;
    let mut money = money(databases).await?;
    let mut stock = stock(databases).await?;
    for status in ["pending", "confirmed", "cancelling", "cancelled"] {
        let of_status = orders
            .iter()
            .filter(|order| order.status == status && order.origin == "live");
        verdict.named_figure(
            status.to_owned(),
            i64::try_from(of_status.count()).unwrap_or(i64::MAX),
        );
    }
    let imported = orders.iter().filter(|order| order.origin != "live").count();
    verdict.figure("imported", i64::try_from(imported).unwrap_or(i64::MAX));
    for order in &orders {
        let money = money.remove(&order.id);
        let stock = stock.remove(&order.id);
        match (order.origin.as_str(), order.status.as_str()) {
            ("live", "confirmed") => judge_confirmed(&mut verdict, order, money, stock),
            ("live", "cancelled") => judge_cancelled(&mut verdict, order.id, money, stock),
            // Under way: not for this invariant to judge.
            ("live", _) => {}
            _ => judge_untouched(&mut verdict, order.id, money.is_some(), stock.is_some()),
        }
    }
    // What is left belongs to no order.
    for (order, money) in money {
        judge_cancelled(&mut verdict, order, Some(money), None);
    }
    for (order, stock) in stock {
        judge_cancelled(&mut verdict, order, None, Some(stock));
    }
    Ok(verdict)
}

fn judge_confirmed(
    verdict: &mut Verdict,
    order: &OrderRow,
    money: Option<Money>,
    stock: Option<Stock>,
) {
    let id = order.id;
    let money = money.unwrap_or_default();
    if money.captured != order.total_amount
        || (order.total_amount > 0 && money.currency != order.currency)
    {
        verdict.fault(format!(
            "order {id} is confirmed over {} {}, but {} {} were captured",
            order.total_amount, order.currency, money.captured, money.currency
        ));
    }
    let stock = stock.unwrap_or_default();
    if stock.state != "committed" || stock.consumed != stock.reserved {
        verdict.fault(format!(
            "order {id} is confirmed, but its reservation of {} units is `{}` and {} are consumed",
            stock.reserved, stock.state, stock.consumed
        ));
    }
}

fn judge_cancelled(verdict: &mut Verdict, order: Uuid, money: Option<Money>, stock: Option<Stock>) {
    let money = money.unwrap_or_default();
    if money.captured != money.refunded || !money.holding.is_empty() {
        verdict.fault(format!(
            "order {order} is cancelled or unknown, but {} of {} captured are refunded and intents are [{}]",
            money.refunded,
            money.captured,
            money.holding.join(", ")
        ));
    }
    let stock = stock.unwrap_or_default();
    if matches!(stock.state.as_str(), "held" | "committed") || stock.consumed != 0 {
        verdict.fault(format!(
            "order {order} is cancelled or unknown, but its reservation is `{}` and {} units are consumed",
            stock.state, stock.consumed
        ));
    }
}

fn judge_untouched(verdict: &mut Verdict, order: Uuid, money: bool, stock: bool) {
    if money || stock {
        verdict.fault(format!(
            "order {order} was imported, but has money or stock"
        ));
    }
}

async fn orders(databases: &Databases) -> Result<Vec<OrderRow>> {
    let mut tx = databases.read(ServiceName::Order).await?;
    Ok(store::fetch_all!(
        tx,
        OrderRow,
        "SELECT id, status, origin, currency, total_amount FROM orders"
    )?)
}

#[derive(FromRow)]
struct IntentRow {
    order_id: Uuid,
    state: String,
    captured: i64,
    refunded: i64,
    currency: String,
}

async fn money(databases: &Databases) -> Result<BTreeMap<Uuid, Money>> {
    let mut tx = databases.read(ServiceName::Payment).await?;
    let rows = store::fetch_all!(
        tx,
        IntentRow,
        "SELECT order_id, state, captured, refunded, currency FROM intents"
    )?;
    let mut by_order: BTreeMap<Uuid, Money> = BTreeMap::new();
    for row in rows {
        let money = by_order.entry(row.order_id).or_default();
        money.captured += row.captured;
        money.refunded += row.refunded;
        if row.captured > 0 {
            money.currency = row.currency;
        }
        if !matches!(row.state.as_str(), "declined" | "voided" | "refunded") {
            money.holding.push(row.state);
        }
    }
    Ok(by_order)
}

async fn stock(databases: &Databases) -> Result<BTreeMap<Uuid, Stock>> {
    let mut tx = databases.read(ServiceName::Inventory).await?;
    let reservations = store::fetch_all!(
        tx,
        (Uuid, String, i64),
        "SELECT r.order_id, r.state, CAST(COALESCE(SUM(l.quantity), 0) AS bigint) \
         FROM reservations r LEFT JOIN reservation_lines l ON l.reservation_id = r.id \
         GROUP BY r.order_id, r.state"
    )?;
    let mut by_order: BTreeMap<Uuid, Stock> = reservations
        .into_iter()
        .map(|(order, state, reserved)| {
            let stock = Stock {
                state,
                reserved,
                consumed: 0,
            };
            (order, stock)
        })
        .collect();
    let movements = store::fetch_all!(
        tx,
        (String, i64),
        "SELECT reference, CAST(-SUM(quantity) AS bigint) FROM movements \
         WHERE kind IN ('consumption', 'restock') GROUP BY reference"
    )?;
    for (reference, consumed) in movements {
        // Every consumption refers to an order; one that does not is shown as an unknown order.
        let order = reference.parse().unwrap_or_default();
        by_order.entry(order).or_default().consumed += consumed;
    }
    Ok(by_order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(status: &str, total: i64) -> OrderRow {
        OrderRow {
            id: Uuid::nil(),
            status: status.to_owned(),
            origin: "live".to_owned(),
            currency: "USD".to_owned(),
            total_amount: total,
        }
    }

    fn money(captured: i64, refunded: i64, holding: &[&str]) -> Option<Money> {
        Some(Money {
            captured,
            refunded,
            currency: "USD".to_owned(),
            holding: holding.iter().map(|&state| state.to_owned()).collect(),
        })
    }

    fn stock(state: &str, reserved: i64, consumed: i64) -> Option<Stock> {
        Some(Stock {
            state: state.to_owned(),
            reserved,
            consumed,
        })
    }

    #[test]
    fn a_confirmed_order_is_paid_in_full_and_consumed() {
        let passes = |money, stock| {
            let mut verdict = Verdict::new(3, "Orders");
            judge_confirmed(&mut verdict, &order("confirmed", 900), money, stock);
            verdict.passed()
        };
        assert!(passes(
            money(900, 0, &["captured"]),
            stock("committed", 5, 5)
        ));
        assert!(passes(
            money(900, 100, &["partially_refunded"]),
            stock("committed", 0, 0)
        ));
        assert!(!passes(
            money(800, 0, &["captured"]),
            stock("committed", 5, 5)
        ));
        assert!(!passes(None, stock("committed", 5, 5)));
        assert!(!passes(money(900, 0, &["captured"]), stock("held", 5, 0)));
        assert!(!passes(
            money(900, 0, &["captured"]),
            stock("committed", 5, 10)
        ));
        assert!(!passes(money(900, 0, &["captured"]), None));
    }

    #[test]
    fn a_cancelled_order_holds_nothing() {
        let passes = |money, stock| {
            let mut verdict = Verdict::new(3, "Orders");
            judge_cancelled(&mut verdict, Uuid::nil(), money, stock);
            verdict.passed()
        };
        assert!(passes(None, None));
        assert!(passes(money(900, 900, &[]), stock("restocked", 5, 0)));
        assert!(passes(money(0, 0, &[]), stock("refused", 5, 0)));
        assert!(!passes(
            money(0, 0, &["authorized"]),
            stock("released", 5, 0)
        ));
        assert!(!passes(
            money(900, 0, &["captured"]),
            stock("restocked", 5, 0)
        ));
        assert!(!passes(None, stock("held", 5, 0)));
        assert!(!passes(None, stock("released", 5, 5)));
    }
}
