//! Invariant 7: the read model is what its events make of it, and those are the orders.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use contracts::services::ServiceName;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::databases::Databases;
use super::verdict::Verdict;
use crate::client::Gateway;

/// One sale, as the orders and as the read model know it.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
struct Sale {
    id: Uuid,
    store_id: Uuid,
    currency: String,
    origin: String,
    net_amount: i64,
}

/// What analytics-service says about a rebuild.
#[derive(Debug, Deserialize)]
struct Rebuilt {
    events: i64,
    equal: bool,
}

/// Judges the read model. `api` asks analytics-service to rebuild it from its events and compare.
///
/// # Errors
/// When a database or the service cannot be read.
pub(super) async fn check(databases: &Databases, api: Option<&Gateway>) -> Result<Verdict> {
    let mut verdict = Verdict::new(
        7,
        "Read model: a rebuild equals the live one and the orders",
    );
    let sold = sold(databases).await?;
    let analysed = analysed(databases).await?;
    verdict.figure("orders that count", to_i64(sold.len()));
    verdict.figure("orders in the read model", to_i64(analysed.len()));
    let sum = |sales: &BTreeMap<Uuid, Sale>| sales.values().map(|sale| sale.net_amount).sum();
    verdict.figure("sold", sum(&sold));
    verdict.figure("sold in the read model", sum(&analysed));
    for (id, sale) in &sold {
        match analysed.get(id) {
            None => verdict.fault(format!("order {id} is missing in the read model")),
            Some(seen) if seen != sale => {
                verdict.fault(format!(
                    "order {id} is {sale:?}, in the read model {seen:?}"
                ));
            }
            Some(_) => {}
        }
    }
    for id in analysed.keys().filter(|id| !sold.contains_key(id)) {
        verdict.fault(format!(
            "the read model counts order {id}, which does not count"
        ));
    }
    refunds(databases, &mut verdict).await?;
    let Some(api) = api else {
        verdict.note("without the owner's password no rebuild was asked for");
        return Ok(verdict);
    };
    let answer = api
        .post("/api/analytics/read-model/compare")
        .repeatable()
        .send::<Rebuilt>()
        .await
        .context("analytics-service could not compare a rebuild")?;
    verdict.figure("events rebuilt from", answer.body.events);
    if !answer.body.equal {
        verdict.fault("the rebuilt read model differs from the live one");
    }
    Ok(verdict)
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn by_id(sales: Vec<Sale>) -> BTreeMap<Uuid, Sale> {
    sales.into_iter().map(|sale| (sale.id, sale)).collect()
}

async fn sold(databases: &Databases) -> Result<BTreeMap<Uuid, Sale>> {
    let mut tx = databases.read(ServiceName::Order).await?;
    let rows = store::fetch_all!(
        tx,
        Sale,
        "SELECT id, store_id, currency, origin, total_amount AS net_amount FROM orders \
         WHERE status = 'confirmed'"
    )?;
    Ok(by_id(rows))
}

async fn analysed(databases: &Databases) -> Result<BTreeMap<Uuid, Sale>> {
    let mut tx = databases.read(ServiceName::Analytics).await?;
    let rows = store::fetch_all!(
        tx,
        Sale,
        "SELECT order_id AS id, store_id, currency, origin, net_amount FROM sales_orders"
    )?;
    Ok(by_id(rows))
}

/// Analytics knows of every unit that went back.
async fn refunds(databases: &Databases, verdict: &mut Verdict) -> Result<()> {
    let mut tx = databases.read(ServiceName::Analytics).await?;
    let known = store::fetch_all!(
        tx,
        (Uuid, i64),
        "SELECT intent_id, CAST(SUM(amount) AS bigint) FROM refunds GROUP BY intent_id"
    )?;
    let mut known: BTreeMap<Uuid, i64> = known.into_iter().collect();
    let mut tx = databases.read(ServiceName::Payment).await?;
    let paid_back = store::fetch_all!(
        tx,
        (Uuid, i64),
        "SELECT id, refunded FROM intents WHERE refunded > 0"
    )?;
    for (intent, refunded) in paid_back {
        let seen = known.remove(&intent).unwrap_or(0);
        verdict.expect_equal(format_args!("refunds of intent {intent}"), refunded, seen);
    }
    for (intent, seen) in known {
        verdict.expect_equal(format_args!("refunds of intent {intent}"), 0, seen);
    }
    Ok(())
}
