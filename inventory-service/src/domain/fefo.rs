//! First expired, first out: which lots a quantity is taken from.

use std::collections::BTreeMap;

use common::ids::{LotId, ProductId, StoreId};
use common::time::{CivilDate, Timestamp};

use super::Place;
use super::recipe::Needed;

/// A lot with stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lot {
    /// The lot.
    pub(crate) id: LotId,
    /// Last day on which it may be used; `None` keeps for ever.
    pub(crate) expires_on: Option<CivilDate>,
    /// When it came in.
    pub(crate) received_at: Timestamp,
    /// Base units left.
    pub(crate) remaining: i64,
}

/// A part of a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pick {
    /// Taken from this lot.
    pub(crate) lot: LotId,
    /// Base units taken.
    pub(crate) quantity: i64,
}

impl Lot {
    /// Whether it may still be promised to an order on `today`.
    pub(crate) fn is_usable(&self, today: CivilDate) -> bool {
        self.expires_on.is_none_or(|last_day| last_day >= today)
    }
}

/// Takes `quantity` from the lots: usable ones first, earliest expiry first, then first received.
/// Lots that expired between promise and use come last, so that a promise is kept.
///
/// `None` when all lots together hold less.
pub(crate) fn pick(lots: &[Lot], quantity: i64, today: CivilDate) -> Option<Vec<Pick>> {
    pick_by(lots, quantity, |lot| (!lot.is_usable(today), expiry(lot)))
}

/// By when a lot must be used, then by when it came in.
fn expiry(lot: &Lot) -> impl Ord + use<> {
    let keeps_for_ever = lot.expires_on.is_none();
    (keeps_for_ever, lot.expires_on, lot.received_at, lot.id)
}

/// Takes `quantity` from the lots with the smallest keys.
fn pick_by<K: Ord>(lots: &[Lot], quantity: i64, key: impl Fn(&Lot) -> K) -> Option<Vec<Pick>> {
    let mut ordered: Vec<&Lot> = lots.iter().filter(|lot| lot.remaining > 0).collect();
    ordered.sort_by_key(|lot| key(lot));
    let mut missing = quantity;
    let mut picks = Vec::new();
    for lot in ordered {
        if missing == 0 {
            break;
        }
        let taken = lot.remaining.min(missing);
        picks.push(Pick {
            lot: lot.id,
            quantity: taken,
        });
        missing -= taken;
    }
    (missing == 0).then_some(picks)
}

/// The lots of several places, from which orders take one after another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelves(BTreeMap<Place, Vec<Lot>>);

/// The lots of a product hold less than was promised.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the lots of product {0} hold less than its balance")]
pub(crate) struct TooFew(ProductId);

impl Shelves {
    /// Base units that may be promised on `today`.
    pub(crate) fn usable(&self, place: Place, today: CivilDate) -> i64 {
        let lots = self.0.get(&place).into_iter().flatten();
        let usable = lots.filter(|lot| lot.is_usable(today));
        usable.map(|lot| lot.remaining).sum()
    }

    /// Takes all that is needed from a store, of each product as [`pick`] says.
    ///
    /// # Errors
    /// When there is too little of a product. Nothing is taken then.
    pub(crate) fn take(
        &mut self,
        store: StoreId,
        needed: &Needed,
        today: CivilDate,
    ) -> Result<Vec<(Place, Pick)>, TooFew> {
        self.take_by(store, needed, |lots, quantity| pick(lots, quantity, today))
    }

    /// Takes what is gone from a store: the earliest expiry first, also what has expired.
    ///
    /// # Errors
    /// When there is too little of a product. Nothing is taken then.
    pub(crate) fn clear(
        &mut self,
        store: StoreId,
        gone: &Needed,
    ) -> Result<Vec<(Place, Pick)>, TooFew> {
        self.take_by(store, gone, |lots, quantity| {
            pick_by(lots, quantity, expiry)
        })
    }

    fn take_by(
        &mut self,
        store: StoreId,
        needed: &Needed,
        pick: impl Fn(&[Lot], i64) -> Option<Vec<Pick>>,
    ) -> Result<Vec<(Place, Pick)>, TooFew> {
        let mut taken = Vec::with_capacity(needed.len());
        for (product, quantity) in needed {
            let place = (store, *product);
            let lots = self.0.get(&place).map_or(&[][..], Vec::as_slice);
            let picks = pick(lots, *quantity).ok_or(TooFew(*product))?;
            taken.extend(picks.into_iter().map(|pick| (place, pick)));
        }
        for (place, pick) in &taken {
            let mut lots = self.0.get_mut(place).into_iter().flatten();
            if let Some(lot) = lots.find(|lot| lot.id == pick.lot) {
                lot.remaining -= pick.quantity;
            }
        }
        Ok(taken)
    }
}

impl FromIterator<(Place, Lot)> for Shelves {
    fn from_iter<I: IntoIterator<Item = (Place, Lot)>>(lots: I) -> Self {
        let mut shelves = Self::default();
        for (place, lot) in lots {
            shelves.0.entry(place).or_default().push(lot);
        }
        shelves
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lot(id: u128, expires_on: Option<&str>, remaining: i64) -> Lot {
        Lot {
            id: LotId::from_uuid(uuid::Uuid::from_u128(id)),
            expires_on: expires_on.map(|date| date.parse().unwrap()),
            received_at: Timestamp::from_unix_seconds(0),
            remaining,
        }
    }

    #[test]
    fn the_earliest_expiry_goes_first_and_expired_lots_last() {
        let today = "2026-03-10".parse().unwrap();
        let lots = [
            lot(1, None, 5),
            lot(2, Some("2026-03-20"), 5),
            lot(3, Some("2026-03-10"), 5),
            lot(4, Some("2026-03-09"), 5),
        ];
        let order: Vec<u128> = pick(&lots, 20, today)
            .unwrap()
            .iter()
            .map(|pick| pick.lot.as_uuid().as_u128())
            .collect();
        assert_eq!(order, [3, 2, 1, 4]);
        assert_eq!(pick(&lots, 21, today), None);
        let gone: Vec<u128> = pick_by(&lots, 20, expiry)
            .unwrap()
            .iter()
            .map(|pick| pick.lot.as_uuid().as_u128())
            .collect();
        assert_eq!(gone, [4, 3, 2, 1]);
    }

    #[test]
    fn whoever_takes_later_finds_what_is_left_and_a_vain_attempt_takes_nothing() {
        let today = "2026-03-10".parse().unwrap();
        let store = StoreId::from_uuid(uuid::Uuid::from_u128(1));
        let product = |value| ProductId::from_uuid(uuid::Uuid::from_u128(value));
        let mut shelves: Shelves = [
            ((store, product(1)), lot(1, Some("2026-03-12"), 5)),
            ((store, product(1)), lot(2, Some("2026-03-11"), 5)),
            ((store, product(2)), lot(3, Some("2026-03-09"), 5)),
        ]
        .into_iter()
        .collect();
        let mut take = |needed: &[(u128, i64)]| {
            let needed = needed.iter().map(|(p, units)| (product(*p), *units));
            let taken = shelves.take(store, &needed.collect(), today)?;
            Ok(taken
                .iter()
                .map(|(_, pick)| (pick.lot.as_uuid().as_u128(), pick.quantity))
                .collect::<Vec<_>>())
        };
        assert_eq!(take(&[(1, 10), (2, 6)]), Err(TooFew(product(2))));
        assert_eq!(take(&[(1, 6), (2, 5)]), Ok(vec![(2, 5), (1, 1), (3, 5)]));
        assert_eq!(take(&[(1, 4)]), Ok(vec![(1, 4)]));
        assert_eq!(take(&[(1, 1)]), Err(TooFew(product(1))));
        assert_eq!(shelves.usable((store, product(2)), today), 0);
    }

    proptest! {
        #[test]
        fn picks_add_up_and_never_exceed_a_lot(
            stock in prop::collection::vec((0_i64..50, 0_i16..40), 0..8),
            wanted in 1_i64..200,
        ) {
            let today: CivilDate = "2026-03-10".parse().unwrap();
            let lots: Vec<Lot> = stock
                .iter()
                .enumerate()
                .map(|(index, (remaining, day))| {
                    let date = jiff::civil::date(2026, 3, 1)
                        .checked_add(jiff::Span::new().days(i64::from(*day)))
                        .unwrap();
                    Lot {
                        expires_on: Some(CivilDate::from_jiff(date)),
                        ..lot(index as u128, None, *remaining)
                    }
                })
                .collect();
            let total: i64 = lots.iter().map(|lot| lot.remaining).sum();
            match pick(&lots, wanted, today) {
                None => prop_assert!(total < wanted),
                Some(picks) => {
                    prop_assert_eq!(picks.iter().map(|pick| pick.quantity).sum::<i64>(), wanted);
                    for pick in picks {
                        let lot = lots.iter().find(|lot| lot.id == pick.lot).unwrap();
                        prop_assert!(0 < pick.quantity && pick.quantity <= lot.remaining);
                    }
                }
            }
        }
    }
}
