//! What Consul's clients send. Consul reads keys in any case, with or without underscores, and so do
//! its clients write them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use common::error::ApiError;
use common::extract::Faults;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::directory::{Address, AddressGuard};
use crate::registry::entry::{
    Check, CheckKind, CheckStatus, MAX_ENTRIES, Registration, is_id, is_service_name,
};
use crate::registry::model::{check_address, check_metadata};

/// The shortest and longest time of a check.
const PERIOD: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(24 * 3_600);
/// Longest wait for an answer when a check does not say (Consul's default).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A service as a client registers it; keys are compared without case and underscores.
#[derive(Debug, Deserialize)]
pub(super) struct ServiceIn {
    name: String,
    id: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    address: String,
    #[serde(default)]
    port: u32,
    #[serde(default)]
    meta: Option<BTreeMap<String, Value>>,
    weights: Option<WeightsIn>,
    check: Option<CheckIn>,
    #[serde(default)]
    checks: Option<Vec<CheckIn>>,
    #[serde(skip)]
    peer: Option<IpAddr>,
}

#[derive(Debug, Deserialize)]
struct WeightsIn {
    passing: Option<u32>,
}

/// Kinds of checks that are not made here are refused and not passed over in silence.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckIn {
    checkid: Option<String>,
    id: Option<String>,
    name: Option<String>,
    #[serde(rename = "notes", default)]
    _notes: Option<String>,
    http: Option<String>,
    interval: Option<Value>,
    timeout: Option<Value>,
    ttl: Option<Value>,
    status: Option<String>,
    method: Option<String>,
    deregistercriticalserviceafter: Option<Value>,
    #[serde(rename = "tlsskipverify", default)]
    _tls_skip_verify: Option<bool>,
}

/// Reads a registration; without an address it is the caller's own.
pub(super) fn parse(body: &[u8], peer: Option<IpAddr>) -> Result<ServiceIn, ApiError> {
    let value: Value = common::extract::parse_json(body)?;
    let service = serde_json::from_value::<ServiceIn>(folded(value));
    let mut service = service.map_err(|error| {
        ApiError::malformed(
            "invalid_service",
            format!("The service cannot be read: {error}."),
        )
    })?;
    service.peer = peer;
    Ok(service)
}

/// The value with its keys folded; what is under `meta` belongs to the caller.
fn folded(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.into_iter().map(fold_entry).collect::<Map<_, _>>()),
        Value::Array(list) => Value::Array(list.into_iter().map(folded).collect()),
        other => other,
    }
}

fn fold_entry((key, value): (String, Value)) -> (String, Value) {
    let key = key.replace('_', "").to_ascii_lowercase();
    let value = if key == "meta" { value } else { folded(value) };
    (key, value)
}

impl ServiceIn {
    /// What is registered, if all of it is acceptable.
    ///
    /// # Errors
    /// 422 with every field that is not.
    pub(super) async fn check(self, guard: &AddressGuard) -> Result<Registration, ApiError> {
        let mut faults = Faults::default();
        let detail = "must be 1 to 63 letters, digits, '-', '_' or '.'";
        faults.require(is_service_name(&self.name), "Name", "invalid_name", detail);
        let instance_id = match self.id {
            Some(id) if !id.is_empty() => id,
            _ => self.name.clone(),
        };
        let detail = "must be 1 to 128 letters, digits or characters of -_.:@#";
        faults.require(is_id(&instance_id), "ID", "invalid_id", detail);
        let tags = self.tags.unwrap_or_default();
        let short = tags
            .iter()
            .all(|tag| tag.len() <= 256 && !tag.contains(char::is_control));
        faults.require(
            tags.len() <= MAX_ENTRIES && short,
            "Tags",
            "too_large",
            "at most 64 tags of 256 characters",
        );
        let metadata = self.meta.unwrap_or_default();
        check_metadata(&mut faults, "Meta", &metadata);
        let host = match (self.address.as_str(), self.peer) {
            ("", Some(IpAddr::V6(peer))) => format!("[{peer}]"),
            ("", Some(peer)) => peer.to_string(),
            (host, _) if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
            (host, _) => host.to_owned(),
        };
        let port = u16::try_from(self.port).ok().filter(|port| *port > 0);
        faults.require(
            port.is_some(),
            "Port",
            "out_of_range",
            "must be from 1 to 65535",
        );
        let base_url = format!("http://{host}:{}", port.unwrap_or(1));
        if port.is_some() {
            let address = Address::parse(&base_url).ok();
            check_address(&mut faults, "Address", address.as_ref(), guard).await;
        }
        let weight = self
            .weights
            .and_then(|weights| weights.passing)
            .unwrap_or(1);
        let fits = (1..=100).contains(&weight);
        faults.require(
            fits,
            "Weights.Passing",
            "out_of_range",
            "must be from 1 to 100",
        );
        let given: Vec<CheckIn> = self
            .check
            .into_iter()
            .chain(self.checks.unwrap_or_default())
            .collect();
        let checks = check_list(given, &instance_id, &mut faults, guard).await;
        faults.into_result()?;
        Ok(Registration {
            service: self.name,
            instance_id,
            base_url,
            metadata,
            tags,
            weight,
            checks,
        })
    }
}

async fn check_list(
    given: Vec<CheckIn>,
    instance_id: &str,
    faults: &mut Faults,
    guard: &AddressGuard,
) -> Vec<Check> {
    let alone = given.len() == 1;
    faults.require(given.len() <= 16, "Checks", "too_many", "at most 16 checks");
    let mut checks: Vec<Check> = Vec::new();
    for (number, check) in (1..).zip(given.into_iter().take(16)) {
        // As Consul names them.
        let made = match alone {
            true => format!("service:{instance_id}"),
            false => format!("service:{instance_id}:{number}"),
        };
        if let Some(url) = &check.http {
            let address = Address::parse_with_path(url).map(|(address, _)| address);
            check_address(faults, "Check.HTTP", address.as_ref().ok(), guard).await;
        }
        match check.read(made) {
            Ok(check) if checks.iter().any(|known| known.id == check.id) => {
                faults.add("Check.CheckID", "repeated", "must be unique");
            }
            Ok(check) => checks.push(check),
            Err(detail) => faults.add("Check", "invalid_check", detail),
        }
    }
    checks
}

impl CheckIn {
    fn read(self, made_id: String) -> Result<Check, &'static str> {
        let id = self
            .checkid
            .or(self.id)
            .filter(|id| !id.is_empty())
            .unwrap_or(made_id);
        if !is_id(&id) {
            return Err("CheckID must be 1 to 128 letters, digits or characters of -_.:@#");
        }
        if self
            .method
            .is_some_and(|method| !method.is_empty() && method != "GET")
        {
            return Err("only GET is asked");
        }
        let filled = |value: &Option<Value>| match value {
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::Null) | None => None,
            Some(value) => Some(value.clone()),
        };
        let time = |value: Option<Value>| value.map(|value| duration_of(&value)).transpose();
        let ttl = time(filled(&self.ttl))?;
        let interval = time(filled(&self.interval))?;
        let timeout = time(filled(&self.timeout))?;
        let remove_after = time(filled(&self.deregistercriticalserviceafter))?;
        let (kind, period, timeout) = match (&self.http, ttl, interval) {
            (None, Some(ttl), None) => (CheckKind::Ttl, ttl, None),
            (Some(_), None, Some(interval)) => (
                CheckKind::Http,
                interval,
                Some(timeout.unwrap_or(DEFAULT_TIMEOUT)),
            ),
            _ => return Err("a check has either TTL, or HTTP and Interval"),
        };
        if !PERIOD.contains(&period) {
            return Err("TTL and Interval must be from 100ms to 24h");
        }
        let status = match self.status.as_deref() {
            None | Some("") => CheckStatus::Critical,
            Some("unknown") => return Err("Status must be passing, warning or critical"),
            Some(text) => {
                CheckStatus::parse(text).ok_or("Status must be passing, warning or critical")?
            }
        };
        Ok(Check {
            name: self
                .name
                .filter(|name| name.len() <= 256)
                .unwrap_or_else(|| id.clone()),
            id,
            kind,
            url: self.http,
            period,
            timeout,
            remove_after,
            status,
            output: String::new(),
            expires_at: None,
            change_index: 0,
        })
    }
}

fn duration_of(value: &Value) -> Result<Duration, &'static str> {
    let read = match value {
        Value::String(text) => duration(text),
        // Go's own form: nanoseconds.
        Value::Number(number) => number.as_u64().map(Duration::from_nanos),
        _ => None,
    };
    read.ok_or("a duration is a text such as 10s or 1m30s")
}

/// Reads a duration as Go writes it: numbers with the units h, m, s, ms, us, ns.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|one: char| !one.is_ascii_digit() && one != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let end = tail
            .find(|one: char| one.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let seconds = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "\u{b5}s" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, expected) in [
            ("10s", Some(10_000)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("250ms", Some(250)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("s", None),
            ("10x", None),
            ("-1s", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(
                duration(text),
                expected.map(Duration::from_millis),
                "{text}"
            );
        }
    }

    #[test]
    fn keys_are_read_in_any_form_and_metadata_stays_as_it_is() {
        for body in [
            r#"{"Name":"web","ID":"web1","Port":80,"Meta":{"Some_Key":"V"},"Check":{"TTL":"10s","DeregisterCriticalServiceAfter":"1m"}}"#,
            r#"{"name":"web","id":"web1","port":80,"meta":{"Some_Key":"V"},"check":{"ttl":"10s","deregister_critical_service_after":"1m"}}"#,
        ] {
            let service = parse(body.as_bytes(), None).unwrap();
            assert_eq!((service.name.as_str(), service.port), ("web", 80));
            assert!(service.meta.unwrap().contains_key("Some_Key"));
            let check = service.check.unwrap().read("made".to_owned()).unwrap();
            assert_eq!(
                (check.kind, check.period),
                (CheckKind::Ttl, Duration::from_secs(10))
            );
            assert_eq!(check.remove_after, Some(Duration::from_secs(60)));
            assert_eq!(
                check.status,
                CheckStatus::Critical,
                "until something is told"
            );
        }
    }

    #[test]
    fn checks_that_are_not_made_here_are_refused() {
        for check in [
            r#"{"TCP":"127.0.0.1:80","Interval":"1s"}"#,
            r#"{"Script":"rm -rf /","Interval":"1s"}"#,
            r#"{"HTTP":"http://a","Interval":"1s","Header":{"x":["y"]}}"#,
        ] {
            let body = format!(r#"{{"Name":"web","Port":80,"Check":{check}}}"#);
            assert!(parse(body.as_bytes(), None).is_err(), "{check}");
        }
        for check in [
            r#"{"HTTP":"http://a"}"#,
            r#"{"TTL":"10s","HTTP":"http://a","Interval":"1s"}"#,
            r#"{"TTL":"1ms"}"#,
            r#"{"TTL":"soon"}"#,
            r#"{"TTL":"10s","Status":"fine"}"#,
            r#"{"HTTP":"http://a","Interval":"1s","Method":"POST"}"#,
            r#"{}"#,
        ] {
            let check: CheckIn =
                serde_json::from_value(folded(serde_json::from_str(check).unwrap())).unwrap();
            assert!(check.read("made".to_owned()).is_err());
        }
    }
}
