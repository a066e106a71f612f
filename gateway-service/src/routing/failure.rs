//! What a route does about services that fail, bound to their policies. What did not change survives
//! a change of the file: an open breaker stays open.

use std::sync::Arc;

use bytes::Bytes;
use resilience::{Breaker, BreakerParams};
use routing::{BreakerTerms, Route};

use super::snapshot::Bindings;
use crate::directory::Fallback;

/// A route's own breaker for one of its services.
#[derive(Debug)]
struct RouteBreaker {
    service: Arc<str>,
    params: BreakerParams,
    breaker: Breaker,
}

/// What a route does about services that fail.
#[derive(Debug)]
pub(crate) struct Failure {
    breakers: Vec<RouteBreaker>,
    fallback: Option<Fallback>,
}

impl Failure {
    pub(super) fn bind(
        route: &Route,
        services: &[routing::Service],
        bindings: &Bindings<'_>,
    ) -> Self {
        let name = |index: usize| services.get(index).map(|service| Arc::clone(&service.name));
        let fallback = route.fallback.as_ref().and_then(|fallback| {
            Some(match fallback {
                routing::Fallback::Static {
                    status,
                    content_type,
                    body,
                } => Fallback::Static {
                    status: *status,
                    media_type: content_type.clone(),
                    body: Bytes::copy_from_slice(body.as_bytes()),
                },
                routing::Fallback::Cached { max_age } => Fallback::Cached { max_age: *max_age },
                routing::Fallback::Service(index) => Fallback::Service(name(*index)?.to_string()),
            })
        });
        let Some(terms) = &route.breaker else {
            return Self {
                breakers: Vec::new(),
                fallback,
            };
        };
        let previous = bindings.previous;
        let previous = previous.and_then(|previous| previous.failure_of(&route.name));
        let backends = route.backends.iter();
        let breakers = backends.filter_map(|backend| {
            let service = name(backend.service)?;
            let params = over(terms, bindings.directory.policy_of(&service).breaker);
            let known = previous.and_then(|known| known.same(&service, params));
            let breaker = known.cloned().unwrap_or_else(|| {
                Breaker::try_new(format!("{}/{service}", route.name), params)
                    .expect("terms and policies are checked when they are read")
            });
            Some(RouteBreaker {
                service,
                params,
                breaker,
            })
        });
        Self {
            breakers: breakers.collect(),
            fallback,
        }
    }

    pub(super) fn breaker(&self, service: &str) -> Option<&Breaker> {
        let mut all = self.breakers.iter();
        let found = all.find(|known| *known.service == *service);
        found.map(|known| &known.breaker)
    }

    pub(super) const fn fallback(&self) -> Option<&Fallback> {
        self.fallback.as_ref()
    }

    fn same(&self, service: &str, params: BreakerParams) -> Option<&Breaker> {
        let mut all = self.breakers.iter();
        let found = all.find(|known| *known.service == *service && known.params == params);
        found.map(|known| &known.breaker)
    }
}

fn over(terms: &BreakerTerms, own: BreakerParams) -> BreakerParams {
    BreakerParams {
        window: terms.window.unwrap_or(own.window),
        min_calls: terms.min_calls.unwrap_or(own.min_calls),
        failure_percent: terms.failure_percent.unwrap_or(own.failure_percent),
        open_for: terms.open_for.unwrap_or(own.open_for),
        half_open_probes: terms.probes.unwrap_or(own.half_open_probes),
    }
}
