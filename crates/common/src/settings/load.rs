//! Reads settings: defaults, then the environment, then types.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use toml_edit::{DocumentMut, Value};

use super::common_settings::CommonSettings;
use super::entries::{DefaultEntry, Entry, is_secret, list_defaults, plain, shown, unit};

const COMMON_DEFAULTS: &str = include_str!("../../config/common.toml");

/// Short names of keys that all services share.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("MARU_PROFILE", "profile"),
    ("MARU_DATA", "data_dir"),
    ("MARU_BIND", "server.host"),
    ("MARU_LOG", "telemetry.log"),
    ("MARU_SERVICE_SECRET", "auth.service_secret"),
    ("MARU_SERVICE_ROOT_SECRET", "auth.service_root_secret"),
    ("DATABASE_URL", "database.url"),
    ("REDIS_URL", "redis.url"),
    ("AMQP_URL", "events.amqp_url"),
    ("MQTT_URL", "mqtt.url"),
    ("MARU_ADVERTISE_URL", "discovery.advertise_url"),
    ("GATEWAY_URL", "neighbours.gateway_url"),
    ("USER_URL", "neighbours.user_url"),
    ("INVENTORY_URL", "neighbours.inventory_url"),
    ("INVENTORY_GRPC_URL", "neighbours.inventory_grpc_url"),
    ("ORDER_URL", "neighbours.order_url"),
    ("ANALYTICS_URL", "neighbours.analytics_url"),
    ("IOT_URL", "neighbours.iot_url"),
    ("PAYMENT_URL", "neighbours.payment_url"),
    ("PAYMENT_GRPC_URL", "neighbours.payment_grpc_url"),
    ("MARU_PUBLIC_URL", "public.url"),
    ("MARU_OWNER_EMAIL", "owner.email"),
    ("MARU_OWNER_PASSWORD", "owner.password"),
];

/// Settings in force, and where each came from.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// What every service has.
    pub common: CommonSettings,
    /// What only this service has.
    pub own: T,
    /// Every key, for `config`.
    pub entries: Vec<Entry>,
}

/// Everything that is wrong with the settings.
#[derive(Debug)]
pub struct SettingsError {
    /// One sentence per fault.
    pub faults: Vec<String>,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings have {} fault(s)", self.faults.len())?;
        self.faults
            .iter()
            .try_for_each(|fault| write!(f, "\n  - {fault}"))
    }
}

impl std::error::Error for SettingsError {}

/// Reads the settings of the service `name` (such as `order`).
///
/// `own_defaults` is the service's compiled-in file; it may also give a common key another default.
/// `environment` is usually [`std::env::vars`].
///
/// # Errors
/// With every fault found: unknown keys under the service's prefix, values of the wrong type, and
/// what the types refuse.
pub fn load<T: DeserializeOwned>(
    name: &str,
    own_defaults: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded<T>, SettingsError> {
    let common = parse_defaults(COMMON_DEFAULTS)?;
    let own = parse_defaults(own_defaults)?;
    let defaults = overlay(list_defaults(&common), list_defaults(&own));
    let common_keys: Vec<String> = list_defaults(&common)
        .into_iter()
        .map(|entry| entry.key)
        .collect();

    let environment: BTreeMap<String, String> = environment.into_iter().collect();
    let mut faults = unknown_variables(name, &defaults, &environment);
    let mut entries = Vec::with_capacity(defaults.len());
    let mut common_tree = toml::Table::new();
    let mut own_tree = toml::Table::new();
    let data_dir = data_dir(name, &defaults, &environment);
    for default in &defaults {
        let (text, source) = match find_variable(name, &default.key, &environment) {
            Some((variable, value)) => (value.clone(), variable),
            None => (plain(&default.value), "default".to_owned()),
        };
        let text = expand(&text, name, &data_dir);
        match typed(&default.value, &text) {
            Ok(value) => {
                let is_common = common_keys.contains(&default.key);
                insert(
                    if is_common {
                        &mut common_tree
                    } else {
                        &mut own_tree
                    },
                    &default.key,
                    value,
                );
            }
            Err(expected) => faults.push(format!("{}: {source} must be {expected}", default.key)),
        }
        entries.push(Entry {
            value: shown(&default.key, &text),
            default: shown(&default.key, &plain(&default.value)),
            unit: unit(&default.key).to_owned(),
            description: default.description.clone(),
            source,
            secret: is_secret(&default.key),
            key: default.key.clone(),
        });
    }
    finish(common_tree, own_tree, entries, faults)
}

fn finish<T: DeserializeOwned>(
    common: toml::Table,
    own: toml::Table,
    entries: Vec<Entry>,
    mut faults: Vec<String>,
) -> Result<Loaded<T>, SettingsError> {
    if !faults.is_empty() {
        return Err(SettingsError { faults });
    }
    let common = common.try_into::<CommonSettings>();
    let own = own.try_into::<T>();
    if let Ok(common) = &common {
        faults.extend(common.faults());
    }
    match (common, own) {
        (Ok(common), Ok(own)) if faults.is_empty() => Ok(Loaded {
            common,
            own,
            entries,
        }),
        (common, own) => {
            faults.extend(common.err().map(|error| error.to_string()));
            faults.extend(own.err().map(|error| error.to_string()));
            Err(SettingsError { faults })
        }
    }
}

fn parse_defaults(text: &str) -> Result<DocumentMut, SettingsError> {
    text.parse()
        .map_err(|error: toml_edit::TomlError| SettingsError {
            faults: vec![format!("the compiled-in defaults are not TOML: {error}")],
        })
}

/// The common keys, with the service's own defaults in their place, then the service's own keys.
fn overlay(common: Vec<DefaultEntry>, own: Vec<DefaultEntry>) -> Vec<DefaultEntry> {
    let mut merged = common;
    for entry in own {
        match merged.iter_mut().find(|existing| existing.key == entry.key) {
            Some(existing) => existing.value = entry.value,
            None => merged.push(entry),
        }
    }
    merged
}

fn variable_name(service: &str, key: &str) -> String {
    format!(
        "{}__{}",
        service.to_uppercase(),
        key.replace('.', "__").to_uppercase()
    )
}

/// The variable that sets `key`: the service's own name of it first, then the short name.
fn find_variable<'e>(
    service: &str,
    key: &str,
    environment: &'e BTreeMap<String, String>,
) -> Option<(String, &'e String)> {
    let long = variable_name(service, key);
    if let Some(value) = environment.get(&long) {
        return Some((long, value));
    }
    let (short, _) = SHORT_NAMES.iter().find(|(_, long_key)| *long_key == key)?;
    environment
        .get(*short)
        .map(|value| ((*short).to_owned(), value))
}

fn unknown_variables(
    service: &str,
    defaults: &[DefaultEntry],
    environment: &BTreeMap<String, String>,
) -> Vec<String> {
    let prefix = format!("{}__", service.to_uppercase());
    let known = |name: &str| {
        defaults
            .iter()
            .any(|entry| variable_name(service, &entry.key) == name)
    };
    let mine = environment.keys().filter(|name| name.starts_with(&prefix));
    mine.filter(|name| !known(name))
        .map(|name| format!("{name} is not a known key"))
        .collect()
}

fn data_dir(
    service: &str,
    defaults: &[DefaultEntry],
    environment: &BTreeMap<String, String>,
) -> String {
    let set = find_variable(service, "data_dir", environment).map(|(_, value)| value.clone());
    let default = defaults.iter().find(|entry| entry.key == "data_dir");
    set.or_else(|| default.map(|entry| plain(&entry.value)))
        .unwrap_or_default()
}

fn expand(text: &str, service: &str, data_dir: &str) -> String {
    text.replace("{data_dir}", data_dir)
        .replace("{service}", service)
}

/// Reads `text` as the type that the default has.
fn typed(default: &Value, text: &str) -> Result<toml::Value, &'static str> {
    match default {
        Value::Integer(_) => text
            .parse()
            .map(toml::Value::Integer)
            .map_err(|_e| "an integer"),
        Value::Float(_) => text
            .parse()
            .map(toml::Value::Float)
            .map_err(|_e| "a number"),
        Value::Boolean(_) => text
            .parse()
            .map(toml::Value::Boolean)
            .map_err(|_e| "true or false"),
        Value::Array(_) => {
            let parts = text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            Ok(toml::Value::Array(
                parts
                    .map(|part| toml::Value::String(part.to_owned()))
                    .collect(),
            ))
        }
        _ => Ok(toml::Value::String(text.to_owned())),
    }
}

fn insert(tree: &mut toml::Table, key: &str, value: toml::Value) {
    match key.split_once('.') {
        None => {
            tree.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = tree
                .entry(section)
                .or_insert_with(|| toml::Value::Table(toml::Table::new()))
                .as_table_mut();
            if let Some(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde::Deserialize;

    use super::*;

    const OWN: &str = "[server]\nport = 5004\n\n[saga]\n# Longest wait for a step, in milliseconds.\nstep_timeout_ms = 2000\n";

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Own {
        saga: Saga,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Saga {
        step_timeout_ms: u64,
    }

    fn load_with(pairs: &[(&str, &str)]) -> Result<Loaded<Own>, SettingsError> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load("order", OWN, pairs)
    }

    #[test]
    fn defaults_alone_are_complete() {
        let loaded = load_with(&[]).unwrap();
        assert_eq!(loaded.common.server.port, 5004);
        assert_eq!(loaded.own.saga.step_timeout_ms, 2000);
        assert_eq!(
            loaded.common.database.url.expose_secret(),
            "sqlite://./data/order.db"
        );
        let entry = loaded
            .entries
            .iter()
            .find(|entry| entry.key == "saga.step_timeout_ms")
            .unwrap();
        assert_eq!(entry.unit, "ms");
        assert_eq!(
            entry.description,
            "Longest wait for a step, in milliseconds."
        );
    }

    #[test]
    fn the_environment_wins_and_is_named_as_the_source() {
        let loaded = load_with(&[("ORDER__SERVER__PORT", "7"), ("MARU_DATA", "/srv")]).unwrap();
        assert_eq!(loaded.common.server.port, 7);
        assert_eq!(
            loaded.common.database.url.expose_secret(),
            "sqlite:///srv/order.db"
        );
        let entry = loaded
            .entries
            .iter()
            .find(|entry| entry.key == "server.port")
            .unwrap();
        assert_eq!(entry.source, "ORDER__SERVER__PORT");
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let error = load_with(&[
            ("ORDER__SAGA__STEP_TIMEOUT", "1"),
            ("ORDER__SAGA__STEP_TIMEOUT_MS", "soon"),
            ("ORDER__SERVER__WORKERS", "many"),
            ("PAYMENT__ANYTHING", "belongs to another service"),
        ])
        .unwrap_err();
        assert_eq!(error.faults.len(), 3, "{error}");
    }

    #[test]
    fn production_refuses_the_development_secret() {
        let error = load_with(&[("MARU_PROFILE", "production")]).unwrap_err();
        assert!(error.to_string().contains("MARU_SERVICE_SECRET"), "{error}");
        let secret = [
            ("MARU_PROFILE", "production"),
            ("MARU_SERVICE_SECRET", "0123456789abcdef"),
        ];
        assert!(load_with(&secret).is_ok());
    }
}
