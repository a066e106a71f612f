//! From the file as it is written to a table that can be used, with every fault on the way.

mod route;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use self::route::Compiler;
use crate::cors::CorsPolicy;
use crate::fault::{Faults, Report};
use crate::file::FileIn;
use crate::limits::RateLimit;
use crate::route::Service;
use crate::table::Parts;

/// Longest window of a rate limit: a day.
const MAX_WINDOW_SECONDS: u64 = 86_400;

/// Reads and checks a file. `known` are the services that need not stand in it.
pub(crate) fn compile(text: &str, known: &[&str]) -> Result<Parts, Faults> {
    let mut report = Report::new(text);
    let Some(file) = read(text, &mut report) else {
        return Err(report.into_faults());
    };
    let mut names = Names::new(&file, known, &mut report);
    let rate_limits = rate_limits(&file, &mut report);
    names.rate_limits = named(&file.rate_limits, |limit| &limit.name);
    names.limits.clone_from(&rate_limits);
    names.cors = cors_policies(&file, &mut report);
    let consumers = consumers(&file, &mut report);
    if file.routes.is_empty() {
        report.add("routes", "there must be at least one route");
    }
    let mut routes = Vec::with_capacity(file.routes.len());
    let mut labels: Vec<Arc<str>> = Vec::new();
    for (index, input) in file.routes.iter().enumerate() {
        let mut compiler = Compiler {
            prefix: format!("routes[{index}]"),
            input,
            names: &names,
            report: &mut report,
        };
        if let Some((route, hosts)) = compiler.route() {
            if labels.contains(&route.name) {
                compiler.fault(
                    "name",
                    format!("`{}` is the name of another route", route.name),
                );
            }
            labels.push(Arc::clone(&route.name));
            routes.push((route, hosts));
        }
    }
    report.finish(Parts {
        services: names.services,
        rate_limits,
        consumers,
        routes,
    })
}

fn read(text: &str, report: &mut Report<'_>) -> Option<FileIn> {
    let fault = |report: &mut Report<'_>, path: String, error: &toml::de::Error| {
        let path = if path == "." { String::new() } else { path };
        report.add_at(error.span(), path, error.message().to_owned());
    };
    let deserializer = match toml::Deserializer::parse(text) {
        Ok(deserializer) => deserializer,
        Err(error) => {
            fault(report, String::new(), &error);
            return None;
        }
    };
    match serde_path_to_error::deserialize(deserializer) {
        Ok(file) => Some(file),
        Err(error) => {
            let path = error.path().to_string();
            fault(report, path, error.inner());
            None
        }
    }
}

/// What routes can name.
struct Names {
    services: Vec<Service>,
    /// The places of limits among `limits`.
    rate_limits: HashMap<String, usize>,
    limits: Vec<Arc<RateLimit>>,
    cors: HashMap<String, Arc<CorsPolicy>>,
}

impl Names {
    fn new(file: &FileIn, known: &[&str], report: &mut Report<'_>) -> Self {
        let own = known.iter().map(|name| Service {
            name: (*name).into(),
            url: None,
        });
        let mut services: Vec<Service> = own.collect();
        for (index, input) in file.services.iter().enumerate() {
            let field = |name: &str| format!("services[{index}].{name}");
            let letter = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte)
            };
            if !(1..=64).contains(&input.name.len()) || !input.name.bytes().all(letter) {
                let message = "must be 1 to 64 of a-z, 0-9, -, _ and .";
                report.add(field("name"), message);
            }
            if services.iter().any(|service| *service.name == *input.name) {
                report.add(field("name"), "there is a service of this name");
            }
            if let Some(url) = &input.url
                && !is_origin(url)
            {
                report.add(field("url"), "must be http://host[:port] without a path");
            }
            services.push(Service {
                name: input.name.as_str().into(),
                url: input.url.clone(),
            });
        }
        Self {
            services,
            rate_limits: HashMap::new(),
            limits: Vec::new(),
            cors: HashMap::new(),
        }
    }

    fn service(&self, name: &str) -> Option<usize> {
        self.services
            .iter()
            .position(|service| *service.name == *name)
    }
}

fn is_origin(url: &str) -> bool {
    let uri: Result<http::Uri, _> = url.parse();
    uri.is_ok_and(|uri| {
        uri.scheme_str() == Some("http")
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            && uri.authority().is_some_and(|it| !it.as_str().contains('@'))
    })
}

fn named<T>(items: &[T], name: impl Fn(&T) -> &String) -> HashMap<String, usize> {
    let pairs = items.iter().enumerate();
    pairs
        .map(|(index, item)| (name(item).clone(), index))
        .collect()
}

fn rate_limits(file: &FileIn, report: &mut Report<'_>) -> Vec<Arc<RateLimit>> {
    let mut limits: Vec<Arc<RateLimit>> = Vec::new();
    for (index, input) in file.rate_limits.iter().enumerate() {
        let field = |name: &str| format!("rate_limits[{index}].{name}");
        // It stands between quotes in a header.
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=64).contains(&input.name.len()) || !input.name.bytes().all(letter) {
            report.add(field("name"), "must be 1 to 64 letters, digits, -, _ and .");
        }
        if limits.iter().any(|limit| *limit.name == *input.name) {
            report.add(field("name"), "there is a limit of this name");
        }
        if input.requests == 0 || input.burst == Some(0) {
            report.add(field("requests"), "must be at least 1, and burst too");
        }
        if !(1..=MAX_WINDOW_SECONDS).contains(&input.window_seconds) {
            let message = format!("must be from 1 to {MAX_WINDOW_SECONDS}");
            report.add(field("window_seconds"), message);
        }
        limits.push(Arc::new(RateLimit {
            name: input.name.as_str().into(),
            by: input.by.into(),
            requests: input.requests,
            window: Duration::from_secs(input.window_seconds),
            burst: input.burst.unwrap_or(input.requests),
        }));
    }
    limits
}

fn cors_policies(file: &FileIn, report: &mut Report<'_>) -> HashMap<String, Arc<CorsPolicy>> {
    let mut policies = HashMap::new();
    for (index, input) in file.cors.iter().enumerate() {
        let field = |name: &str| format!("cors[{index}].{name}");
        if input.name.is_empty() || input.name == "off" {
            report.add(field("name"), "must be a name other than off");
        }
        match CorsPolicy::compile(input) {
            Ok(policy) => {
                if policies
                    .insert(input.name.clone(), Arc::new(policy))
                    .is_some()
                {
                    report.add(field("name"), "there is a policy of this name");
                }
            }
            Err(faults) => {
                for (name, message) in faults {
                    report.add(field(&name), message);
                }
            }
        }
    }
    policies
}

fn consumers(file: &FileIn, report: &mut Report<'_>) -> HashMap<[u8; 32], Arc<str>> {
    let mut consumers = HashMap::new();
    for (index, input) in file.consumers.iter().enumerate() {
        if HeaderValue::from_str(&input.name).is_err() || input.name.is_empty() {
            let message = "must be a text that can stand in a header";
            report.add(format!("consumers[{index}].name"), message);
        }
        let name: Arc<str> = input.name.as_str().into();
        for (place, digest) in input.key_sha256.iter().enumerate() {
            let field = format!("consumers[{index}].key_sha256[{place}]");
            match digest_of(digest) {
                None => report.add(field, "must be 64 lower-case hexadecimal digits"),
                Some(digest) => {
                    if consumers.insert(digest, Arc::clone(&name)).is_some() {
                        report.add(field, "another consumer has this key");
                    }
                }
            }
        }
    }
    consumers
}

fn digest_of(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 64 || !text.bytes().all(digit) {
        return None;
    }
    let mut digest = [0; 32];
    for (place, byte) in digest.iter_mut().enumerate() {
        let pair = text.get(place * 2..place * 2 + 2)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(digest)
}
