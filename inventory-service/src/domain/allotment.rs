//! What several orders may hold of what there is: each of them all that it needs, or nothing.

use std::collections::BTreeMap;

use common::ids::{ProductId, StoreId};

use super::Place;
use super::recipe::Needed;

/// Base units that may be promised, by place. A place that is not listed has none.
#[derive(Clone, Debug)]
pub(crate) struct Free(BTreeMap<Place, i64>);

/// Too little of a product for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    /// The product.
    pub(crate) product_id: ProductId,
    /// Base units that the order needs.
    pub(crate) wanted: i64,
    /// Base units that it could have had.
    pub(crate) available: i64,
}

impl Free {
    /// Promises an order all that it needs from a store.
    ///
    /// # Errors
    /// Every product of which there is too little. Nothing is promised then.
    pub(crate) fn allot(&mut self, store: StoreId, needed: &Needed) -> Result<(), Vec<Lack>> {
        let lacks: Vec<Lack> = needed
            .iter()
            .map(|(product, wanted)| Lack {
                product_id: *product,
                wanted: *wanted,
                available: self.at((store, *product)).max(0),
            })
            .filter(|lack| lack.available < lack.wanted)
            .collect();
        if !lacks.is_empty() {
            return Err(lacks);
        }
        for (product, wanted) in needed {
            *self.0.entry((store, *product)).or_default() -= wanted;
        }
        Ok(())
    }

    fn at(&self, place: Place) -> i64 {
        self.0.get(&place).copied().unwrap_or(0)
    }
}

impl FromIterator<(Place, i64)> for Free {
    fn from_iter<I: IntoIterator<Item = (Place, i64)>>(free: I) -> Self {
        Self(free.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(value: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(value)
    }

    fn place(store: u128, product: u128) -> Place {
        (
            StoreId::from_uuid(id(store)),
            ProductId::from_uuid(id(product)),
        )
    }

    fn needed(lines: &[(u128, i64)]) -> Needed {
        let lines = lines.iter();
        lines
            .map(|(product, units)| (ProductId::from_uuid(id(*product)), *units))
            .collect()
    }

    #[test]
    fn an_order_gets_all_or_nothing_and_the_next_one_gets_what_is_left() {
        let mut free: Free = [(place(1, 10), 5), (place(1, 11), 3), (place(2, 10), 1)]
            .into_iter()
            .collect();
        let (here, there) = (place(1, 10).0, place(2, 10).0);
        let lack = |product, wanted, available| Lack {
            product_id: place(0, product).1,
            wanted,
            available,
        };
        let too_much = free.allot(here, &needed(&[(10, 4), (11, 4), (12, 1)]));
        assert_eq!(too_much, Err(vec![lack(11, 4, 3), lack(12, 1, 0)]));
        assert_eq!(free.allot(here, &needed(&[(10, 4), (11, 3)])), Ok(()));
        assert_eq!(
            free.allot(here, &needed(&[(10, 2)])),
            Err(vec![lack(10, 2, 1)])
        );
        assert_eq!(free.allot(there, &needed(&[(10, 1)])), Ok(()));
        assert_eq!(free.allot(here, &needed(&[])), Ok(()));
    }

    proptest! {
        #[test]
        fn no_more_is_promised_than_there_is(
            stock in prop::collection::vec(0_i64..30, 3),
            orders in prop::collection::vec(prop::collection::btree_map(0_u128..3, 1_i64..9, 0..3), 0..20),
        ) {
            let mut free: Free = (0..).zip(&stock).map(|(p, units)| (place(1, p), *units)).collect();
            let mut left = stock;
            for order in orders {
                let lines: Vec<(u128, i64)> = order.into_iter().collect();
                let fits = lines.iter().all(|(p, units)| left[usize::try_from(*p).unwrap()] >= *units);
                prop_assert_eq!(free.allot(place(1, 0).0, &needed(&lines)).is_ok(), fits);
                for (p, units) in lines.iter().filter(|_| fits) {
                    left[usize::try_from(*p).unwrap()] -= units;
                }
            }
        }
    }
}
