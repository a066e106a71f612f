//! The settings that only user-service has; `config/default.toml` documents each key.

use std::time::Duration;

use common::settings::{CommonSettings, Loaded, Profile};
use hashing::HashingSettings;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::{Host, Url};

use crate::app::rotate_keys::RotationPlan;
use crate::client_address::Network;

/// Known to everybody, as common's default says.
const DEVELOPMENT_ROOT_SECRET: &str = "maru-development-only";
/// Shortest secret that a person may give, in characters.
const MIN_SECRET_CHARACTERS: usize = 32;

/// Everything that user-service can be told beyond the common settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnSettings {
    /// The first account.
    pub owner: OwnerSettings,
    /// Encryption at rest.
    pub keys: KeysSettings,
    /// Lifetimes.
    pub tokens: TokensSettings,
    /// Cost of a password hash.
    pub hashing: HashingSettings,
    /// Delays after failed logins.
    pub throttle: ThrottleSettings,
    /// Links in mails.
    pub links: LinksSettings,
    /// Second factors.
    pub mfa: MfaSettings,
    /// Terminals at which people take turns.
    pub devices: DevicesSettings,
    /// Where browsers reach the system.
    pub public: PublicSettings,
    /// The OpenID Connect provider.
    pub oidc: OidcSettings,
    /// Passkeys.
    pub passkeys: PasskeysSettings,
    /// Who may say where a request came from.
    pub proxies: ProxiesSettings,
}

/// The owner account made when there is no account yet.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerSettings {
    /// Its email.
    pub email: String,
    /// Its first password; may be empty.
    pub password: SecretString,
    /// Lets it in again with that password, once for each text; empty for not at all.
    pub recovery: String,
}

/// Encryption at rest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysSettings {
    /// Encrypts the signing keys; empty reads it from a file.
    pub encryption_secret: SecretString,
    /// How long a key signs, in days.
    pub rotate_days: u32,
    /// How long before it signs the next key is published, in minutes.
    pub publish_ahead_minutes: u32,
    /// The installation's root secret before the present one; empty when there is none.
    pub previous_service_root_secret: SecretString,
}

/// Lifetimes of tokens and sessions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokensSettings {
    /// Life of an access token, in seconds.
    pub access_seconds: u32,
    /// Life of a service's token, in seconds.
    pub service_seconds: u32,
    /// Longest pause between two refreshes, in days.
    pub session_idle_days: u32,
    /// Longest life of a session, in days.
    pub session_days: u32,
    /// How long a used refresh token still gives the same successor, in seconds.
    pub refresh_grace_seconds: u32,
}

/// Delays after failed logins.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThrottleSettings {
    /// Free failures of one account from one address.
    pub pair_free: u32,
    /// Free failures from one address.
    pub address_free: u32,
    /// Free failures of one account.
    pub account_free: u32,
    /// The first delay, in milliseconds.
    pub first_delay_ms: u64,
    /// The longest delay, in seconds.
    pub max_delay_seconds: u64,
    /// Failures are forgotten after this long, in minutes.
    pub forget_minutes: u64,
}

/// Links in mails: how long they are good.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinksSettings {
    /// Life of an invitation, in hours.
    pub invitation_hours: u32,
    /// Life of a link that proves an address, in hours.
    pub verification_hours: u32,
    /// Life of a link that sets a new password, in minutes.
    pub reset_minutes: u32,
}

/// Second factors at logins.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MfaSettings {
    /// When owners and managers need one.
    pub require_for_managers: MfaRequirement,
    /// How long a login waits for one, in seconds.
    pub challenge_seconds: u32,
}

/// When owners and managers need a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MfaRequirement {
    /// They may have one.
    Never,
    /// On the production profile.
    Production,
    /// On every profile.
    Always,
}

/// What holds of second factors in this installation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MfaPolicy {
    pub(crate) required_for_managers: bool,
    pub(crate) challenge_life: Duration,
}

/// Terminals at which people of a store take turns.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevicesSettings {
    /// Life of a session opened with a PIN, in minutes.
    pub pin_session_minutes: u32,
}

/// Where browsers reach the system.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicSettings {
    /// The gateway's address, without a slash at the end.
    pub url: String,
}

/// The OpenID Connect provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcSettings {
    /// How long a sign-in on its page lasts, in hours.
    pub browser_hours: u32,
}

/// Passkeys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeysSettings {
    /// The domain that they belong to; empty is the host of the public address.
    pub rp_id: String,
    /// Further origins whose pages may use them.
    pub origins: Vec<String>,
}

/// Who may say where a request came from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxiesSettings {
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted: Vec<Network>,
}

/// Everything that is unacceptable, in words. The password of the owner is judged when it is used.
#[must_use]
pub fn faults(settings: &Loaded<OwnSettings>) -> Vec<String> {
    let (common, own) = (&settings.common, &settings.own);
    let mut faults = Vec::new();
    let mut require = |holds: bool, fault: &str| {
        if !holds {
            faults.push(fault.to_owned());
        }
    };
    let tokens = &own.tokens;
    require(
        (300..=900).contains(&tokens.access_seconds),
        "tokens.access_seconds must be from 300 to 900",
    );
    require(
        (120..=900).contains(&tokens.service_seconds),
        "tokens.service_seconds must be from 120 to 900",
    );
    require(
        (1..=366).contains(&tokens.session_days)
            && (1..=tokens.session_days).contains(&tokens.session_idle_days),
        "tokens.session_days must be from 1 to 366 and tokens.session_idle_days at most that",
    );
    require(
        tokens.refresh_grace_seconds <= 60,
        "tokens.refresh_grace_seconds must be at most 60",
    );
    for fault in own.hashing.faults() {
        require(false, fault);
    }
    let throttle = &own.throttle;
    require(
        throttle.first_delay_ms >= 1
            && throttle.max_delay_seconds >= 1
            && throttle.forget_minutes.saturating_mul(60) > throttle.max_delay_seconds,
        "throttle.first_delay_ms and throttle.max_delay_seconds must be at least 1 and \
         throttle.forget_minutes longer than throttle.max_delay_seconds",
    );
    let links = &own.links;
    require(
        (1..=720).contains(&links.invitation_hours)
            && (1..=168).contains(&links.verification_hours)
            && (5..=60).contains(&links.reset_minutes),
        "links.invitation_hours must be from 1 to 720, links.verification_hours from 1 to 168, \
         links.reset_minutes from 5 to 60",
    );
    require(
        (60..=900).contains(&own.mfa.challenge_seconds)
            && (5..=720).contains(&own.devices.pin_session_minutes),
        "mfa.challenge_seconds must be from 60 to 900 and devices.pin_session_minutes from 5 to 720",
    );
    require(
        own.public.is_acceptable(),
        "public.url must be https://host, or http://host on this machine, without a path",
    );
    require(
        (1..=168).contains(&own.oidc.browser_hours),
        "oidc.browser_hours must be from 1 to 168",
    );
    let secret = own.keys.encryption_secret.expose_secret();
    require(
        secret.is_empty() || secret.chars().count() >= MIN_SECRET_CHARACTERS,
        "keys.encryption_secret must have at least 32 characters",
    );
    require(
        (1..=365).contains(&own.keys.rotate_days)
            && (1..=1_440).contains(&own.keys.publish_ahead_minutes),
        "keys.rotate_days must be from 1 to 365 and keys.publish_ahead_minutes from 1 to 1440",
    );
    require(
        root_is_acceptable(common),
        "the production profile needs MARU_SERVICE_ROOT_SECRET with at least 32 characters; \
         user-service derives every service's secret from it",
    );
    faults
}

fn root_is_acceptable(common: &CommonSettings) -> bool {
    let root = common.auth.service_root_secret.expose_secret();
    common.profile == Profile::Development
        || (root != DEVELOPMENT_ROOT_SECRET && root.chars().count() >= MIN_SECRET_CHARACTERS)
}

impl MfaSettings {
    pub(crate) fn policy(&self, profile: Profile) -> MfaPolicy {
        MfaPolicy {
            required_for_managers: match self.require_for_managers {
                MfaRequirement::Never => false,
                MfaRequirement::Production => profile == Profile::Production,
                MfaRequirement::Always => true,
            },
            challenge_life: Duration::from_secs(self.challenge_seconds.into()),
        }
    }
}

impl KeysSettings {
    pub(crate) fn rotation(&self) -> RotationPlan {
        RotationPlan {
            every: Duration::from_secs(u64::from(self.rotate_days) * 24 * 3_600),
            ahead: Duration::from_secs(u64::from(self.publish_ahead_minutes) * 60),
        }
    }
}

impl DevicesSettings {
    pub(crate) fn pin_session_life(&self) -> Duration {
        Duration::from_secs(u64::from(self.pin_session_minutes) * 60)
    }
}

impl PublicSettings {
    /// An origin and nothing else: it is compared as text (OpenID Connect Discovery 1.0, section 4.3).
    fn is_acceptable(&self) -> bool {
        let Ok(url) = Url::parse(&self.url) else {
            return false;
        };
        let is_here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let protected = url.scheme() == "https" || (url.scheme() == "http" && is_here);
        protected && url.origin().ascii_serialization() == self.url
    }
}

impl TokensSettings {
    pub(crate) fn access_life(&self) -> Duration {
        Duration::from_secs(self.access_seconds.into())
    }

    pub(crate) fn service_life(&self) -> Duration {
        Duration::from_secs(self.service_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> Loaded<OwnSettings> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        common::settings::load("user", crate::DEFAULTS, pairs).unwrap()
    }

    #[test]
    fn the_defaults_are_acceptable_and_hide_secrets() {
        let settings = load(&[("MARU_OWNER_PASSWORD", "marker-of-a-secret")]);
        assert!(faults(&settings).is_empty());
        assert!(!format!("{settings:?}").contains("marker-of-a-secret"));
    }

    #[test]
    fn the_public_address_is_an_origin_that_nobody_listens_in_on() {
        for (url, acceptable) in [
            ("https://maru.example", true),
            ("https://maru.example:8443", true),
            ("http://localhost:5000", true),
            ("http://127.0.0.1:5000", true),
            ("http://maru.example", false),
            ("https://maru.example/", false),
            ("https://maru.example/oidc", false),
            ("https://maru.example:443", false),
            ("https://user@maru.example", false),
            ("ftp://localhost", false),
            ("maru.example", false),
        ] {
            let settings = load(&[("MARU_PUBLIC_URL", url)]);
            assert_eq!(faults(&settings).is_empty(), acceptable, "{url}");
        }
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let settings = load(&[
            ("MARU_PROFILE", "production"),
            (
                "MARU_SERVICE_SECRET",
                "given, but this service needs the root",
            ),
            ("USER__KEYS__ENCRYPTION_SECRET", "short"),
            ("USER__TOKENS__ACCESS_SECONDS", "86400"),
        ]);
        assert_eq!(faults(&settings).len(), 3);
    }
}
