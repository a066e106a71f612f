//! The declarative routing table: which path goes to which service.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::directory::{Directory, Service};
use crate::edge::path::CanonicalPath;
use crate::settings::millis;

/// The routes that hold when no file is given.
const DEFAULT_ROUTES: &str = include_str!("../config/routes.toml");

/// Never reachable from outside, whatever a file says.
const INTERNAL: &str = "/internal";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoutesFile {
    routes: Vec<RouteIn>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteIn {
    prefix: String,
    service: String,
    max_body_bytes: Option<u64>,
    header_timeout_ms: Option<u64>,
}

/// A routing table that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoutingError {
    #[error("{file} cannot be read")]
    Unreadable {
        file: String,
        source: std::io::Error,
    },
    #[error("{file} is not a routing table")]
    Malformed {
        file: String,
        source: Box<toml::de::Error>,
    },
    #[error("route {prefix}: {fault}")]
    Route { prefix: String, fault: &'static str },
}

/// A rule that sends the paths below a prefix to a service.
#[derive(Debug)]
pub(crate) struct Route {
    /// The prefix; it labels metrics and logs.
    pub(crate) prefix: Arc<str>,
    /// Where its requests go.
    pub(crate) service: Arc<Service>,
    /// Its own limit for a request body.
    pub(crate) max_body_bytes: Option<u64>,
    /// Its own wait for the head of an answer.
    pub(crate) header_timeout: Option<Duration>,
}

impl Route {
    fn try_new(input: RouteIn, directory: &Directory) -> Result<Self, RoutingError> {
        let refuse = |fault| RoutingError::Route {
            prefix: input.prefix.clone(),
            fault,
        };
        let canonical = CanonicalPath::parse(&input.prefix).map_err(|error| refuse(error.0))?;
        if canonical.as_str() != input.prefix || input.prefix.ends_with('/') {
            return Err(refuse("must be in canonical form and not end with a slash"));
        }
        if covers(INTERNAL, &input.prefix) {
            return Err(refuse("/internal is never routed"));
        }
        let service = directory.find(&input.service);
        let service = service.ok_or_else(|| refuse("there is no such service"))?;
        if input.header_timeout_ms == Some(0) {
            return Err(refuse("header_timeout_ms must not be zero"));
        }
        Ok(Self {
            service,
            max_body_bytes: input.max_body_bytes,
            header_timeout: input.header_timeout_ms.map(millis),
            prefix: input.prefix.into(),
        })
    }
}

/// Whether a path is one of those that services keep to themselves.
pub(crate) fn is_internal(path: &str) -> bool {
    // A segment's parameters do not make it another resource for every service.
    path.strip_prefix(INTERNAL)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ';']))
}

/// Whether `path` is `prefix` or lies below it, at a segment's end.
fn covers(prefix: &str, path: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// All routes, the longest prefix first.
#[derive(Debug)]
pub(crate) struct RouteTable(Vec<Route>);

impl RouteTable {
    /// Reads the table from `file`, or the compiled-in one when it is empty.
    pub(crate) fn load(file: &Path, directory: &Directory) -> Result<Self, RoutingError> {
        let name = file.display().to_string();
        if name.is_empty() {
            return Self::parse("config/routes.toml", DEFAULT_ROUTES, directory);
        }
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse(&name, &text, directory),
            Err(source) => Err(RoutingError::Unreadable { file: name, source }),
        }
    }

    fn parse(file: &str, text: &str, directory: &Directory) -> Result<Self, RoutingError> {
        let parsed: RoutesFile = toml::from_str(text).map_err(|error| RoutingError::Malformed {
            file: file.to_owned(),
            source: Box::new(error),
        })?;
        let routes = parsed.routes.into_iter();
        let routes = routes.map(|route| Route::try_new(route, directory));
        let mut routes: Vec<Route> = routes.collect::<Result<_, _>>()?;
        routes.sort_by(|a, b| (b.prefix.len(), &a.prefix).cmp(&(a.prefix.len(), &b.prefix)));
        let twice = routes.windows(2).find_map(|pair| match pair {
            [first, second] if first.prefix == second.prefix => Some(first.prefix.to_string()),
            _ => None,
        });
        match twice {
            Some(prefix) => Err(RoutingError::Route {
                prefix,
                fault: "stands twice",
            }),
            None => Ok(Self(routes)),
        }
    }

    /// The route of a path.
    pub(crate) fn find(&self, path: &CanonicalPath) -> Option<&Route> {
        self.find_text(path.as_str())
    }

    /// Whether a path of a service's document is reachable from outside.
    pub(crate) fn leads_to(&self, path: &str, service: &str) -> bool {
        let route = self.find_text(path);
        route.is_some_and(|route| route.service.name() == service)
    }

    fn find_text(&self, path: &str) -> Option<&Route> {
        if covers(INTERNAL, path) {
            return None;
        }
        self.0.iter().find(|route| covers(&route.prefix, path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        let loaded = common::settings::load::<crate::OwnSettings>("gateway", crate::DEFAULTS, []);
        let loaded = loaded.unwrap();
        let policies = crate::directory::Policies::load(&loaded.own.resilience).unwrap();
        Directory::try_new(&loaded.common.neighbours, policies).unwrap()
    }

    #[test]
    fn the_default_table_routes_each_public_prefix() {
        let table = RouteTable::load(Path::new(""), &directory()).unwrap();
        for (path, service) in [
            ("/api/users/7", Some("user")),
            ("/api/auth/login", Some("user")),
            ("/api/inventory", Some("inventory")),
            ("/api/orders", Some("order")),
            ("/api/orders/7/timeline", Some("order")),
            ("/api/ordersheet", None),
            ("/api/stores", Some("order")),
            ("/api/menu/items", Some("order")),
            ("/api/payments/ledger/balances", Some("payment")),
            ("/api/analytics/sales", Some("analytics")),
            ("/api/iot/devices", Some("iot")),
            ("/oauth/token", Some("user")),
            ("/.well-known/openid-configuration", Some("user")),
            ("/.well-known/jwks.json", Some("user")),
            ("/.well-known/security.txt", None),
            ("/internal/tokens", None),
            ("/metrics", None),
            ("/", None),
        ] {
            let found = table.find_text(path).map(|route| route.service.name());
            assert_eq!(found, service, "{path}");
        }
    }

    #[test]
    fn the_longest_prefix_wins() {
        let text = "routes = [{prefix = \"/a\", service = \"user\"}, {prefix = \"/a/b\", service = \"iot\"}]";
        let table = RouteTable::parse("test", text, &directory()).unwrap();
        assert!(table.leads_to("/a/b/c", "iot"));
        assert!(table.leads_to("/a/bc", "user"));
    }

    #[test]
    fn a_bad_table_is_refused_with_its_reason() {
        for (text, reason) in [
            (
                "routes = [{prefix = \"/internal/x\", service = \"user\"}]",
                "never routed",
            ),
            (
                "routes = [{prefix = \"/api/\", service = \"user\"}]",
                "canonical",
            ),
            (
                "routes = [{prefix = \"/%61pi\", service = \"user\"}]",
                "canonical",
            ),
            (
                "routes = [{prefix = \"/api\", service = \"nobody\"}]",
                "no such service",
            ),
            (
                "routes = [{prefix = \"/a\", service = \"user\"}, {prefix = \"/a\", service = \"iot\"}]",
                "twice",
            ),
            (
                "routes = [{prefix = \"/a\", service = \"user\", strip = true}]",
                "not a routing table",
            ),
        ] {
            let error = RouteTable::parse("test", text, &directory()).unwrap_err();
            assert!(error.to_string().contains(reason), "{text}: {error}");
        }
    }
}
