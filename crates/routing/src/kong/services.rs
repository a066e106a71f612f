//! Services and upstreams.

use std::collections::HashMap;

use super::Notes;
use super::form::{KongFile, KongService};
use crate::failure::MAX_ATTEMPTS;
use crate::file::{BackendIn, FileIn, RetriesIn, ServiceIn};

/// What became of a service.
#[derive(Clone, Debug, Default)]
pub(super) struct Converted {
    /// Where its routes lead; empty when it could not be converted.
    pub(super) backends: Vec<BackendIn>,
    /// Put in front of every path; without a slash at its end.
    pub(super) path: String,
    pub(super) read_timeout_ms: Option<u64>,
    pub(super) retries: Option<RetriesIn>,
}

/// Converts all services; the result is by Kong's names.
pub(super) fn convert(
    kong: &KongFile,
    known: &[&str],
    file: &mut FileIn,
    notes: &mut Notes,
) -> HashMap<String, Converted> {
    for upstream in &kong.upstreams {
        notes.unknown(&format!("upstream {}", upstream.name), &upstream.other);
    }
    let mut converted = HashMap::new();
    for (index, service) in kong.services.iter().enumerate() {
        let name = name_of(service, index);
        let place = format!("service {name}");
        notes.unknown(&place, &service.other);
        let result = one(kong, service, &name, known, file, notes);
        match result {
            Ok(result) => converted.insert(name, result),
            Err(reason) => {
                notes.add(
                    &place,
                    &format!("it and its routes were not converted: {reason}"),
                );
                converted.insert(name, Converted::default())
            }
        };
    }
    converted
}

/// Kong's name of a service, or what stands for one.
pub(super) fn name_of(service: &KongService, index: usize) -> String {
    let name = service.name.as_ref().or(service.id.as_ref());
    name.cloned()
        .unwrap_or_else(|| format!("service-{}", index + 1))
}

fn one(
    kong: &KongFile,
    service: &KongService,
    name: &str,
    known: &[&str],
    file: &mut FileIn,
    notes: &mut Notes,
) -> Result<Converted, String> {
    if service.enabled == Some(false) {
        return Err("it is not enabled".to_owned());
    }
    let (host, port, path) = address(service)?;
    let upstream = kong.upstreams.iter().find(|upstream| upstream.name == host);
    let targets: Vec<(String, u32)> = match upstream {
        None => vec![(authority(&host, port), 1)],
        Some(upstream) => {
            let targets = upstream.targets.iter();
            let targets =
                targets.map(|target| (with_port(&target.target), target.weight.unwrap_or(100)));
            targets.filter(|(_, weight)| *weight > 0).collect()
        }
    };
    if targets.is_empty() {
        return Err("its upstream has no targets".to_owned());
    }
    let own = plain(name);
    let taken = known.contains(&own.as_str());
    let own = if taken { format!("kong-{own}") } else { own };
    let place = format!("service {name}");
    if own != name {
        notes.add(&place, &format!("is called `{own}` here"));
    }
    let mut backends = Vec::new();
    let single = targets.len() == 1;
    if !single {
        notes.add(
            &place,
            "its targets became services here: the share of one that does not work is answered \
             with 503 and not sent to another; for that, declare one service without `url`, name \
             it in the routes, and register the targets as its instances (docs/discovery.md)",
        );
    }
    for (index, (target, weight)) in targets.into_iter().enumerate() {
        let name = if single {
            own.clone()
        } else {
            format!("{own}-{}", index + 1)
        };
        file.services.push(ServiceIn {
            name: name.clone(),
            url: Some(format!("http://{target}")),
        });
        backends.push(BackendIn {
            service: name,
            weight,
        });
    }
    Ok(Converted {
        backends,
        path: path.trim_end_matches('/').to_owned(),
        read_timeout_ms: service.read_timeout.filter(|time| *time > 0),
        retries: service
            .retries
            .map(|retries| retries_of(retries, &place, notes)),
    })
}

/// Kong counts the tries after the first.
fn retries_of(retries: u32, place: &str, notes: &mut Notes) -> RetriesIn {
    let attempts = retries.saturating_add(1).min(MAX_ATTEMPTS);
    if attempts <= retries {
        let note = format!("`retries` {retries} became {}, the most here", attempts - 1);
        notes.add(place, &note);
    }
    RetriesIn {
        attempts: Some(attempts),
        ..RetriesIn::default()
    }
}

fn address(service: &KongService) -> Result<(String, u16, String), String> {
    let url = match (&service.url, &service.host) {
        (Some(url), _) => url.clone(),
        (None, Some(host)) => {
            let protocol = service.protocol.as_deref().unwrap_or("http");
            let port = service.port.unwrap_or(80);
            let path = service.path.as_deref().unwrap_or("");
            format!("{protocol}://{}{path}", authority(host, port))
        }
        (None, None) => return Err("it has no host".to_owned()),
    };
    let uri: http::Uri = url
        .parse()
        .map_err(|_invalid| format!("`{url}` is no address"))?;
    match uri.scheme_str() {
        Some("http") => {}
        scheme => {
            let scheme = scheme.unwrap_or_default();
            return Err(format!("services are reached over http, not {scheme}"));
        }
    }
    let host = uri.host().unwrap_or_default().to_owned();
    let path = if uri.path() == "/" { "" } else { uri.path() };
    Ok((host, uri.port_u16().unwrap_or(80), path.to_owned()))
}

fn authority(host: &str, port: u16) -> String {
    if port == 80 {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    }
}

/// Kong's targets listen on 8000 when they do not say it.
fn with_port(target: &str) -> String {
    match target.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => target.to_owned(),
        _ => format!("{target}:8000"),
    }
}

/// A name that can stand in a routing file.
pub(super) fn plain(name: &str) -> String {
    let lower = name.to_lowercase();
    let letter = |it: char| {
        if it.is_ascii_alphanumeric() || "-_.".contains(it) {
            it
        } else {
            '-'
        }
    };
    lower.chars().map(letter).take(60).collect()
}
