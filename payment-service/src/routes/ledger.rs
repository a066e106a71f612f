//! The money ledger, for reading.

use actix_web::{HttpResponse, get, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, ValidQuery};
use common::ids::StoreId;
use common::money::Money;
use serde::{Deserialize, Serialize};

use crate::app::AppState;
use crate::domain::ledger::Account;
use crate::store::ledger::{self, Balance};

/// Whose ledger.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BalancesQuery {
    /// Absent: the caller's stores together.
    store_id: Option<StoreId>,
}

impl Check for BalancesQuery {
    fn check(&self, _faults: &mut Faults) {}
}

/// An account of the ledger.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountOut {
    /// What the payment provider owes.
    ProviderClearing,
    /// What is in the drawers.
    CashDrawer,
    /// What was sold.
    SalesRevenue,
    /// What was given back.
    Refunds,
}

/// The balance of an account in one currency.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BalanceOut {
    account: AccountOut,
    /// Debits less credits: positive for what is owned, negative for income.
    balance: Money,
}

/// Balances; in each currency they sum to zero.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BalancesOut {
    items: Vec<BalanceOut>,
}

impl From<Account> for AccountOut {
    fn from(account: Account) -> Self {
        match account {
            Account::ProviderClearing => Self::ProviderClearing,
            Account::CashDrawer => Self::CashDrawer,
            Account::SalesRevenue => Self::SalesRevenue,
            Account::Refunds => Self::Refunds,
        }
    }
}

/// The balances of the money ledger. Needs the permission `PaymentsRead`.
#[access(query.store_id)]
#[utoipa::path(
    tag = "ledger", params(BalancesQuery),
    responses((status = 200, body = BalancesOut), (status = 404, body = Problem))
)]
#[get("/api/payments/ledger/balances")]
pub(crate) async fn balances(
    auth: Permit<permits::PaymentsRead>,
    state: web::Data<AppState>,
    query: ValidQuery<BalancesQuery>,
) -> Result<HttpResponse, ApiError> {
    let stores = auth.visible_stores(query.store_id)?;
    let mut tx = state.db.read().await?;
    let mut balances = Vec::new();
    match stores {
        None => balances = ledger::list_balances(&mut tx, None).await?,
        Some(stores) => {
            for store in stores {
                add_up(
                    &mut balances,
                    ledger::list_balances(&mut tx, Some(store)).await?,
                );
            }
        }
    }
    let items = balances.into_iter().map(|line| BalanceOut {
        account: line.account.into(),
        balance: line.balance,
    });
    Ok(HttpResponse::Ok().json(BalancesOut {
        items: items.collect(),
    }))
}

fn add_up(sums: &mut Vec<Balance>, more: Vec<Balance>) {
    for line in more {
        let known = sums.iter_mut().find(|sum| {
            sum.account == line.account && sum.balance.currency == line.balance.currency
        });
        match known {
            Some(sum) => {
                sum.balance.amount = sum.balance.amount.saturating_add(line.balance.amount)
            }
            None => sums.push(line),
        }
    }
}
