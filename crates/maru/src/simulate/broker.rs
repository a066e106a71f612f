//! Where the broker is, and how a device presents itself there.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rumqttc::MqttOptions;
use secrecy::{ExposeSecret as _, SecretString};

use super::backlog::MAX_IN_FLIGHT;
use super::fleet::Credentials;

/// The registered port of MQTT without TLS (IANA).
const DEFAULT_PORT: u16 = 1883;
/// A connection on which nothing came back for this long to twice this long is given up.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Address of an MQTT broker.
#[derive(Clone, Debug)]
pub struct BrokerAddress {
    host: String,
    port: u16,
    /// Used for every device instead of its own.
    account: Option<(String, SecretString)>,
}

impl FromStr for BrokerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "give an address such as mqtt://127.0.0.1:1883".to_owned();
        let url = reqwest::Url::parse(text).map_err(|_malformed| wrong())?;
        let host = url.host_str().filter(|host| !host.is_empty());
        if !matches!(url.scheme(), "mqtt" | "tcp") || !matches!(url.path(), "" | "/") {
            return Err(wrong());
        }
        let account = (!url.username().is_empty()).then(|| {
            let password = url.password().unwrap_or_default();
            (url.username().to_owned(), SecretString::from(password))
        });
        Ok(Self {
            host: host.ok_or_else(wrong)?.to_owned(),
            port: url.port().unwrap_or(DEFAULT_PORT),
            account,
        })
    }
}

impl fmt::Display for BrokerAddress {
    /// Without the account.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mqtt://{}:{}", self.host, self.port)
    }
}

impl BrokerAddress {
    /// How a device with these credentials connects.
    pub(super) fn options(&self, own: &Credentials) -> MqttOptions {
        let mut options = MqttOptions::new(&own.username, &self.host, self.port);
        match &self.account {
            Some((user, password)) => options.set_credentials(user, password.expose_secret()),
            None => options.set_credentials(&own.username, own.password.expose_secret()),
        };
        options
            .set_keep_alive(KEEP_ALIVE)
            // A device only publishes, so there is nothing for the broker to remember of it.
            .set_clean_session(true)
            // Twice our own limit: a late acknowledgment must not make two packets share an id.
            .set_inflight(u16::try_from(2 * MAX_IN_FLIGHT).unwrap_or(u16::MAX));
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_without_their_account() {
        for (text, shown) in [
            ("mqtt://localhost", Some("mqtt://localhost:1883")),
            (
                "mqtt://user:secret@10.0.0.7:18830/",
                Some("mqtt://10.0.0.7:18830"),
            ),
            ("mqtt://[::1]:1883", Some("mqtt://[::1]:1883")),
            ("mqtts://localhost", None),
            ("http://localhost", None),
            ("mqtt://", None),
            ("mqtt://localhost/topic", None),
            ("localhost:1883", None),
        ] {
            let read = text.parse::<BrokerAddress>().ok();
            assert_eq!(
                read.map(|read| read.to_string()).as_deref(),
                shown,
                "{text}"
            );
        }
    }

    #[test]
    fn a_device_uses_its_own_account_unless_the_address_has_one() {
        let own = Credentials {
            username: "device-7".to_owned(),
            password: "own".into(),
            topic: String::new(),
        };
        for (address, user, password) in [
            ("mqtt://localhost", "device-7", "own"),
            ("mqtt://shared:word@localhost", "shared", "word"),
        ] {
            let options = address.parse::<BrokerAddress>().unwrap().options(&own);
            let login = options.credentials().unwrap();
            assert_eq!(
                (login.username.as_str(), login.password.as_str()),
                (user, password)
            );
            assert_eq!(options.client_id(), "device-7");
        }
    }
}
