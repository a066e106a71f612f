//! Gives services their identity: the client credentials grant (RFC 6749, section 4.4).

use common::auth::derive_service_secret;
use contracts::services::ServiceName;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

use crate::error::SessionError;
use crate::keys::{Minted, random};
use crate::state::AppState;

/// A token for the service `name`, if `secret` is its own.
pub(crate) fn issue(
    state: &AppState,
    name: &str,
    secret: &SecretString,
) -> Result<Minted, SessionError> {
    let known = ServiceName::all().find(|service| service.as_str() == name);
    let service = known.ok_or(SessionError::BadClient)?;
    let mut roots = state.service_roots.iter();
    if !roots.any(|root| equal(&derive_service_secret(root, service.as_str()), secret)) {
        tracing::warn!(service.name = %service, "a service's secret was refused");
        return Err(SessionError::BadClient);
    }
    Ok(state.mint.service(service)?)
}

/// Compares tags under a throw-away key: how long that takes says nothing of the secrets.
fn equal(one: &SecretString, other: &SecretString) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &random::<32>());
    let tag = hmac::sign(&key, one.expose_secret().as_bytes());
    hmac::verify(&key, other.expose_secret().as_bytes(), tag.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_secrets_are_equal() {
        let secret = SecretString::from;
        assert!(equal(&secret("abc"), &secret("abc")));
        assert!(!equal(&secret("abc"), &secret("abd")));
        assert!(!equal(&secret("abc"), &secret("")));
    }
}
