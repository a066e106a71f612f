//! The last term of invariant 1: the balance that the API shows is the balance in the database.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use contracts::services::ServiceName;
use serde::Deserialize;
use uuid::Uuid;

use super::databases::Databases;
use super::verdict::Verdict;
use crate::client::Gateway;

/// On hand and reserved, by product.
type Balances = BTreeMap<Uuid, (i64, i64)>;

#[derive(Debug, Deserialize)]
struct BalanceOut {
    product_id: Uuid,
    on_hand: i64,
    reserved: i64,
}

/// Adds the comparison with the API to the verdict on the stock.
///
/// # Errors
/// When the database or the API cannot be read.
pub(super) async fn check(
    databases: &Databases,
    api: Option<&Gateway>,
    verdict: &mut Verdict,
) -> Result<()> {
    let Some(api) = api else {
        verdict.note("without the owner's password the API was not asked");
        return Ok(());
    };
    let mut compared = 0;
    for (store, stored) in stored(databases).await? {
        let mut shown = shown(api, store).await?;
        for (product, balance) in stored {
            compared += 1;
            let shown = shown.remove(&product).unwrap_or_default();
            if shown != balance {
                verdict.fault(format!(
                    "the API shows {shown:?} on hand and reserved of product {product} in store \
                     {store}, the database has {balance:?}"
                ));
            }
        }
        for (product, balance) in shown {
            if balance != (0, 0) {
                verdict.fault(format!(
                    "the API shows {balance:?} of product {product} in store {store}, which has none"
                ));
            }
        }
    }
    verdict.figure("balances shown by the API", compared);
    Ok(())
}

async fn stored(databases: &Databases) -> Result<BTreeMap<Uuid, Balances>> {
    let mut tx = databases.read(ServiceName::Inventory).await?;
    let rows = store::fetch_all!(
        tx,
        (Uuid, Uuid, i64, i64),
        "SELECT store_id, product_id, on_hand, reserved FROM balances"
    )?;
    let mut stores: BTreeMap<Uuid, Balances> = BTreeMap::new();
    for (store, product, on_hand, reserved) in rows {
        let balances = stores.entry(store).or_default();
        balances.insert(product, (on_hand, reserved));
    }
    Ok(stores)
}

async fn shown(api: &Gateway, store: Uuid) -> Result<Balances> {
    let path = format!("/api/inventory/stock?store_id={store}");
    let mut pages = api.pages::<BalanceOut>(path);
    let mut shown = Balances::new();
    while let Some(page) = pages.next().await.context("the stock cannot be listed")? {
        shown.extend(
            page.into_iter()
                .map(|row| (row.product_id, (row.on_hand, row.reserved))),
        );
    }
    Ok(shown)
}
