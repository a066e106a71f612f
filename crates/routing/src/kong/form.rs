//! The parts of Kong's form that are read. Fields that are not read are kept, to be named.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Fields without a counterpart.
pub(super) type Other = BTreeMap<String, Value>;

#[derive(Debug, Default, Deserialize)]
pub(super) struct KongFile {
    #[serde(rename = "_format_version", deserialize_with = "text")]
    pub(super) format_version: String,
    #[serde(default)]
    pub(super) services: Vec<KongService>,
    #[serde(default)]
    pub(super) routes: Vec<KongRoute>,
    #[serde(default)]
    pub(super) upstreams: Vec<KongUpstream>,
    #[serde(default)]
    pub(super) plugins: Vec<KongPlugin>,
    #[serde(default)]
    pub(super) consumers: Vec<KongConsumer>,
    #[serde(flatten)]
    pub(super) other: Other,
}

/// YAML readers take `3.0` without quotes for a number.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        other => other.to_string(),
    })
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct KongService {
    pub(super) name: Option<String>,
    pub(super) id: Option<String>,
    pub(super) url: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) path: Option<String>,
    pub(super) read_timeout: Option<u64>,
    pub(super) retries: Option<u32>,
    pub(super) enabled: Option<bool>,
    pub(super) routes: Vec<KongRoute>,
    pub(super) plugins: Vec<KongPlugin>,
    #[serde(flatten)]
    pub(super) other: Other,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct KongRoute {
    pub(super) name: Option<String>,
    pub(super) service: Option<Reference>,
    pub(super) protocols: Vec<String>,
    pub(super) hosts: Vec<String>,
    pub(super) paths: Vec<String>,
    pub(super) methods: Vec<String>,
    pub(super) headers: BTreeMap<String, Vec<String>>,
    pub(super) strip_path: Option<bool>,
    pub(super) preserve_host: Option<bool>,
    pub(super) plugins: Vec<KongPlugin>,
    #[serde(flatten)]
    pub(super) other: Other,
}

/// A name, or an object with one.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Reference {
    Text(String),
    Object {
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        id: Option<String>,
    },
}

impl Reference {
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Text(name) => Some(name),
            Self::Object { name, id } => name.as_deref().or(id.as_deref()),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct KongUpstream {
    pub(super) name: String,
    pub(super) targets: Vec<KongTarget>,
    #[serde(flatten)]
    pub(super) other: Other,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct KongTarget {
    pub(super) target: String,
    pub(super) weight: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct KongPlugin {
    pub(super) name: String,
    pub(super) enabled: Option<bool>,
    pub(super) service: Option<Reference>,
    pub(super) route: Option<Reference>,
    pub(super) consumer: Option<Reference>,
    pub(super) consumer_group: Option<Reference>,
    pub(super) config: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct KongConsumer {
    pub(super) username: Option<String>,
    pub(super) custom_id: Option<String>,
    pub(super) keyauth_credentials: Vec<KongKey>,
    #[serde(flatten)]
    pub(super) other: Other,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct KongKey {
    pub(super) key: String,
}
