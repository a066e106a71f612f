//! Delays after failed logins and other guesses, so that passwords cannot be guessed in bulk and
//! nobody can lock somebody else out.
//!
//! Failures are counted three times: for the account at this address, for this address, and for the
//! account anywhere. The first count delays always, and only this address' tries of this account.
//! The other two delay only at addresses from which the account never signed in, so an attacker
//! elsewhere does not slow its owner down. Nobody is locked out for good: delays grow up to a limit
//! and failures are forgotten.
//!
//! The counts are kept in Redis when there is one, so that replicas share them, and in this process
//! as well, which takes over while Redis is away. Redis may answer and take nothing (its memory or its
//! disk is full, it is a replica): of what it did not take, the longer delay holds.

mod local;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use common::clock::Clock;
use ring::hmac;

use self::local::LocalCounts;
pub(crate) use self::shared::SharedCounts;
use crate::client_address::ClientAddress;
use crate::domain::progression::{Failures, Progression};
use crate::keys::hex;
use crate::settings::ThrottleSettings;

/// Bytes of a blinded key: enough that two never meet.
const KEY_BYTES: usize = 16;
const SCOPES: usize = 3;

/// What is tried; failures at one door do not count at another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// A password, by somebody who is not signed in.
    Login,
    /// Asking for a mail that sets a new password; every try counts as a failure.
    Reset,
    /// Asking for another mail, by somebody who is signed in; every try counts as a failure.
    Mail,
    /// The own password once more, by somebody who is signed in.
    Reauth,
    /// A second factor.
    SecondFactor,
    /// A PIN; the terminal is the address.
    Pin,
    /// An application's secret.
    Client,
}

impl Door {
    /// Stands before the names of the counts.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Login => "",
            Self::Reset => "reset ",
            Self::Mail => "mail ",
            Self::Reauth => "reauth ",
            Self::SecondFactor => "second factor ",
            Self::Pin => "pin ",
            Self::Client => "client ",
        }
    }
}

/// One try, without anything that tells who tried.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// Account at address, address, account.
    keys: [String; SCOPES],
    address_key: String,
}

impl Attempt {
    /// The address' blinded form, under which the database remembers it.
    pub(crate) fn address_key(&self) -> &str {
        &self.address_key
    }
}

/// How long a try has to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Wherever the try comes from.
    pub(crate) always: Option<Duration>,
    /// At an address from which the account never signed in.
    pub(crate) at_unknown_address: Option<Duration>,
}

/// Counts failed logins. Clones share the counts.
#[derive(Clone)]
pub(crate) struct Throttle(Arc<Inner>);

struct Inner {
    clock: Clock,
    blinding_key: hmac::Key,
    delays: [Progression; SCOPES],
    local: LocalCounts,
    shared: Option<Arc<SharedCounts>>,
}

impl Throttle {
    pub(crate) fn new(
        settings: &ThrottleSettings,
        blinding_key: hmac::Key,
        shared: Option<Arc<SharedCounts>>,
        clock: Clock,
    ) -> Self {
        let forget_after = Duration::from_secs(settings.forget_minutes.saturating_mul(60));
        let delays = |free| Progression {
            free,
            first_delay: Duration::from_millis(settings.first_delay_ms),
            max_delay: Duration::from_secs(settings.max_delay_seconds),
            forget_after,
        };
        Self(Arc::new(Inner {
            clock,
            blinding_key,
            delays: [
                delays(settings.pair_free),
                delays(settings.address_free),
                delays(settings.account_free),
            ],
            local: LocalCounts::new(forget_after),
            shared,
        }))
    }

    /// A try of the account with this folded email from this address.
    pub(crate) fn attempt(&self, email_key: &str, address: ClientAddress) -> Attempt {
        self.attempt_at(Door::Login, email_key, address.group())
    }

    /// A try at some door, of `account` from `address`, whatever names the two there.
    pub(crate) fn attempt_at(
        &self,
        door: Door,
        account: &str,
        address: impl AsRef<str>,
    ) -> Attempt {
        let (prefix, address) = (door.prefix(), address.as_ref());
        Attempt {
            keys: [
                self.blind(&format!("{prefix}pair"), account, address),
                self.blind(&format!("{prefix}address"), "", address),
                self.blind(&format!("{prefix}account"), account, ""),
            ],
            address_key: self.blind("address", "", address),
        }
    }

    fn blind(&self, scope: &str, account: &str, address: &str) -> String {
        let text = format!("{scope}\n{account}\n{address}");
        let tag = hmac::sign(&self.0.blinding_key, text.as_bytes());
        hex(tag.as_ref().get(..KEY_BYTES).unwrap_or_default())
    }

    /// How long this try has to wait.
    pub(crate) async fn waits(&self, attempt: &Attempt) -> Waits {
        let inner = &*self.0;
        let shared = match &inner.shared {
            Some(shared) => shared.read(&attempt.keys).await,
            None => None,
        };
        let Some(shared) = shared else {
            return self.waits_for(inner.local.read(&attempt.keys));
        };
        let alone = self.waits_for(inner.local.read_alone(&attempt.keys));
        let waits = self.waits_for(shared);
        Waits {
            always: waits.always.max(alone.always),
            at_unknown_address: waits.at_unknown_address.max(alone.at_unknown_address),
        }
    }

    fn waits_for(&self, counts: [Option<Failures>; SCOPES]) -> Waits {
        let now = self.0.clock.now();
        let wait = |(delays, failures): (&Progression, Option<Failures>)| {
            failures.and_then(|failures| delays.wait(failures, now))
        };
        let [pair, address, account] = &self.0.delays;
        let [at_pair, at_address, at_account] = counts;
        Waits {
            always: wait((pair, at_pair)),
            at_unknown_address: wait((address, at_address)).max(wait((account, at_account))),
        }
    }

    /// Counts a failed try.
    pub(crate) async fn failed(&self, attempt: &Attempt) {
        let inner = &*self.0;
        let now = inner.clock.now();
        for (key, delays) in attempt.keys.iter().zip(&inner.delays) {
            inner.local.add(key, delays, now);
        }
        if let Some(shared) = &inner.shared {
            let [Progression { forget_after, .. }, ..] = &inner.delays;
            if !shared.add(&attempt.keys, *forget_after, now).await {
                for key in &attempt.keys {
                    inner.local.keep_alone(key);
                }
            }
        }
    }

    /// Forgets the failures of this account at this address. The other counts stay: a success does
    /// not make the failures elsewhere good, nor those with other accounts.
    pub(crate) async fn succeeded(&self, attempt: &Attempt) {
        let [pair, ..] = &attempt.keys;
        self.0.local.forget(pair);
        if let Some(shared) = &self.0.shared {
            shared.forget(pair).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use common::time::Timestamp;

    use super::*;

    fn throttle() -> (Throttle, Clock) {
        let clock = Clock::manual(Timestamp::from_unix_seconds(1_700_000_000));
        let settings = ThrottleSettings {
            pair_free: 2,
            address_free: 5,
            account_free: 4,
            first_delay_ms: 1_000,
            max_delay_seconds: 60,
            forget_minutes: 60,
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"test");
        (Throttle::new(&settings, key, None, clock.clone()), clock)
    }

    fn address(last_byte: u8) -> ClientAddress {
        ClientAddress::from([203, 0, 113, last_byte])
    }

    #[tokio::test]
    async fn one_account_at_one_address_is_delayed_there_alone() {
        let (throttle, clock) = throttle();
        let attempt = throttle.attempt("kim@maru.local", address(1));
        for _ in 0..3 {
            throttle.failed(&attempt).await;
        }
        let second = Some(Duration::from_secs(1));
        assert_eq!(throttle.waits(&attempt).await.always, second);
        for elsewhere in [
            throttle.attempt("kim@maru.local", address(2)),
            throttle.attempt("lee@maru.local", address(1)),
        ] {
            assert_eq!(throttle.waits(&elsewhere).await, Waits::default());
        }
        clock.advance(Duration::from_secs(1));
        assert_eq!(throttle.waits(&attempt).await, Waits::default());
        throttle.succeeded(&attempt).await;
        throttle.failed(&attempt).await;
        assert_eq!(throttle.waits(&attempt).await.always, None);
    }

    #[tokio::test]
    async fn many_addresses_delay_an_account_only_where_it_is_unknown() {
        let (throttle, _clock) = throttle();
        for last_byte in 1..=5 {
            let attempt = throttle.attempt("kim@maru.local", address(last_byte));
            throttle.failed(&attempt).await;
        }
        let fresh = throttle.attempt("kim@maru.local", address(99));
        let waits = throttle.waits(&fresh).await;
        assert_eq!(waits.always, None);
        assert_eq!(waits.at_unknown_address, Some(Duration::from_secs(1)));
        let other = throttle.attempt("lee@maru.local", address(99));
        assert_eq!(throttle.waits(&other).await, Waits::default());
    }

    #[tokio::test]
    async fn many_accounts_delay_an_address_only_where_they_are_unknown() {
        let (throttle, _clock) = throttle();
        for account in 0..6 {
            let attempt = throttle.attempt(&format!("{account}@maru.local"), address(1));
            throttle.failed(&attempt).await;
        }
        let another = throttle.attempt("kim@maru.local", address(1));
        let waits = throttle.waits(&another).await;
        assert_eq!(waits.always, None);
        assert_eq!(waits.at_unknown_address, Some(Duration::from_secs(1)));
        let elsewhere = throttle.attempt("kim@maru.local", address(2));
        assert_eq!(throttle.waits(&elsewhere).await, Waits::default());
    }

    #[tokio::test]
    async fn failures_at_one_door_do_not_count_at_another() {
        let (throttle, _clock) = throttle();
        let at = |door| throttle.attempt_at(door, "kim@maru.local", address(1).group());
        for _ in 0..6 {
            throttle.failed(&at(Door::SecondFactor)).await;
        }
        assert!(
            throttle
                .waits(&at(Door::SecondFactor))
                .await
                .always
                .is_some()
        );
        for door in [
            Door::Login,
            Door::Reset,
            Door::Mail,
            Door::Reauth,
            Door::Pin,
        ] {
            assert_eq!(
                throttle.waits(&at(door)).await,
                Waits::default(),
                "{door:?}"
            );
            assert_eq!(at(door).address_key(), at(Door::Login).address_key());
        }
    }

    #[test]
    fn nothing_of_account_or_address_can_be_read_from_a_key() {
        let attempt = throttle().0.attempt("kim@maru.local", address(1));
        let shown = format!("{attempt:?}");
        assert!(!shown.contains("kim") && !shown.contains("203"), "{shown}");
    }
}
