//! Sales reports.

use ::store::Tx;
use common::ids::StoreId;
use common::money::{Currency, Money};
use common::time::{CivilDate, Timestamp};

use super::AppState;
use crate::domain::{Dimension, average};
use crate::error::UseCaseError;
use crate::store::{event_log, sales};

/// Which sales a report is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Period {
    /// First business date.
    pub(crate) from: CivilDate,
    /// Last business date.
    pub(crate) to: CivilDate,
    /// One store, or all.
    pub(crate) store: Option<StoreId>,
}

/// The totals of a period.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) orders: i64,
    pub(crate) items_sold: i64,
    pub(crate) gross_sales: Money,
    pub(crate) refunds: Money,
    pub(crate) net_sales: Money,
    pub(crate) average_order_value: Money,
    pub(crate) days_with_sales: i64,
    /// When the last event was taken into account.
    pub(crate) as_of: Option<Timestamp>,
}

/// Sums up a period.
pub(crate) async fn summary(app: &AppState, period: Period) -> Result<Summary, UseCaseError> {
    let mut tx = app.db.read().await?;
    let currency = currency(&mut tx, period).await?;
    let totals = sales::totals(&mut tx, period).await?;
    let refunds = sales::refunded(&mut tx, period).await?;
    let net = totals.net_amount - refunds;
    Ok(Summary {
        orders: totals.orders,
        items_sold: totals.items,
        gross_sales: Money::new(totals.net_amount, currency),
        refunds: Money::new(refunds, currency),
        net_sales: Money::new(net, currency),
        average_order_value: average(net, totals.orders, currency),
        days_with_sales: totals.days,
        as_of: event_log::last_event_at(&mut tx).await?,
    })
}

/// One row of a breakdown.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) orders: i64,
    pub(crate) quantity: i64,
    pub(crate) net_sales: Money,
}

/// Splits a period's sales by a dimension.
pub(crate) async fn breakdown(
    app: &AppState,
    dimension: Dimension,
    period: Period,
    limit: i64,
) -> Result<Vec<Group>, UseCaseError> {
    let mut tx = app.db.read().await?;
    let currency = currency(&mut tx, period).await?;
    let rows = sales::list_groups(&mut tx, dimension, period, limit).await?;
    Ok(rows
        .into_iter()
        .map(|row| Group {
            name: dimension.label(&row.key, row.name),
            key: row.key,
            orders: row.orders,
            quantity: row.quantity,
            net_sales: Money::new(row.net_amount, currency),
        })
        .collect())
}

/// The one currency of a period's sales.
async fn currency(tx: &mut Tx, period: Period) -> Result<Currency, UseCaseError> {
    match sales::currencies(tx, period).await? {
        (Some(first), Some(last)) if first == last => Ok(first),
        (Some(_), Some(_)) => Err(UseCaseError::MixedCurrencies),
        _ => {
            let known = sales::last_currency(tx, period.store).await?;
            Ok(known.unwrap_or(Currency::NONE))
        }
    }
}
