//! Sales reports.

use actix_web::{HttpResponse, get, web};
use common::auth::{Permit, Principal, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, ValidQuery};
use common::ids::StoreId;
use common::money::Money;
use common::time::{CivilDate, Timestamp};
use serde::{Deserialize, Serialize};

use crate::app::AppState;
use crate::app::report::{self, Group, Period, Summary};
use crate::domain::Dimension;

/// Rows of one breakdown at most.
const MAX_ROWS: u32 = 5_000;

/// Which sales.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PeriodQuery {
    /// First business date.
    #[param(value_type = String, format = Date)]
    from: CivilDate,
    /// Last business date.
    #[param(value_type = String, format = Date)]
    to: CivilDate,
    /// One store; all stores of the chain when absent.
    #[param(value_type = Option<String>, format = Uuid)]
    store_id: Option<StoreId>,
    /// Rows of a breakdown, from 1 to 5000; 5000 when absent. A summary takes no notice of it.
    limit: Option<u32>,
}

impl Check for PeriodQuery {
    fn check(&self, faults: &mut Faults) {
        faults.require(
            self.from <= self.to,
            "to",
            "before_from",
            "must not be before from",
        );
        let limit = self
            .limit
            .is_none_or(|limit| (1..=MAX_ROWS).contains(&limit));
        faults.require(limit, "limit", "out_of_range", "from 1 to 5000");
    }
}

impl PeriodQuery {
    fn period(&self, caller: &Principal, max_days: i32) -> Result<Period, ApiError> {
        let days = self
            .to
            .to_jiff()
            .since(self.from.to_jiff())
            .map_err(ApiError::internal)?;
        if days.get_days() >= max_days {
            let detail = format!("A report covers at most {max_days} days.");
            return Err(ApiError::unprocessable("period_too_long", detail));
        }
        let store = caller.one_store_or_all(self.store_id)?;
        Ok(Period {
            from: self.from,
            to: self.to,
            store,
        })
    }
}

/// The totals of a period. Orders that were cancelled do not count.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SummaryOut {
    orders: i64,
    items_sold: i64,
    gross_sales: Money,
    /// Partial refunds of orders that still count.
    refunds: Money,
    /// Gross sales minus refunds.
    net_sales: Money,
    /// Net sales divided by orders, rounded half away from zero.
    average_order_value: Money,
    days_with_sales: i64,
    /// When the last event was taken into account.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<Timestamp>,
}

impl From<Summary> for SummaryOut {
    fn from(totals: Summary) -> Self {
        Self {
            orders: totals.orders,
            items_sold: totals.items_sold,
            gross_sales: totals.gross_sales,
            refunds: totals.refunds,
            net_sales: totals.net_sales,
            average_order_value: totals.average_order_value,
            days_with_sales: totals.days_with_sales,
            as_of: totals.as_of,
        }
    }
}

/// The sales of a period, by business date. Needs the permission `AnalyticsRead`.
#[access(query.store_id)]
#[utoipa::path(
    tag = "sales", params(PeriodQuery),
    responses((status = 200, body = SummaryOut), (status = 404, body = Problem), (status = 422, body = Problem))
)]
#[get("/api/analytics/sales/summary")]
pub(crate) async fn summary(
    auth: Permit<permits::AnalyticsRead>,
    state: web::Data<AppState>,
    query: ValidQuery<PeriodQuery>,
) -> Result<HttpResponse, ApiError> {
    let period = query.period(&auth, state.reports.max_days)?;
    let totals = report::summary(&state, period).await?;
    Ok(HttpResponse::Ok().json(SummaryOut::from(totals)))
}

/// A breakdown of sales.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BreakdownOut {
    items: Vec<GroupOut>,
}

/// The sales of one item, product, category, hour, weekday, day or month.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct GroupOut {
    /// SKU, product key, category, hour (0 to 23), ISO weekday (1 is Monday), date or month.
    key: String,
    name: String,
    /// Orders that hold it.
    orders: i64,
    /// Pieces sold.
    quantity: i64,
    net_sales: Money,
}

impl From<Group> for GroupOut {
    fn from(group: Group) -> Self {
        Self {
            key: group.key,
            name: group.name,
            orders: group.orders,
            quantity: group.quantity,
            net_sales: group.net_sales,
        }
    }
}

/// The sales of a period by `item`, `product`, `category` (largest first), `hour`, `weekday`, `day`
/// or `month` (in the order of time). Needs the permission `AnalyticsRead`.
#[access(query.store_id)]
#[utoipa::path(
    tag = "sales",
    params(("dimension" = String, Path), PeriodQuery),
    responses((status = 200, body = BreakdownOut), (status = 404, body = Problem), (status = 422, body = Problem))
)]
#[get("/api/analytics/sales/by-{dimension}")]
pub(crate) async fn breakdown(
    auth: Permit<permits::AnalyticsRead>,
    state: web::Data<AppState>,
    dimension: web::Path<String>,
    query: ValidQuery<PeriodQuery>,
) -> Result<HttpResponse, ApiError> {
    let dimension = Dimension::parse(&dimension).ok_or_else(|| ApiError::not_found("report"))?;
    let period = query.period(&auth, state.reports.max_days)?;
    let limit = i64::from(query.limit.unwrap_or(MAX_ROWS));
    let groups = report::breakdown(&state, dimension, period, limit).await?;
    let items = groups.into_iter().map(GroupOut::from).collect();
    Ok(HttpResponse::Ok().json(BreakdownOut { items }))
}
