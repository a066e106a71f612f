//! What an order costs: the menu's prices, never the client's.

use std::collections::HashMap;

use common::ids::ItemId;
use common::money::{Currency, Money};

use super::menu::MenuItem;
use super::order::Line;

/// Most lines of one order.
pub(crate) const MAX_LINES: usize = 100;
/// Most pieces of one line.
pub(crate) const MAX_QUANTITY: i64 = 1_000;
/// Highest price of one piece, in minor units.
pub(crate) const MAX_PRICE: i64 = 1_000_000_000_000;

/// What a client wants to buy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) item_id: ItemId,
    pub(crate) quantity: i64,
    /// What was paid, for sales of the past; `None` takes the menu's price.
    pub(crate) sold_at: Option<Money>,
}

/// Why a line cannot be sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineFault {
    /// The menu has no such item.
    UnknownItem,
    /// The item is not sold at present.
    InactiveItem,
    /// The price is in another currency than the store's.
    OtherCurrency,
    /// The amount does not fit.
    TooLarge,
}

impl LineFault {
    /// The stable code, and what is meant.
    pub(crate) const fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::UnknownItem => ("unknown_item", "the menu has no such item"),
            Self::InactiveItem => ("inactive_item", "the item is not sold at present"),
            Self::OtherCurrency => ("other_currency", "the price is not in the store's currency"),
            Self::TooLarge => ("amount_too_large", "the amount is too large"),
        }
    }
}

/// Priced lines and their sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Priced {
    pub(crate) lines: Vec<Line>,
    pub(crate) total: Money,
}

/// Prices the lines in the order given. An item may occur in several lines; they stay apart, as
/// the guest ordered them.
///
/// Past sales (`sold_at`) are priced by what was paid, and may name items that are no longer sold.
///
/// # Errors
/// With the index and the fault of every line that cannot be sold.
pub(crate) fn price(
    wanted: &[Wanted],
    menu: &HashMap<ItemId, MenuItem>,
    currency: Currency,
) -> Result<Priced, Vec<(usize, LineFault)>> {
    let mut lines = Vec::with_capacity(wanted.len());
    let mut faults = Vec::new();
    let mut total = Money::zero(currency);
    for (index, wanted) in wanted.iter().enumerate() {
        let line = price_line(wanted, menu, currency);
        let sum = line.and_then(|line| {
            let net = Money::new(line.net_amount, currency);
            let sum = total
                .checked_add(net)
                .map_err(|_overflow| LineFault::TooLarge)?;
            Ok((line, sum))
        });
        match sum {
            Ok((line, sum)) => {
                total = sum;
                lines.push(line);
            }
            Err(fault) => faults.push((index, fault)),
        }
    }
    if faults.is_empty() {
        Ok(Priced { lines, total })
    } else {
        Err(faults)
    }
}

fn price_line(
    wanted: &Wanted,
    menu: &HashMap<ItemId, MenuItem>,
    currency: Currency,
) -> Result<Line, LineFault> {
    let item = menu.get(&wanted.item_id).ok_or(LineFault::UnknownItem)?;
    let price = match wanted.sold_at {
        None if !item.active => return Err(LineFault::InactiveItem),
        None => item.price,
        Some(paid) => paid,
    };
    if price.currency != currency {
        return Err(LineFault::OtherCurrency);
    }
    let net = price
        .checked_mul(wanted.quantity)
        .map_err(|_overflow| LineFault::TooLarge)?;
    Ok(Line {
        item: item.names.clone(),
        quantity: wanted.quantity,
        unit_price: price.amount,
        net_amount: net.amount,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::menu::ItemNames;
    use proptest::prelude::*;

    fn item(number: u128, amount: i64, currency: &str, active: bool) -> (ItemId, MenuItem) {
        let item_id = ItemId::from_uuid(uuid::Uuid::from_u128(number));
        let names = ItemNames {
            item_id,
            sku: format!("sku-{number}"),
            name: format!("Item {number}"),
            product_key: "p".to_owned(),
            product_name: "P".to_owned(),
            category: "c".to_owned(),
        };
        let price = Money::new(amount, currency.parse().unwrap());
        let item = MenuItem {
            names,
            price,
            active,
        };
        (item_id, item)
    }

    fn want(number: u128, quantity: i64) -> Wanted {
        Wanted {
            item_id: ItemId::from_uuid(uuid::Uuid::from_u128(number)),
            quantity,
            sold_at: None,
        }
    }

    #[test]
    fn every_faulty_line_is_named() {
        let menu = HashMap::from([
            item(1, 500, "USD", true),
            item(2, 500, "USD", false),
            item(3, 500, "KRW", true),
            item(4, i64::MAX, "USD", true),
        ]);
        let wanted = [want(1, 1), want(2, 1), want(3, 1), want(4, 2), want(5, 1)];
        let faults = price(&wanted, &menu, "USD".parse().unwrap()).unwrap_err();
        assert_eq!(
            faults,
            [
                (1, LineFault::InactiveItem),
                (2, LineFault::OtherCurrency),
                (3, LineFault::TooLarge),
                (4, LineFault::UnknownItem),
            ]
        );
    }

    #[test]
    fn past_sales_keep_their_price_and_may_name_retired_items() {
        let menu = HashMap::from([item(1, 500, "USD", false)]);
        let usd: Currency = "USD".parse().unwrap();
        let sold = Wanted {
            sold_at: Some(Money::new(450, usd)),
            ..want(1, 3)
        };
        assert_eq!(
            price(&[sold], &menu, usd).unwrap().total,
            Money::new(1_350, usd)
        );
    }

    proptest! {
        #[test]
        fn the_total_is_the_sum_of_its_lines(
            prices in prop::collection::vec(0..=MAX_PRICE, 1..8),
            picks in prop::collection::vec((any::<prop::sample::Index>(), 1..=MAX_QUANTITY), 1..=MAX_LINES),
        ) {
            let menu: HashMap<_, _> = (1_u128..)
                .zip(&prices)
                .map(|(number, amount)| item(number, *amount, "KRW", true))
                .collect();
            let wanted: Vec<_> = picks
                .iter()
                .map(|(pick, quantity)| want(pick.index(prices.len()) as u128 + 1, *quantity))
                .collect();
            let priced = price(&wanted, &menu, "KRW".parse().unwrap()).unwrap();
            prop_assert_eq!(priced.lines.len(), wanted.len());
            let sum: i64 = priced.lines.iter().map(|line| line.net_amount).sum();
            prop_assert_eq!(priced.total.amount, sum);
            for (line, wanted) in priced.lines.iter().zip(&wanted) {
                prop_assert_eq!(line.net_amount, line.unit_price * wanted.quantity);
            }
        }
    }
}
