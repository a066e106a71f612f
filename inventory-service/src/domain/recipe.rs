//! From what is sold to what is consumed.

use std::collections::BTreeMap;

use common::ids::{ItemId, ProductId};

use super::quantity::Quantity;

/// One ingredient of one piece of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecipeLine {
    /// The item that is made.
    pub(crate) item_id: ItemId,
    /// The product that goes into it.
    pub(crate) product_id: ProductId,
    /// Base units for one piece.
    pub(crate) quantity: i64,
}

/// Base units by product.
pub(crate) type Needed = BTreeMap<ProductId, i64>;

/// An order needs more of a product than any store could hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the order needs more than {} base units of one product",
    Quantity::MAX
)]
pub(crate) struct TooMuch;

/// What an order of `sold` pieces consumes, by product. An item without a recipe is not tracked.
pub(crate) fn explode(
    sold: &BTreeMap<ItemId, i64>,
    recipes: &[RecipeLine],
) -> Result<Needed, TooMuch> {
    let mut needed = Needed::new();
    for line in recipes {
        let pieces = sold.get(&line.item_id).copied().unwrap_or(0);
        let units = line.quantity.checked_mul(pieces).ok_or(TooMuch)?;
        let total: &mut i64 = needed.entry(line.product_id).or_default();
        *total = total
            .checked_add(units)
            .filter(|sum| *sum <= Quantity::MAX)
            .ok_or(TooMuch)?;
    }
    needed.retain(|_, units| *units > 0);
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(value)
    }

    fn line(item: u128, product: u128, quantity: i64) -> RecipeLine {
        RecipeLine {
            item_id: ItemId::from_uuid(id(item)),
            product_id: ProductId::from_uuid(id(product)),
            quantity,
        }
    }

    #[test]
    fn two_items_share_an_ingredient() {
        let sold = BTreeMap::from([
            (ItemId::from_uuid(id(1)), 2),
            (ItemId::from_uuid(id(2)), 1),
            (ItemId::from_uuid(id(3)), 9),
        ]);
        let needed = explode(&sold, &[line(1, 10, 100), line(1, 11, 5), line(2, 10, 50)]).unwrap();
        let units: Vec<i64> = needed.values().copied().collect();
        assert_eq!(units, [250, 10]);
    }

    #[test]
    fn an_absurd_order_is_refused_not_wrapped() {
        let sold = BTreeMap::from([(ItemId::from_uuid(id(1)), i64::MAX)]);
        assert_eq!(explode(&sold, &[line(1, 10, 2)]), Err(TooMuch));
    }
}
