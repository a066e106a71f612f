//! Where a request goes: the service and path, and until when its client waits.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use resilience::Breaker;
use resilience::deadline::{DEADLINE_HEADER, Deadline, GRPC_TIMEOUT_HEADER};
use routing::Route;

use crate::directory::{Directory, Fallback, Service};
use crate::edge::auth::Caller;
use crate::routing::Place;

/// The longest deadline that a client may set.
const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// Where a request goes, and on what terms.
pub(super) struct Target<'p> {
    pub(super) service: Arc<Service>,
    /// As the service sees it.
    pub(super) path: Cow<'p, str>,
    /// The route it took; none below `/proxy`.
    pub(super) place: Option<Place<'p>>,
    pub(super) caller: Caller,
    pub(super) header_timeout: Duration,
    /// Until when the client waits, whoever is asked.
    pub(super) deadline: Option<Deadline>,
}

impl<'p> Target<'p> {
    pub(super) fn route(&self) -> Option<&'p Route> {
        self.place.map(|place| place.route)
    }

    /// What is answered when the service cannot be asked.
    pub(super) fn fallback(&self) -> Option<&Fallback> {
        let own = self.place.and_then(|place| place.fallback());
        own.or(self.service.policy.fallback.as_ref())
    }

    /// What says when a service is left alone.
    pub(super) fn breaker<'b>(&'b self, service: &'b Service) -> &'b Breaker {
        let own = self.place.and_then(|place| place.breaker(service.name()));
        own.unwrap_or(&service.breaker)
    }

    /// A service by its name: one of the routing file, or one that is registered.
    pub(super) fn named(&self, name: &str, directory: &Directory) -> Option<Arc<Service>> {
        let named = self.place.and_then(|place| place.named(name, directory));
        named.or_else(|| directory.find(name))
    }
}

/// Until when the client waits, if it says so.
pub(super) fn deadline_of(request: &HttpRequest) -> Option<Deadline> {
    let text = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    match (text(DEADLINE_HEADER), text(GRPC_TIMEOUT_HEADER)) {
        (Some(millis), _) => Some(Deadline::from_header(Some(millis), MAX_DEADLINE)),
        (None, Some(left)) => Some(Deadline::from_grpc_timeout(Some(left), MAX_DEADLINE)),
        (None, None) => None,
    }
}
