//! Routes: each path of a Kong route is a route of its own.

use std::collections::HashMap;

use super::form::{KongFile, KongPlugin, KongRoute, Reference};
use super::limits::Limits;
use super::services::{Converted, name_of};
use super::{Notes, plugins, scope};
use crate::file::{FieldIn, FileIn, RouteIn};
use crate::matching::whole_regex;

pub(super) fn convert(
    kong: &KongFile,
    services: &HashMap<String, Converted>,
    file: &mut FileIn,
    notes: &mut Notes,
) {
    let mut work: Vec<(Option<String>, &KongRoute, Vec<&KongPlugin>)> = Vec::new();
    for (index, service) in kong.services.iter().enumerate() {
        let name = name_of(service, index);
        for route in &service.routes {
            work.push((Some(name.clone()), route, service.plugins.iter().collect()));
        }
    }
    for route in &kong.routes {
        let name = route.service.as_ref().and_then(Reference::name);
        let service = kong.services.iter().find(|it| it.name.as_deref() == name);
        let plugins = service.map(|service| service.plugins.iter().collect());
        work.push((
            name.map(ToOwned::to_owned),
            route,
            plugins.unwrap_or_default(),
        ));
    }
    let names = work.iter().enumerate();
    let names = names.map(|(index, (_service, route, _plugins))| route_name(route, index));
    let names: Vec<String> = names.collect();
    let known: Vec<String> = services.keys().cloned().collect();
    scope::name_lost(kong, &names, &known, notes);
    let mut limits = Limits::default();
    for (name, (service, route, nested)) in names.into_iter().zip(work) {
        let place = format!("route {name}");
        notes.unknown(&place, &route.other);
        let service = service.and_then(|name| services.get_key_value(&name));
        let Some((service, target)) = service else {
            notes.add(&place, "was not converted: it has no service");
            continue;
        };
        if target.backends.is_empty() {
            continue;
        }
        let speaks_http = |name: &String| matches!(name.as_str(), "http" | "https");
        if !route.protocols.is_empty() && !route.protocols.iter().any(speaks_http) {
            notes.add(
                &place,
                "was not converted: it is neither for http nor for https",
            );
            continue;
        }
        if route.protocols == ["https"] {
            notes.add(
                &place,
                "takes https alone in Kong; here both listeners serve every route",
            );
        }
        let hosts = hosts(route, &place, notes);
        if hosts.is_empty() && !route.hosts.is_empty() {
            // Without a host it would be for all of them.
            notes.add(&place, "was not converted: none of its hosts is known here");
            continue;
        }
        let scoped = scope::of_route(kong, &nested, service, (route, &name), notes);
        let first = file.routes.len();
        for path in paths(route) {
            if let Some(mut input) = one(route, path, target, &place, notes) {
                input.hosts.clone_from(&hosts);
                let count = file.routes.len() - first;
                input.name = Some(match count {
                    0 => name.clone(),
                    more => format!("{name}-{}", more + 1),
                });
                plugins::apply(&scoped, &mut input, &place, &mut limits, file, notes);
                file.routes.push(input);
            }
        }
    }
    file.rate_limits = limits.into_inner();
}

/// Kong's name of a route, or what stands for one.
fn route_name(route: &KongRoute, index: usize) -> String {
    let name = route.name.clone();
    name.unwrap_or_else(|| format!("route-{}", index + 1))
}

/// A route without paths is for all of them.
fn paths(route: &KongRoute) -> Vec<&str> {
    match route.paths.is_empty() {
        true => vec!["/"],
        false => route.paths.iter().map(String::as_str).collect(),
    }
}

fn one(
    route: &KongRoute,
    path: &str,
    target: &Converted,
    place: &str,
    notes: &mut Notes,
) -> Option<RouteIn> {
    let mut input = RouteIn {
        methods: route.methods.clone(),
        headers: route.headers.iter().map(condition).collect(),
        header_timeout_ms: target.read_timeout_ms,
        retries: target.retries.clone(),
        ..RouteIn::default()
    };
    if route.preserve_host == Some(true) {
        input.host_header = Some("client".to_owned());
    }
    match target.backends.as_slice() {
        [only] => input.service = Some(only.service.clone()),
        several => input.backends = several.to_vec(),
    }
    let strips = route.strip_path.unwrap_or(true);
    match path.strip_prefix('~') {
        Some(regex) => expression(&mut input, regex, place, notes)?,
        None => prefix(&mut input, path, target, strips, place, notes),
    }
    if input.regex.is_some() && (strips || !target.path.is_empty()) {
        notes.add(
            place,
            "`strip_path` and the service's path do not hold for expressions here; the service sees the whole path",
        );
    }
    Some(input)
}

fn hosts(route: &KongRoute, place: &str, notes: &mut Notes) -> Vec<String> {
    let mut hosts = Vec::new();
    for host in &route.hosts {
        let name = host
            .rsplit_once(':')
            .map_or(host.as_str(), |(name, _)| name);
        match crate::host::HostPattern::parse(&name.to_lowercase()) {
            Ok(_) => hosts.push(name.to_lowercase()),
            Err(_) => notes.add(place, &format!("the host `{host}` was not converted")),
        }
    }
    hosts
}

fn condition((name, values): (&String, &Vec<String>)) -> FieldIn {
    let escaped: Vec<String> = values
        .iter()
        .map(|value| regex_lite::escape(value))
        .collect();
    FieldIn {
        name: name.clone(),
        equals: None,
        // Kong compares values of headers without regard to case.
        regex: Some(format!("(?i){}", escaped.join("|"))),
    }
}

fn expression(input: &mut RouteIn, regex: &str, place: &str, notes: &mut Notes) -> Option<()> {
    let body = regex.strip_prefix('^').unwrap_or(regex);
    // Kong's expressions match at the beginning alone.
    let whole = match body.strip_suffix('$') {
        Some(body) if !body.ends_with('\\') => body.to_owned(),
        _ => format!("{body}.*"),
    };
    if whole_regex(&whole).is_err() {
        let note =
            format!("the path `~{regex}` was not converted: its expression is not known here");
        notes.add(place, &note);
        return None;
    }
    input.regex = Some(whole);
    Some(())
}

fn prefix(
    input: &mut RouteIn,
    path: &str,
    target: &Converted,
    strips: bool,
    place: &str,
    notes: &mut Notes,
) {
    let trimmed = path.trim_end_matches('/');
    if trimmed.len() < path.len() && !trimmed.is_empty() {
        let note = format!("`{path}` is `{trimmed}` here, which is for {trimmed} itself too");
        notes.add(place, &note);
    } else if !trimmed.is_empty() {
        let note = format!("`{path}` ends at a segment here: it is not for {path}x");
        notes.add(place, &note);
    }
    input.prefix = Some(if trimmed.is_empty() { "/" } else { trimmed }.to_owned());
    match (strips, target.path.as_str()) {
        (false, "") => {}
        (true, "") => input.strip_path = !trimmed.is_empty(),
        (true, base) => input.rewrite = Some(base.to_owned()),
        (false, base) => input.rewrite = Some(format!("{base}{trimmed}")),
    }
}
