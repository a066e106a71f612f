//! One route, from the file to what the gateway serves by.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use super::Names;
use crate::access::{Access, network};
use crate::cache::CachePolicy;
use crate::failure::{BreakerTerms, Fallback, Retries};
use crate::fault::Report;
use crate::file::{AuthIn, FieldIn, HeaderEditsIn, RouteIn};
use crate::headers::HeaderEdits;
use crate::host::HostPattern;
use crate::is_internal;
use crate::limits::RateKey;
use crate::matching::{Matcher, PathMatch, Template, ValueMatch, whole_regex};
use crate::mirror::Mirror;
use crate::path::CanonicalPath;
use crate::rewrite::{Part, Rewrite, parts};
use crate::route::{Auth, AuthMode, Backend, CorsChoice, HostHeader, Route};

/// Makes one route.
pub(super) struct Compiler<'c, 't> {
    pub(super) prefix: String,
    pub(super) input: &'c RouteIn,
    pub(super) names: &'c Names,
    pub(super) report: &'c mut Report<'t>,
}

impl Compiler<'_, '_> {
    pub(super) fn fault(&mut self, field: &str, message: impl Into<String>) {
        let field = format!("{}.{field}", self.prefix);
        self.report.add(field, message);
    }

    pub(super) fn route(&mut self) -> Option<(Route, Vec<HostPattern>)> {
        let input = self.input;
        let hosts = self.hosts();
        let path = self.path();
        let backends = self.backends();
        let (host_header, auth) = (self.host_header(), self.auth());
        let request_headers = self.edits("request_headers", input.request_headers.as_ref());
        let response_headers = self.edits("response_headers", input.response_headers.as_ref());
        let access = self.access();
        let rate_limits = self.rate_limits();
        let cors = self.cors();
        let (cache, mirror) = (self.cache(), self.mirror());
        let (retries, breaker, fallback) = self.failures();
        let (header_timeout, idle_timeout) = self.timeouts();
        let methods = self.methods();
        let headers = self.header_conditions();
        let query = self.query_conditions();
        let path = path?;
        let rewrite = self.rewrite(&path);
        let route = Route {
            name: self.name().into(),
            backends,
            host_header,
            encoded_slashes: input.encoded_slashes,
            request_headers,
            response_headers,
            header_timeout,
            idle_timeout,
            max_body_bytes: input.max_body_bytes,
            max_target_bytes: input.max_target_bytes,
            max_header_bytes: input.max_header_bytes,
            auth,
            access,
            rate_limits,
            cors,
            retries,
            breaker,
            fallback,
            mirror,
            cache,
            compress: input.compress,
            websocket: input.websocket,
            matcher: Matcher {
                path,
                methods,
                headers,
                query,
            },
            rewrite,
            turns: AtomicU32::new(0),
        };
        Some((route, hosts))
    }

    /// The label in metrics and logs.
    fn name(&self) -> String {
        let input = self.input;
        let path = [&input.prefix, &input.exact, &input.template, &input.regex];
        let first = std::iter::once(&input.name).chain(path).flatten().next();
        first.cloned().unwrap_or_else(|| "/".to_owned())
    }

    fn hosts(&mut self) -> Vec<HostPattern> {
        let mut hosts = Vec::new();
        for (index, text) in self.input.hosts.iter().enumerate() {
            match HostPattern::parse(text) {
                Ok(host) => hosts.push(host),
                Err(message) => self.fault(&format!("hosts[{index}]"), message),
            }
        }
        hosts
    }

    fn path(&mut self) -> Option<PathMatch> {
        let input = self.input;
        let kinds = [
            ("prefix", &input.prefix),
            ("exact", &input.exact),
            ("template", &input.template),
            ("regex", &input.regex),
        ];
        let mut given = kinds
            .into_iter()
            .filter_map(|(kind, text)| Some((kind, text.as_deref()?)));
        let (kind, text) = given.next().unwrap_or(("prefix", "/"));
        if let Some((second, _)) = given.next() {
            self.fault(
                second,
                format!("a route has one path, and `{kind}` stands there too"),
            );
            return None;
        }
        let path = match kind {
            "template" => Template::parse(text)
                .map(PathMatch::Template)
                .map_err(ToOwned::to_owned),
            "regex" => whole_regex(text).map(PathMatch::Regex),
            _ => canonical(text).map(|()| match kind {
                "exact" => PathMatch::Exact(text.into()),
                _ => PathMatch::Prefix(text.strip_suffix('/').unwrap_or(text).into()),
            }),
        };
        match path {
            // Dead, and a hint at a misunderstanding.
            Ok(_) if is_internal(text) => {
                self.fault(kind, "/internal is never routed");
                None
            }
            Ok(PathMatch::Prefix(_)) if text.len() > 1 && text.ends_with('/') => {
                self.fault(
                    kind,
                    "must not end with a slash: it covers what lies below it anyhow",
                );
                None
            }
            Ok(path) => Some(path),
            Err(message) => {
                self.fault(kind, message);
                None
            }
        }
    }

    fn backends(&mut self) -> Vec<Backend> {
        let input = self.input;
        if input.service.is_some() != input.backends.is_empty() {
            self.fault("service", "a route has either a service or backends");
        }
        let mut backends = Vec::new();
        let single = input
            .service
            .iter()
            .map(|name| ("service".to_owned(), name, 1));
        let several = input.backends.iter().enumerate();
        let several = several.map(|(index, backend)| {
            let field = format!("backends[{index}].service");
            (field, &backend.service, backend.weight)
        });
        for (field, name, weight) in single.chain(several) {
            match self.names.service(name) {
                Some(service) => backends.push(Backend { service, weight }),
                None => self.fault(&field, format!("there is no service `{name}`")),
            }
        }
        let sum = backends
            .iter()
            .map(|backend| u64::from(backend.weight))
            .sum::<u64>();
        if !backends.is_empty() && !(1..=1_000_000).contains(&sum) {
            self.fault("backends", "the weights together must be from 1 to 1000000");
        }
        backends
    }

    fn methods(&mut self) -> Vec<Box<str>> {
        let mut methods = Vec::new();
        for (index, text) in self.input.methods.iter().enumerate() {
            let is_method = Method::from_bytes(text.as_bytes()).is_ok();
            if !is_method || matches!(text.as_str(), "CONNECT" | "TRACE") {
                let message = format!("`{text}` is no method that is offered");
                self.fault(&format!("methods[{index}]"), message);
            }
            methods.push(text.as_str().into());
        }
        methods
    }

    fn condition(&mut self, field: &str, input: &FieldIn) -> Option<ValueMatch> {
        match (&input.equals, &input.regex) {
            (None, None) => Some(ValueMatch::Present),
            (Some(value), None) => Some(ValueMatch::Equals(value.as_str().into())),
            (None, Some(regex)) => match whole_regex(regex) {
                Ok(regex) => Some(ValueMatch::Regex(regex)),
                Err(message) => {
                    self.fault(&format!("{field}.regex"), message);
                    None
                }
            },
            (Some(_), Some(_)) => {
                self.fault(field, "a condition has either equals or regex");
                None
            }
        }
    }

    fn header_conditions(&mut self) -> Vec<(HeaderName, ValueMatch)> {
        let mut conditions = Vec::new();
        for (index, input) in self.input.headers.iter().enumerate() {
            let field = format!("headers[{index}]");
            let value = self.condition(&field, input);
            match (HeaderName::from_bytes(input.name.as_bytes()), value) {
                (Ok(name), Some(value)) => conditions.push((name, value)),
                (Err(_), _) => self.fault(&format!("{field}.name"), "must be a header name"),
                (Ok(_), None) => {}
            }
        }
        conditions
    }

    fn query_conditions(&mut self) -> Vec<(Box<str>, ValueMatch)> {
        let mut conditions = Vec::new();
        for (index, input) in self.input.query.iter().enumerate() {
            let field = format!("query[{index}]");
            if input.name.is_empty() {
                self.fault(&format!("{field}.name"), "must not be empty");
            }
            if let Some(value) = self.condition(&field, input) {
                conditions.push((input.name.as_str().into(), value));
            }
        }
        conditions
    }

    fn rewrite(&mut self, path: &PathMatch) -> Rewrite {
        let input = self.input;
        let is_fixed = matches!(path, PathMatch::Prefix(_) | PathMatch::Exact(_));
        match (&input.rewrite, input.strip_path) {
            (None, false) => Rewrite::Keep,
            (None, true) if is_fixed => Rewrite::Strip,
            (None, true) => {
                self.fault("strip_path", "only a prefix can be left out; use rewrite");
                Rewrite::Keep
            }
            (Some(_), true) => {
                self.fault("strip_path", "stands beside rewrite, which says it already");
                Rewrite::Keep
            }
            (Some(text), false) => self.rewrite_to(path, text),
        }
    }

    fn rewrite_to(&mut self, path: &PathMatch, text: &str) -> Rewrite {
        let parts = match parts(text) {
            Ok(parts) => parts,
            Err(message) => {
                self.fault("rewrite", message);
                return Rewrite::Keep;
            }
        };
        let known: Vec<&str> = match path {
            PathMatch::Template(template) => template.names().collect(),
            PathMatch::Regex(regex) => regex.capture_names().flatten().collect(),
            PathMatch::Exact(_) | PathMatch::Prefix(_) => Vec::new(),
        };
        for part in &parts {
            if let Part::Placeholder(name) = part
                && !known.contains(&&**name)
            {
                self.fault("rewrite", format!("the path has no placeholder `{name}`"));
            }
        }
        // Letters stand for the placeholders while the text around them is looked at.
        let shape = parts.iter().map(|part| match part {
            Part::Text(text) => &**text,
            Part::Placeholder(_) => "x",
        });
        let shape = shape.collect::<String>();
        match canonical(&shape) {
            Err(message) => self.fault("rewrite", message),
            Ok(()) if is_internal(text) => self.fault("rewrite", "/internal is never routed"),
            Ok(()) => {}
        }
        match path {
            PathMatch::Prefix(_) => Rewrite::Prefix(text.strip_suffix('/').unwrap_or(text).into()),
            _ => Rewrite::Whole(parts),
        }
    }

    fn host_header(&mut self) -> HostHeader {
        match self.input.host_header.as_deref() {
            None | Some("service") => HostHeader::Service,
            Some("client") => HostHeader::Client,
            Some(host) => {
                let authority: Result<http::uri::Authority, _> = host.parse();
                let value = HeaderValue::from_str(host);
                match (authority, value) {
                    (Ok(authority), Ok(value)) if !authority.as_str().contains('@') => {
                        HostHeader::Fixed(value)
                    }
                    _ => {
                        self.fault("host_header", "must be service, client or host[:port]");
                        HostHeader::Service
                    }
                }
            }
        }
    }

    fn auth(&mut self) -> Auth {
        let input = self.input;
        let mode = match input.auth {
            AuthIn::None => AuthMode::None,
            AuthIn::Optional => AuthMode::Optional,
            AuthIn::Required => AuthMode::Required,
        };
        let narrows = input.permission.is_some() || !input.roles.is_empty();
        if narrows && mode != AuthMode::Required {
            self.fault(
                "auth",
                "must be required where a permission or roles are asked for",
            );
        }
        if input.api_keys && mode == AuthMode::None {
            self.fault("auth", "must be optional or required where keys are taken");
        }
        Auth {
            mode,
            api_keys: input.api_keys,
            permission: input.permission,
            roles: input.roles.clone(),
        }
    }

    fn edits(&mut self, name: &str, input: Option<&HeaderEditsIn>) -> HeaderEdits {
        let Some(input) = input else {
            return HeaderEdits::default();
        };
        HeaderEdits::compile(input, |field, message| {
            self.fault(&format!("{name}.{field}"), message);
        })
    }

    fn access(&mut self) -> Access {
        let mut lists = [Vec::new(), Vec::new()];
        let inputs = [("allow", &self.input.allow), ("deny", &self.input.deny)];
        for ((name, texts), list) in inputs.into_iter().zip(&mut lists) {
            for (index, text) in texts.iter().enumerate() {
                match network(text) {
                    Ok(network) => list.push(network),
                    Err(message) => self.fault(&format!("{name}[{index}]"), message),
                }
            }
        }
        let [allow, deny] = lists;
        Access::new(allow, deny)
    }

    fn rate_limits(&mut self) -> Vec<usize> {
        let mut limits = Vec::new();
        for (index, name) in self.input.rate_limits.iter().enumerate() {
            let place = self.names.rate_limits.get(name).copied();
            let limit = place.and_then(|place| self.names.limits.get(place));
            let field = format!("rate_limits[{index}]");
            match limit {
                None => self.fault(&field, format!("there is no limit `{name}`")),
                // A key that nobody looked at is whatever the client makes up.
                Some(limit) if limit.by == RateKey::ApiKey && !self.input.api_keys => {
                    let message = format!("`{name}` counts by API key: api_keys must be true");
                    self.fault(&field, message);
                }
                Some(_) => limits.extend(place),
            }
        }
        limits
    }

    fn cors(&mut self) -> CorsChoice {
        match self.input.cors.as_deref() {
            None => CorsChoice::Default,
            Some("off") => CorsChoice::Off,
            Some(name) => match self.names.cors.get(name) {
                Some(policy) => CorsChoice::Policy(Arc::clone(policy)),
                None => {
                    self.fault("cors", format!("there is no policy `{name}`"));
                    CorsChoice::Default
                }
            },
        }
    }

    fn cache(&mut self) -> Option<CachePolicy> {
        let input = self.input.cache.as_ref()?;
        let policy = CachePolicy::compile(input, |field, message| {
            self.fault(&format!("cache.{field}"), message);
        });
        Some(policy)
    }

    fn mirror(&mut self) -> Option<Mirror> {
        let input = self.input.mirror.as_ref()?;
        if !(1..=100).contains(&input.percent) {
            self.fault("mirror.percent", "must be from 1 to 100");
        }
        let service = self.names.service(&input.service);
        if service.is_none() {
            let message = format!("there is no service `{}`", input.service);
            self.fault("mirror.service", message);
        }
        Some(Mirror {
            service: service?,
            percent: input.percent,
            turns: AtomicU32::new(0),
        })
    }

    fn failures(&mut self) -> (Option<Retries>, Option<BreakerTerms>, Option<Fallback>) {
        let (input, names) = (self.input, self.names);
        let retries = input.retries.as_ref().map(|retries| {
            Retries::compile(retries, |field, message| {
                self.fault(&format!("retries.{field}"), message);
            })
        });
        let breaker = input.breaker.as_ref().map(|breaker| {
            BreakerTerms::compile(breaker, |field, message| {
                self.fault(&format!("breaker.{field}"), message);
            })
        });
        let fallback = input.fallback.as_ref().and_then(|fallback| {
            let service = |name: &str| names.service(name);
            Fallback::compile(fallback, service, |field, message| match field {
                "" => self.fault("fallback", message),
                field => self.fault(&format!("fallback.{field}"), message),
            })
        });
        (retries, breaker, fallback)
    }

    fn timeouts(&mut self) -> (Option<Duration>, Option<Duration>) {
        let times = [
            ("header_timeout_ms", self.input.header_timeout_ms),
            ("idle_timeout_ms", self.input.idle_timeout_ms),
        ];
        let [header, idle] = times.map(|(name, time)| {
            if time == Some(0) {
                self.fault(name, "must not be zero");
            }
            time.map(Duration::from_millis)
        });
        (header, idle)
    }
}

/// Whether a path stands in the one form that requests are compared with.
fn canonical(text: &str) -> Result<(), String> {
    match CanonicalPath::parse(text) {
        Err(fault) => Err(fault.0.to_owned()),
        Ok(path) if path.as_str() != text => Err(format!(
            "must be in canonical form, which is `{}`",
            path.as_str()
        )),
        Ok(_) => Ok(()),
    }
}
