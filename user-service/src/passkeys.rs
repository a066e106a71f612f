//! Passkeys: signing in with a key that a device keeps (WebAuthn, Level 3).
//!
//! A passkey is asked to verify its person (a fingerprint, a PIN), so that signing in with one counts
//! as two factors. The state of a registration lives in the database for five minutes and one use.
//! That of a sign-in, which anybody may begin, goes to the client and comes back in a signed ticket;
//! the one that a device answered rightly is remembered, so that it is good once.

mod ceremony;
mod manage;
mod store;

use std::time::Duration;

use ::store::StoreError;
use anyhow::Context as _;
use webauthn_rs::prelude::{Url, Webauthn, WebauthnBuilder, WebauthnError};

pub(crate) use ceremony::{finish_login, finish_registration, start_login, start_registration};
pub(crate) use manage::{list, remove, rename};
pub(crate) use store::{Passkey, PasskeyId, delete_all, delete_expired};

use crate::error::{AccountError, CredentialError, SessionError};
use crate::settings::PasskeysSettings;

/// Most passkeys of one account.
const MAX_PASSKEYS: usize = 20;
/// Longest name of a passkey, in characters.
pub(crate) const MAX_NAME_CHARACTERS: usize = 100;
/// How long a person may take for a ceremony.
const CEREMONY_LIFE: Duration = Duration::from_secs(5 * 60);

common::define_id! {
    /// A ceremony under way.
    pub(crate) struct CeremonyId;
}

/// Runs the ceremonies.
pub(crate) struct Passkeys(Webauthn);

/// Why a passkey was not registered, shown or believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasskeyError {
    #[error("there is no such passkey")]
    Unknown,
    #[error("an account has at most 20 passkeys")]
    TooMany,
    #[error("this passkey is registered already")]
    Taken,
    /// Unknown, used or too old.
    #[error("there is no such ceremony under way")]
    NoCeremony,
    /// What the device said does not hold.
    #[error("the passkey was refused")]
    Refused(#[source] Box<WebauthnError>),
    /// The ceremony could not be begun: a fault of this program.
    #[error("a passkey's ceremony could not be begun")]
    Ceremony(#[source] Box<WebauthnError>),
    /// A signed-in person typed another password than their own, or may not do this here.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<AccountError> for PasskeyError {
    fn from(error: AccountError) -> Self {
        Self::Credential(error.into())
    }
}

impl From<StoreError> for PasskeyError {
    fn from(error: StoreError) -> Self {
        Self::Session(error.into())
    }
}

impl PasskeyError {
    fn refused(error: WebauthnError) -> Self {
        Self::Refused(Box::new(error))
    }

    fn ceremony(error: WebauthnError) -> Self {
        Self::Ceremony(Box::new(error))
    }
}

impl Passkeys {
    /// For the pages of `public_url` and of the further origins.
    ///
    /// # Errors
    /// When the domain is none of the public address', or an origin is none.
    pub(crate) fn new(settings: &PasskeysSettings, public_url: &str) -> anyhow::Result<Self> {
        let origin = Url::parse(public_url).context("public.url")?;
        let host = origin.host_str().unwrap_or_default().to_owned();
        let rp_id = match settings.rp_id.as_str() {
            "" => host.as_str(),
            given => given,
        };
        // An address has no domain, and passkeys need one: on this machine that is localhost.
        let is_address = origin.domain().is_none();
        let (rp_id, origin) = match is_address {
            true => ("localhost", with_host(&origin, "localhost")?),
            false => (rp_id, origin),
        };
        let builder = WebauthnBuilder::new(rp_id, &origin);
        let mut builder = builder.context("passkeys.rp_id is no domain of public.url")?;
        for origin in &settings.origins {
            let origin = Url::parse(origin).context("passkeys.origins")?;
            builder = builder.append_allowed_origin(&origin);
        }
        let built = builder.rp_name("Maru").timeout(CEREMONY_LIFE).build();
        Ok(Self(built.context("passkeys")?))
    }
}

fn with_host(url: &Url, host: &str) -> anyhow::Result<Url> {
    let mut url = url.clone();
    url.set_host(Some(host)).context("public.url")?;
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_is_the_public_address_own_or_one_above_it() {
        let check = |url: &str, rp_id: &str, acceptable: bool| {
            let settings = PasskeysSettings {
                rp_id: rp_id.to_owned(),
                origins: vec!["https://console.example".to_owned()],
            };
            let made = Passkeys::new(&settings, url);
            assert_eq!(made.is_ok(), acceptable, "{url} {rp_id}");
        };
        check("http://localhost:5000", "", true);
        check("http://127.0.0.1:5000", "", true);
        check("https://maru.example", "", true);
        check("https://maru.shop.example", "shop.example", true);
        check("https://maru.example", "other.example", false);
    }
}
