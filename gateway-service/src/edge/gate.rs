//! What a route asks of a request before its service sees it: from where, how large, how often, and
//! who.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use common::error::ApiError;

use super::auth::{Caller, Gatekeeper};
use super::limit::{Counted, Limiter, Told};
use super::peers::TrustedPeers;
use super::screen::{Screened, bad_path, check_target};
use crate::routing::{Place, Snapshot};

/// What the gate looks at.
pub(crate) struct Gate<'g> {
    pub(crate) gatekeeper: &'g Gatekeeper,
    pub(crate) peers: &'g TrustedPeers,
    pub(crate) snapshot: &'g Snapshot,
    /// For routes without a limit of their own.
    pub(crate) max_target_bytes: usize,
}

impl Gate<'_> {
    /// Lets a request pass, or not. `told` learns where the caller stands in either case.
    pub(crate) async fn pass(
        &self,
        place: &Place<'_>,
        request: &HttpRequest,
        screened: &Screened<'_>,
        told: &mut Told,
    ) -> Result<Caller, ApiError> {
        let route = place.route;
        if screened.path.has_escaped_slash() && !route.encoded_slashes {
            return Err(bad_path("must not have escaped slashes"));
        }
        let max_target = route.max_target_bytes.unwrap_or(self.max_target_bytes);
        check_target(request, max_target)?;
        if let Some(max_bytes) = route.max_header_bytes {
            check_headers(request, max_bytes)?;
        }
        let client = self.peers.client(request);
        if !route.access.is_open() && !route.access.allows(client) {
            let detail = "Clients of this network may not use this path.";
            let status = StatusCode::FORBIDDEN;
            return Err(ApiError::new(status, "address_not_allowed", detail));
        }
        let mut counted = Counted {
            request,
            client,
            caller: &Caller::Unknown,
            route: &route.name,
        };
        // Before anything is verified: a flood must not cost a signature each.
        let unknown = place.limiters().filter(|limiter| !limiter.counts_callers());
        count(unknown, &counted, told).await?;
        let caller = self
            .gatekeeper
            .admit(&route.auth, request, self.snapshot)
            .await?;
        counted.caller = &caller;
        let known = place.limiters().filter(|limiter| limiter.counts_callers());
        count(known, &counted, told).await?;
        Ok(caller)
    }
}

async fn count(
    limiters: impl Iterator<Item = &Limiter>,
    counted: &Counted<'_>,
    told: &mut Told,
) -> Result<(), ApiError> {
    for limiter in limiters {
        let standing = limiter.count(counted).await;
        limiter.describe(standing, told);
        if let Some(wait) = standing.wait {
            metrics::counter!("gateway_rate_limited_total", "route" => counted.route.to_owned())
                .increment(1);
            return Err(ApiError::too_many(wait));
        }
    }
    Ok(())
}

/// 431 for headers that are longer together than `max_bytes` (RFC 6585, section 5).
fn check_headers(request: &HttpRequest, max_bytes: usize) -> Result<(), ApiError> {
    let headers = request.headers().iter();
    let bytes = headers.map(|(name, value)| name.as_str().len() + value.len());
    if bytes.sum::<usize>() <= max_bytes {
        return Ok(());
    }
    let detail = format!("The headers may have at most {max_bytes} bytes together.");
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Err(ApiError::new(status, "headers_too_large", detail))
}
