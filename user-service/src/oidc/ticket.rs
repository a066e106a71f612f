//! What a page's form brings back: the authorization request that the page belongs to, signed and
//! bound to the browser.
//!
//! A ticket is the form's defence against requests forged by other sites (RFC 6749, section 10.12):
//! nobody can make one for another person's browser. It also keeps the provider from storing anything
//! for people who have not signed in yet.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::time::Timestamp;
use ring::hmac;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::browser::BrowserKey;

/// How long a page may lie open.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// Signs and reads tickets.
pub(crate) struct Tickets(hmac::Key);

/// Something that a form brings back.
pub(crate) trait Stub: Serialize + DeserializeOwned {
    /// A ticket for one form is not taken by another.
    const PURPOSE: &'static str;
}

#[derive(Serialize, Deserialize)]
struct Signed<T> {
    at_micros: i64,
    stub: T,
}

/// Altered, of another browser, of another form, or too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ticket of a form is not valid")]
pub(crate) struct BadTicket;

impl Tickets {
    pub(crate) fn new(key: hmac::Key) -> Self {
        Self(key)
    }

    /// A ticket for this browser.
    pub(crate) fn sign<T: Stub>(&self, browser: &BrowserKey, stub: T, now: Timestamp) -> String {
        let at_micros = now.as_micros();
        let body = serde_json::to_vec(&Signed { at_micros, stub });
        let body = URL_SAFE_NO_PAD.encode(body.expect("a stub is plain data"));
        let tag = hmac::sign(&self.0, &input::<T>(browser, &body));
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// What a ticket says, if it was signed for this browser not long ago.
    pub(crate) fn read<T: Stub>(
        &self,
        browser: &BrowserKey,
        ticket: &str,
        now: Timestamp,
    ) -> Result<T, BadTicket> {
        let (body, tag) = ticket.split_once('.').ok_or(BadTicket)?;
        let tag = URL_SAFE_NO_PAD
            .decode(tag)
            .map_err(|_malformed| BadTicket)?;
        hmac::verify(&self.0, &input::<T>(browser, body), &tag).map_err(|_other| BadTicket)?;
        let body = URL_SAFE_NO_PAD
            .decode(body)
            .map_err(|_malformed| BadTicket)?;
        let signed: Signed<T> = serde_json::from_slice(&body).map_err(|_malformed| BadTicket)?;
        let age = now.since(Timestamp::from_micros(signed.at_micros));
        (age <= LIFE).then_some(signed.stub).ok_or(BadTicket)
    }
}

fn input<T: Stub>(browser: &BrowserKey, body: &str) -> Vec<u8> {
    // Neither a purpose nor a key holds a line break.
    format!("{}\n{}\n{body}", T::PURPOSE, browser.expose()).into_bytes()
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
    }

    #[test]
    fn a_ticket_is_good_for_its_form_its_browser_and_its_time() {
        let tickets = Tickets::new(hmac::Key::new(hmac::HMAC_SHA256, b"test"));
        let (mine, theirs) = (BrowserKey::random(), BrowserKey::random());
        let at = Timestamp::from_unix_seconds;
        let ticket = tickets.sign(&mine, One("x".to_owned()), at(1_000));
        let read = |browser: &BrowserKey, ticket: &str, seconds| {
            tickets.read::<One>(browser, ticket, at(seconds))
        };
        assert_eq!(read(&mine, &ticket, 2_800), Ok(One("x".to_owned())));
        assert_eq!(read(&mine, &ticket, 2_801), Err(BadTicket), "too old");
        assert_eq!(read(&theirs, &ticket, 1_000), Err(BadTicket));
        assert!(tickets.read::<Other>(&mine, &ticket, at(1_000)).is_err());
        for altered in [
            "",
            ".",
            &ticket[1..],
            &format!("{ticket}A"),
            &format!("A{ticket}"),
        ] {
            assert_eq!(read(&mine, altered, 1_000), Err(BadTicket), "{altered}");
        }
    }
}
