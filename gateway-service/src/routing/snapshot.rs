//! One state of the routing file, bound to services, limits and cross-origin rules. A request keeps
//! the one it began with.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use metrics::SharedString;
use resilience::Breaker;
use routing::path::CanonicalPath;
use routing::{CorsChoice, HeaderEdits, Request, Route, Table};

use super::failure::Failure;
use crate::directory::{Directory, Fallback, Service};
use crate::edge::cors::Cors;
use crate::edge::limit::{Limiter, Limiters};
use crate::edge::screen::Screened;

/// Where a service of the file is found.
#[derive(Clone)]
enum Bound {
    /// Here, as long as this snapshot lives.
    Service(Arc<Service>),
    /// Wherever it registers itself.
    ByName(Arc<str>),
}

/// All that a request's way depends on.
pub(crate) struct Snapshot {
    table: Table,
    services: Vec<Bound>,
    /// By the index of the limit.
    limiters: Vec<Arc<Limiter>>,
    /// By the index of the route.
    ends: Vec<RouteEnds>,
    default_cors: Arc<Cors>,
    max_target_bytes: usize,
}

/// What is put on a route's answers, made ready.
struct RouteEnds {
    cors: Arc<Cors>,
    edits: AnswerEdits,
    failure: Failure,
}

/// What a snapshot is bound to.
pub(crate) struct Bindings<'b> {
    pub(crate) directory: &'b Directory,
    pub(crate) default_cors: &'b Arc<Cors>,
    pub(crate) limiters: &'b Limiters,
    pub(crate) max_target_bytes: usize,
    /// The state before this one; what is the same in both goes on.
    pub(crate) previous: Option<&'b Snapshot>,
}

/// A service of the file that has no usable address.
#[derive(Debug, thiserror::Error)]
#[error("services: {0}")]
pub(crate) struct Unbound(#[from] crate::directory::BadAddress);

/// The route of a request.
#[derive(Clone, Copy)]
pub(crate) struct Place<'s> {
    pub(crate) route: &'s Route,
    index: usize,
    snapshot: &'s Snapshot,
}

impl Snapshot {
    pub(crate) fn bind(table: Table, bindings: &Bindings<'_>) -> Result<Self, Unbound> {
        let services = table.services().iter();
        let services = services.map(|service| match &service.url {
            None => {
                let mut fixed = bindings.directory.fixed();
                Ok(match fixed.find(|known| *known.name() == *service.name) {
                    Some(known) => Bound::Service(Arc::clone(known)),
                    None => Bound::ByName(Arc::clone(&service.name)),
                })
            }
            Some(url) => {
                let known = bindings
                    .previous
                    .and_then(|it| it.outside(&service.name, url));
                match known {
                    Some(known) => Ok(Bound::Service(known)),
                    None => {
                        let outside = bindings.directory.outside(&service.name, url);
                        outside.map(Bound::Service)
                    }
                }
            }
        });
        let services = services.collect::<Result<Vec<_>, _>>()?;
        let limiters = table.rate_limits().iter();
        let limiters = limiters.map(|limit| {
            let known = bindings.previous.and_then(|it| it.limiter_of(limit));
            known.unwrap_or_else(|| bindings.limiters.limiter(limit))
        });
        let limiters = limiters.collect();
        let ends = table.routes().iter().map(|route| RouteEnds {
            cors: match &route.cors {
                CorsChoice::Default => Arc::clone(bindings.default_cors),
                CorsChoice::Off => Arc::new(Cors::off()),
                CorsChoice::Policy(policy) => Arc::new(Cors::new(policy)),
            },
            edits: AnswerEdits::new(&route.response_headers),
            failure: Failure::bind(route, table.services(), bindings),
        });
        let longest = table
            .routes()
            .iter()
            .filter_map(|it| it.max_target_bytes)
            .max();
        Ok(Self {
            ends: ends.collect(),
            max_target_bytes: longest.unwrap_or(0).max(bindings.max_target_bytes),
            default_cors: Arc::clone(bindings.default_cors),
            services,
            limiters,
            table,
        })
    }

    /// The route of a request. A preflight goes the way of the request that it asks about.
    pub(crate) fn find(&self, request: &HttpRequest, screened: &Screened<'_>) -> Option<Place<'_>> {
        let headers = request.headers();
        let asked = headers.get("access-control-request-method");
        let asked = asked.filter(|_| request.method() == actix_web::http::Method::OPTIONS);
        let asked = asked.and_then(|method| method.to_str().ok());
        let found = self.table.find(&Request {
            host: screened.host,
            path: &screened.path,
            method: asked.unwrap_or(request.method().as_str()),
            query: request.uri().query(),
            header: &|name| headers.get(name).and_then(|value| value.to_str().ok()),
        });
        found.map(|(index, route)| Place {
            route,
            index,
            snapshot: self,
        })
    }

    /// The rules for pages of other origins where there is no route.
    pub(crate) const fn default_cors(&self) -> &Arc<Cors> {
        &self.default_cors
    }

    /// Nothing longer is acceptable anywhere.
    pub(crate) const fn max_target_bytes(&self) -> usize {
        self.max_target_bytes
    }

    /// How many routes there are.
    pub(crate) fn len(&self) -> usize {
        self.table.routes().len()
    }

    /// Whose key has this SHA-256.
    pub(crate) fn consumer(&self, key_sha256: &[u8; 32]) -> Option<&Arc<str>> {
        self.table.consumer(key_sha256)
    }

    /// Whether a path of a service's document is reachable from outside.
    pub(crate) fn leads_to(&self, path: &str, service: &str) -> bool {
        CanonicalPath::parse(path).is_ok_and(|path| self.table.leads_to(&path, service))
    }

    /// The breakers of a route and what is answered instead, as they are now.
    pub(super) fn failure_of(&self, route: &str) -> Option<&Failure> {
        let mut places = self.table.routes().iter().zip(&self.ends);
        let (_, ends) = places.find(|(known, _)| *known.name == *route)?;
        Some(&ends.failure)
    }

    fn limiter_of(&self, limit: &routing::RateLimit) -> Option<Arc<Limiter>> {
        let mut known = self.limiters.iter();
        known.find(|known| known.limit() == limit).cloned()
    }

    fn outside(&self, name: &str, url: &str) -> Option<Arc<Service>> {
        let places = self.table.services().iter().zip(&self.services);
        let mut same = places
            .filter(|(service, _)| *service.name == *name && service.url.as_deref() == Some(url));
        match same.next()?.1 {
            Bound::Service(service) => Some(Arc::clone(service)),
            Bound::ByName(_) => None,
        }
    }
}

impl<'s> Place<'s> {
    /// A service of the route's, by its index; `None` when it has not registered itself.
    pub(crate) fn service(&self, index: usize, directory: &Directory) -> Option<Arc<Service>> {
        match self.snapshot.services.get(index)? {
            Bound::Service(service) => Some(Arc::clone(service)),
            Bound::ByName(name) => directory.find(name),
        }
    }

    /// The name of a service of the route's.
    pub(crate) fn service_name(&self, index: usize) -> &'s str {
        let service = self.snapshot.table.services().get(index);
        service.map_or("", |service| &service.name)
    }

    /// The same as the label of a time series.
    pub(crate) fn service_label(&self, index: usize) -> SharedString {
        let service = self.snapshot.table.services().get(index);
        service.map_or(SharedString::const_str(""), |service| {
            SharedString::from_shared(Arc::clone(&service.name))
        })
    }

    /// The rules for pages of other origins.
    pub(crate) fn cors(&self) -> &'s Arc<Cors> {
        let ends = self.snapshot.ends.get(self.index);
        ends.map_or(&self.snapshot.default_cors, |ends| &ends.cors)
    }

    /// A service that the file names, as [`Self::service`] finds it.
    pub(crate) fn named(&self, name: &str, directory: &Directory) -> Option<Arc<Service>> {
        let services = self.snapshot.table.services();
        let index = services.iter().position(|service| *service.name == *name);
        self.service(index?, directory)
    }

    /// The route's own breaker for one of its services.
    pub(crate) fn breaker(&self, service: &str) -> Option<&'s Breaker> {
        self.failure()?.breaker(service)
    }

    /// What is answered in place of a service that cannot be asked.
    pub(crate) fn fallback(&self) -> Option<&'s Fallback> {
        self.failure()?.fallback()
    }

    fn failure(&self) -> Option<&'s Failure> {
        let ends = self.snapshot.ends.get(self.index);
        ends.map(|ends| &ends.failure)
    }

    /// How often somebody may ask.
    pub(crate) fn limiters(&self) -> impl Iterator<Item = &'s Limiter> {
        let indices = self.route.rate_limits.iter();
        let limiters = &self.snapshot.limiters;
        indices.filter_map(|index| limiters.get(*index).map(|limiter| &**limiter))
    }

    /// Changes the headers of an answer as the route says.
    pub(crate) fn edit_answer(&self, headers: &mut HeaderMap) {
        if let Some(ends) = self.snapshot.ends.get(self.index) {
            ends.edits.apply(headers);
        }
    }
}

/// Changes of an answer, in the types of the server.
struct AnswerEdits {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

impl AnswerEdits {
    fn new(edits: &HeaderEdits) -> Self {
        let name = |name: &http::HeaderName| HeaderName::from_bytes(name.as_str().as_bytes()).ok();
        let pair = |(key, value): &(http::HeaderName, http::HeaderValue)| {
            Some((name(key)?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        };
        Self {
            remove: edits.remove.iter().filter_map(name).collect(),
            set: edits.set.iter().filter_map(pair).collect(),
            add: edits.add.iter().filter_map(pair).collect(),
        }
    }

    fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name.clone(), value.clone());
        }
    }
}
