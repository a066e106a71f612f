//! All routes, found by host and path without looking at each.

use std::collections::HashMap;
use std::sync::Arc;

use crate::compile;
use crate::fault::Faults;
use crate::host::{HostPattern, name_of};
use crate::is_internal;
use crate::limits::RateLimit;
use crate::matching::PathMatch;
use crate::path::CanonicalPath;
use crate::route::{Route, Service};

/// What of a request decides its route.
pub struct Request<'r> {
    /// The authority that the client asked for.
    pub host: Option<&'r str>,
    /// The path.
    pub path: &'r CanonicalPath<'r>,
    /// The method.
    pub method: &'r str,
    /// The query, without its question mark.
    pub query: Option<&'r str>,
    /// The first value of a header.
    pub header: &'r dyn Fn(&str) -> Option<&'r str>,
}

/// All routes of a file.
#[derive(Debug, Default)]
pub struct Table {
    services: Vec<Service>,
    rate_limits: Vec<Arc<RateLimit>>,
    consumers: HashMap<[u8; 32], Arc<str>>,
    routes: Vec<Route>,
    exact_hosts: HashMap<Box<str>, Paths>,
    /// The longest first.
    hosts_below: Vec<(Box<str>, Paths)>,
    any_host: Paths,
}

/// Routes of one host, by path. Every list is in the order in which it is tried.
#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<Box<str>, Vec<usize>>,
    patterns: Vec<usize>,
    prefixes: HashMap<Box<str>, Vec<usize>>,
}

/// The parts of a table before it is indexed.
pub(crate) struct Parts {
    pub(crate) services: Vec<Service>,
    pub(crate) rate_limits: Vec<Arc<RateLimit>>,
    pub(crate) consumers: HashMap<[u8; 32], Arc<str>>,
    pub(crate) routes: Vec<(Route, Vec<HostPattern>)>,
}

impl Table {
    /// Reads a table from a file's text. `known` are the services that need not stand in it.
    ///
    /// # Errors
    /// With every fault, its line and its field.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, Faults> {
        compile::compile(text, known).map(Self::index)
    }

    /// The services, by the index that routes use.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The limits, by the index that routes use.
    #[must_use]
    pub fn rate_limits(&self) -> &[Arc<RateLimit>] {
        &self.rate_limits
    }

    /// Every route, in the order of the file.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Whose key has this SHA-256.
    #[must_use]
    pub fn consumer(&self, key_sha256: &[u8; 32]) -> Option<&Arc<str>> {
        self.consumers.get(key_sha256)
    }

    /// The route of a request, and its place in [`Table::routes`]. The most specific host wins,
    /// then the most specific path, then the route with a method, more headers, more parameters,
    /// and then the one that stands first (Gateway API, `HTTPRouteRule.matches`).
    #[must_use]
    pub fn find(&self, request: &Request<'_>) -> Option<(usize, &Route)> {
        if is_internal(request.path.as_str()) {
            return None;
        }
        let index = self
            .groups(request.host)
            .find_map(|paths| paths.find(&self.routes, request))?;
        self.routes.get(index).map(|route| (index, route))
    }

    /// Whether some request for this path reaches this service at the same path.
    #[must_use]
    pub fn leads_to(&self, path: &CanonicalPath<'_>, service: &str) -> bool {
        let index = self
            .services
            .iter()
            .position(|known| *known.name == *service);
        let Some(index) = index.filter(|_| !is_internal(path.as_str())) else {
            return false;
        };
        let leads = |route: &Route| {
            route
                .backends
                .iter()
                .any(|backend| backend.service == index)
                && route
                    .rewritten(path)
                    .is_ok_and(|target| target == path.as_str())
        };
        let candidates = self.any_host.candidates(&self.routes, path.as_str());
        candidates
            .filter_map(|index| self.routes.get(index))
            .next()
            .is_some_and(leads)
    }

    fn groups<'t>(&'t self, host: Option<&'t str>) -> impl Iterator<Item = &'t Paths> {
        let name = host.map(name_of).unwrap_or_default();
        let lower = match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => std::borrow::Cow::Owned(name.to_ascii_lowercase()),
            false => std::borrow::Cow::Borrowed(name),
        };
        let exact = match self.exact_hosts.is_empty() {
            true => None,
            false => self.exact_hosts.get(&*lower),
        };
        let below = self.hosts_below.iter();
        let below = below
            .filter(move |(suffix, _)| lower.len() > suffix.len() && lower.ends_with(&**suffix));
        exact
            .into_iter()
            .chain(below.map(|(_, paths)| paths))
            .chain(std::iter::once(&self.any_host))
    }

    fn index(parts: Parts) -> Self {
        let Parts {
            services,
            rate_limits,
            consumers,
            routes,
        } = parts;
        let mut table = Self {
            services,
            rate_limits,
            consumers,
            ..Self::default()
        };
        for (index, (route, hosts)) in routes.into_iter().enumerate() {
            if hosts.is_empty() {
                table.any_host.add(index, &route);
            }
            for host in hosts {
                table.group(host).add(index, &route);
            }
            table.routes.push(route);
        }
        table
            .hosts_below
            .sort_by_key(|(suffix, _)| usize::MAX - suffix.len());
        let Self {
            routes,
            exact_hosts,
            hosts_below,
            any_host,
            ..
        } = &mut table;
        let groups = exact_hosts.values_mut();
        let groups = groups.chain(hosts_below.iter_mut().map(|(_, paths)| paths));
        for paths in groups.chain(std::iter::once(any_host)) {
            paths.sort(routes);
        }
        table
    }

    fn group(&mut self, host: HostPattern) -> &mut Paths {
        match host {
            HostPattern::Exact(name) => self.exact_hosts.entry(name).or_default(),
            HostPattern::Below(suffix) => {
                let known = self.hosts_below.iter().position(|(it, _)| *it == suffix);
                let index = known.unwrap_or_else(|| {
                    self.hosts_below.push((suffix, Paths::default()));
                    self.hosts_below.len() - 1
                });
                match self.hosts_below.get_mut(index) {
                    Some((_, paths)) => paths,
                    None => &mut self.any_host,
                }
            }
        }
    }
}

impl Paths {
    fn add(&mut self, index: usize, route: &Route) {
        let list = match &route.matcher.path {
            PathMatch::Exact(path) => self.exact.entry(path.clone()).or_default(),
            PathMatch::Template(_) | PathMatch::Regex(_) => &mut self.patterns,
            PathMatch::Prefix(prefix) => self.prefixes.entry(prefix.clone()).or_default(),
        };
        list.push(index);
    }

    fn sort(&mut self, routes: &[Route]) {
        let rank = |index: &usize| {
            let route = routes.get(*index);
            route.map(|route| (route.matcher.path.rank(), route.matcher.rank(), *index))
        };
        let lists = self.exact.values_mut().chain(self.prefixes.values_mut());
        for list in lists.chain(std::iter::once(&mut self.patterns)) {
            list.sort_by_key(rank);
        }
    }

    fn find(&self, routes: &[Route], request: &Request<'_>) -> Option<usize> {
        self.candidates(routes, request.path.as_str())
            .find(|index| {
                let route = routes.get(*index);
                route.is_some_and(|route| route.matcher.accepts(request))
            })
    }

    /// The routes whose path matches, the most specific first.
    fn candidates<'p>(
        &'p self,
        routes: &'p [Route],
        path: &'p str,
    ) -> impl Iterator<Item = usize> + 'p {
        let exact = match self.exact.is_empty() {
            true => None,
            false => self.exact.get(path),
        };
        let patterns = self.patterns.iter().filter(move |index| {
            let route = routes.get(**index);
            route.is_some_and(|route| route.matcher.path.matches(path))
        });
        let prefixes = prefixes_of(path).filter_map(|prefix| self.prefixes.get(prefix));
        exact
            .into_iter()
            .flatten()
            .chain(patterns)
            .chain(prefixes.flatten())
            .copied()
    }
}

/// The path, then what is left of it segment by segment; at last the empty text.
fn prefixes_of(path: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(path);
    std::iter::from_fn(move || {
        let current = next?;
        next = current.rfind('/').and_then(|end| current.get(..end));
        Some(current)
    })
}
