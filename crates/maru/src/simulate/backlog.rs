//! A device's readings from the moment they are taken until the broker has acknowledged them.
//!
//! The MQTT library cannot be relied on for this: when the broker does not know the session any
//! more, as after its crash, rumqttc 0.25 drops everything that is unacknowledged (`EventLoop::poll`
//! clears `pending`). So a device keeps its readings itself, and a new connection starts with all
//! of them.

use std::collections::{BTreeMap, VecDeque};

/// Readings sent and not acknowledged at most.
pub(super) const MAX_IN_FLIGHT: usize = 32;
/// Readings kept at most; a device that cannot keep more measures no more.
pub(super) const CAPACITY: usize = 3_600;

/// A thing kept, with its place in the order of all.
#[derive(Debug)]
struct Kept<T> {
    number: u64,
    was_sent: bool,
    item: T,
}

/// The readings of one device that are not acknowledged, in order.
#[derive(Debug)]
pub(super) struct Backlog<T> {
    next_number: u64,
    waiting: VecDeque<Kept<T>>,
    /// Given to the MQTT library, which has not sent them yet. It sends in the same order.
    handed_over: VecDeque<Kept<T>>,
    /// Sent, by packet id.
    in_flight: BTreeMap<u16, Kept<T>>,
}

impl<T> Default for Backlog<T> {
    fn default() -> Self {
        Self {
            next_number: 0,
            waiting: VecDeque::new(),
            handed_over: VecDeque::new(),
            in_flight: BTreeMap::new(),
        }
    }
}

impl<T> Backlog<T> {
    /// Whether another reading can be kept.
    pub(super) fn has_room(&self) -> bool {
        self.len() < CAPACITY
    }

    /// Keeps a reading. The caller has looked whether there is room.
    pub(super) fn push(&mut self, item: T) {
        self.waiting.push_back(Kept {
            number: self.next_number,
            was_sent: false,
            item,
        });
        self.next_number += 1;
    }

    /// Whether the connection may take another one.
    pub(super) fn may_send(&self) -> bool {
        self.handed_over.len() + self.in_flight.len() < MAX_IN_FLIGHT
    }

    /// Whether there is one that the MQTT library does not have yet.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next one to give to the MQTT library, if there is one and it may be sent.
    pub(super) fn hand_over(&mut self) -> Option<&T> {
        if !self.may_send() {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.handed_over.push_back(next);
        self.handed_over.back().map(|kept| &kept.item)
    }

    /// The MQTT library has sent the next one under this id. Returns whether it was sent before.
    pub(super) fn sent(&mut self, packet_id: u16) -> bool {
        let Some(mut kept) = self.handed_over.pop_front() else {
            return false;
        };
        let again = std::mem::replace(&mut kept.was_sent, true);
        self.in_flight.insert(packet_id, kept);
        again
    }

    /// The broker has taken the one with this id. It is not kept any longer.
    pub(super) fn acknowledged(&mut self, packet_id: u16) -> Option<T> {
        self.in_flight.remove(&packet_id).map(|kept| kept.item)
    }

    /// The connection is gone: whatever was on its way waits again, in its old order.
    pub(super) fn connection_lost(&mut self) {
        let in_flight = std::mem::take(&mut self.in_flight);
        let mut on_the_way: Vec<_> = in_flight.into_values().collect();
        on_the_way.extend(self.handed_over.drain(..));
        on_the_way.sort_by_key(|kept| std::cmp::Reverse(kept.number));
        for kept in on_the_way {
            self.waiting.push_front(kept);
        }
    }

    /// How many are not acknowledged.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.handed_over.len() + self.in_flight.len()
    }

    /// Whether all are acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt as _, SeedableRng as _};

    /// Hands over whatever may go and says what went.
    fn hand_over_all(backlog: &mut Backlog<u64>) -> Vec<u64> {
        std::iter::from_fn(|| backlog.hand_over().copied()).collect()
    }

    #[test]
    fn what_is_unacknowledged_is_sent_again_in_order() {
        let mut backlog = Backlog::default();
        (0..5).for_each(|number| backlog.push(number));
        assert_eq!(hand_over_all(&mut backlog), [0, 1, 2, 3, 4]);
        for packet_id in [10, 11, 12, 13] {
            assert!(!backlog.sent(packet_id));
        }
        assert_eq!(backlog.acknowledged(11), Some(1));
        assert_eq!(backlog.acknowledged(11), None);
        backlog.connection_lost();
        backlog.push(5);
        assert_eq!(hand_over_all(&mut backlog), [0, 2, 3, 4, 5]);
        let again: Vec<_> = (1..=5).map(|packet_id| backlog.sent(packet_id)).collect();
        assert_eq!(again, [true, true, true, false, false]);
        assert_eq!(backlog.len(), 5);
    }

    #[test]
    fn only_so_many_are_on_their_way() {
        let mut backlog = Backlog::default();
        (0..100).for_each(|number| backlog.push(number));
        assert_eq!(hand_over_all(&mut backlog).len(), MAX_IN_FLIGHT);
        assert!(!backlog.sent(1));
        assert!(!backlog.may_send());
        assert_eq!(backlog.acknowledged(1), Some(0));
        assert_eq!(hand_over_all(&mut backlog), [MAX_IN_FLIGHT as u64]);
    }

    #[test]
    fn nothing_is_lost_and_nothing_doubled_whatever_happens() {
        for seed in 0..50 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let (mut backlog, mut acknowledged) = (Backlog::default(), Vec::new());
            let (mut pushed, mut next_id) = (0_u64, 0_u16);
            for _ in 0..2_000 {
                match rng.random_range(0..100) {
                    0..40 => {
                        if backlog.has_room() {
                            backlog.push(pushed);
                            pushed += 1;
                        }
                    }
                    40..60 => drop(hand_over_all(&mut backlog)),
                    60..80 => {
                        next_id += 1;
                        backlog.sent(next_id);
                    }
                    80..99 => {
                        let packet_id = rng.random_range(0..=next_id);
                        acknowledged.extend(backlog.acknowledged(packet_id));
                    }
                    _ => backlog.connection_lost(),
                }
            }
            backlog.connection_lost();
            while let Some(&number) = backlog.hand_over() {
                acknowledged.push(number);
                next_id += 1;
                backlog.sent(next_id);
                backlog.acknowledged(next_id);
            }
            acknowledged.sort_unstable();
            assert_eq!(acknowledged, (0..pushed).collect::<Vec<_>>(), "seed {seed}");
            assert!(backlog.is_empty());
        }
    }
}
