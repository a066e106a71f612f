//! What Consul's clients are told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::directory::Address;
use crate::registry::book::View;
use crate::registry::entry::{Check, CheckKind, CheckStatus, Entry};

/// The one node and datacenter that there is.
const NODE: &str = "maru-gateway";
const DATACENTER: &str = "maru";
/// The node's id; Consul's clients expect a UUID.
const NODE_ID: &str = "6d617275-6761-4774-8577-617900000000";

/// Every instance by its id.
pub(super) fn agent_services(view: &View) -> Value {
    let services = view.entries.iter();
    services
        .map(|entry| (entry.instance_id.clone(), service(entry)))
        .collect::<BTreeMap<_, _>>()
        .into_json()
}

/// Every check by its id.
pub(super) fn agent_checks(view: &View) -> Value {
    let all = view.entries.iter().flat_map(|entry| {
        let checks = entry.checks.iter();
        checks.map(|one| (one.id.clone(), check(entry, one)))
    });
    all.collect::<BTreeMap<_, _>>().into_json()
}

/// Every service with the tags of its instances.
pub(super) fn catalog_services(view: &View) -> Value {
    let mut services: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for entry in &view.entries {
        let tags = services.entry(&entry.service).or_default();
        tags.extend(entry.tags.iter().map(String::as_str));
    }
    json!(services)
}

/// The instances of one service.
pub(super) fn catalog_service(view: &View, name: &str, tag: Option<&str>) -> Value {
    let entries = view.of(name).filter(|entry| has_tag(entry, tag));
    entries.map(catalog_entry).collect()
}

/// The instances of one service with their checks, as far as they pass `filter`.
pub(super) fn health_service(
    view: &View,
    name: &str,
    tag: Option<&str>,
    filter: impl Fn(&Entry) -> bool,
) -> Value {
    let entries = view
        .of(name)
        .filter(|entry| has_tag(entry, tag) && filter(entry));
    let shown = entries.map(|entry| {
        let (host, _) = place(entry);
        let checks: Vec<Value> = entry.checks.iter().map(|one| check(entry, one)).collect();
        json!({
            "Node": {
                "ID": NODE_ID, "Node": NODE, "Address": host, "Datacenter": DATACENTER,
                "TaggedAddresses": {}, "Meta": {},
                "CreateIndex": 1, "ModifyIndex": 1
            },
            "Service": service(entry),
            "Checks": checks
        })
    });
    shown.collect()
}

fn has_tag(entry: &Entry, tag: Option<&str>) -> bool {
    tag.is_none_or(|tag| entry.tags.iter().any(|known| known == tag))
}

fn service(entry: &Entry) -> Value {
    let (host, port) = place(entry);
    json!({
        "ID": entry.instance_id, "Service": entry.service, "Tags": entry.tags,
        "Meta": texts(entry), "Address": host, "Port": port,
        "TaggedAddresses": {}, "Weights": {"Passing": entry.weight, "Warning": 1},
        "EnableTagOverride": false, "Datacenter": DATACENTER,
        "CreateIndex": entry.created_index, "ModifyIndex": entry.change_index
    })
}

fn catalog_entry(entry: &Entry) -> Value {
    let (host, port) = place(entry);
    json!({
        "ID": NODE_ID, "Node": NODE, "Address": host, "Datacenter": DATACENTER,
        "TaggedAddresses": {}, "NodeMeta": {},
        "ServiceID": entry.instance_id, "ServiceName": entry.service,
        "ServiceTags": entry.tags, "ServiceAddress": host, "ServicePort": port,
        "ServiceMeta": texts(entry), "ServiceWeights": {"Passing": entry.weight, "Warning": 1},
        "ServiceEnableTagOverride": false,
        "CreateIndex": entry.created_index, "ModifyIndex": entry.change_index
    })
}

fn check(entry: &Entry, check: &Check) -> Value {
    let status = match check.status {
        // Consul knows no fourth word: until it has passed, it has not.
        CheckStatus::Unknown => CheckStatus::Critical,
        status => status,
    };
    let kind = match check.kind {
        CheckKind::Lease | CheckKind::Ttl => "ttl",
        CheckKind::Http => "http",
    };
    json!({
        "Node": NODE, "CheckID": check.id, "Name": check.name, "Status": status.as_str(),
        "Notes": "", "Output": check.output, "ServiceID": entry.instance_id,
        "ServiceName": entry.service, "ServiceTags": entry.tags, "Type": kind,
        "CreateIndex": entry.created_index, "ModifyIndex": check.change_index
    })
}

/// Consul's metadata are texts.
fn texts(entry: &Entry) -> BTreeMap<&str, String> {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), ToOwned::to_owned)
    };
    let metadata = entry.metadata.iter();
    metadata
        .map(|(key, value)| (key.as_str(), text(value)))
        .collect()
}

fn place(entry: &Entry) -> (String, u16) {
    let address = Address::parse(&entry.base_url);
    // It was read when it was registered.
    address.map_or_else(
        |_unreadable| (String::new(), 0),
        |address| {
            let (host, port) = address.socket_name();
            (host.to_owned(), port)
        },
    )
}

trait IntoJson {
    fn into_json(self) -> Value;
}

impl IntoJson for BTreeMap<String, Value> {
    fn into_json(self) -> Value {
        Value::Object(self.into_iter().collect())
    }
}
