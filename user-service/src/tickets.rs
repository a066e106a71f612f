//! What a client brings back of a step before, signed, so that nothing is stored for people who have
//! not signed in yet.
//!
//! The ticket of a page's form is bound to the browser, and so its defence against requests forged by
//! other sites (RFC 6749, section 10.12): nobody can make one for another person's browser.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::time::Timestamp;
use ring::hmac;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How long a page may lie open.
pub(crate) const PAGE_LIFE: Duration = Duration::from_secs(30 * 60);
/// The holder of a ticket that is as good in anybody's hands.
pub(crate) const ANYBODY: &str = "";

/// Signs and reads tickets.
pub(crate) struct Tickets(hmac::Key);

/// Something that a client brings back.
pub(crate) trait Stub: Serialize + DeserializeOwned {
    /// A ticket for one step is not taken by another.
    const PURPOSE: &'static str;
    /// How long it is good.
    const LIFE: Duration = PAGE_LIFE;
}

#[derive(Serialize, Deserialize)]
struct Signed<T> {
    at_micros: i64,
    stub: T,
}

/// Altered, of another holder, for another step, or too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ticket is not valid")]
pub(crate) struct BadTicket;

impl Tickets {
    pub(crate) fn new(key: hmac::Key) -> Self {
        Self(key)
    }

    /// A ticket for this holder, such as the key of a browser.
    pub(crate) fn sign<T: Stub>(&self, holder: &str, stub: T, now: Timestamp) -> String {
        let at_micros = now.as_micros();
        let body = serde_json::to_vec(&Signed { at_micros, stub });
        let body = URL_SAFE_NO_PAD.encode(body.expect("a stub is plain data"));
        let tag = hmac::sign(&self.0, &input::<T>(holder, &body));
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// What a ticket says, if it was signed for this holder not long ago.
    pub(crate) fn read<T: Stub>(
        &self,
        holder: &str,
        ticket: &str,
        now: Timestamp,
    ) -> Result<T, BadTicket> {
        let (body, tag) = ticket.split_once('.').ok_or(BadTicket)?;
        let tag = URL_SAFE_NO_PAD
            .decode(tag)
            .map_err(|_malformed| BadTicket)?;
        hmac::verify(&self.0, &input::<T>(holder, body), &tag).map_err(|_other| BadTicket)?;
        let body = URL_SAFE_NO_PAD
            .decode(body)
            .map_err(|_malformed| BadTicket)?;
        let signed: Signed<T> = serde_json::from_slice(&body).map_err(|_malformed| BadTicket)?;
        let age = now.since(Timestamp::from_micros(signed.at_micros));
        (age <= T::LIFE).then_some(signed.stub).ok_or(BadTicket)
    }
}

fn input<T: Stub>(holder: &str, body: &str) -> Vec<u8> {
    // Neither a purpose nor a holder has a line break.
    format!("{}\n{holder}\n{body}", T::PURPOSE).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct One(String);
    impl Stub for One {
        const PURPOSE: &'static str = "one";
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct Other(String);
    impl Stub for Other {
        const PURPOSE: &'static str = "other";
        const LIFE: Duration = Duration::from_secs(60);
    }

    #[test]
    fn a_ticket_is_good_for_its_step_its_holder_and_its_time() {
        let tickets = Tickets::new(hmac::Key::new(hmac::HMAC_SHA256, b"test"));
        let (mine, theirs) = ("mine", "theirs");
        let at = Timestamp::from_unix_seconds;
        let ticket = tickets.sign(mine, One("x".to_owned()), at(1_000));
        let read =
            |holder: &str, ticket: &str, seconds| tickets.read::<One>(holder, ticket, at(seconds));
        assert_eq!(read(mine, &ticket, 2_800), Ok(One("x".to_owned())));
        assert_eq!(read(mine, &ticket, 2_801), Err(BadTicket), "too old");
        assert_eq!(read(theirs, &ticket, 1_000), Err(BadTicket));
        assert!(tickets.read::<Other>(mine, &ticket, at(1_000)).is_err());
        for altered in [
            "",
            ".",
            &ticket[1..],
            &format!("{ticket}A"),
            &format!("A{ticket}"),
        ] {
            assert_eq!(read(mine, altered, 1_000), Err(BadTicket), "{altered}");
        }
        let ticket = tickets.sign(ANYBODY, Other(String::new()), at(1_000));
        let read = |seconds| tickets.read::<Other>(ANYBODY, &ticket, at(seconds));
        assert!(read(1_060).is_ok());
        assert!(read(1_061).is_err(), "each kind has its own life");
    }
}
