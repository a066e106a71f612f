//! The part of Consul's HTTP API that clients of service discovery use, over the same registry, so
//! that programs which know Consul need not learn another one
//! (<https://developer.hashicorp.com/consul/api-docs>).
//!
//! There is one node and one datacenter here; keys, sessions, access rules and the other endpoints
//! are not offered. A token is one of ours: in `X-Consul-Token`, as a bearer, or as `?token=`.

mod input;
mod output;

use std::rc::Rc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use common::auth::{Principal, bearer_of};
use common::error::ApiError;
use resilience::Jitter;
use tokio::time::timeout;

use super::api::{Discovery, read_body, register_error, require_own_name, shown};
use super::book::View;
use super::entry::CheckStatus;
use crate::answer::{Content, Draft, set};
use crate::proxy::Upload;
use crate::refusal::Refusal;

/// How long a blocking query waits when it does not say, and at most.
const DEFAULT_WAIT: Duration = Duration::from_secs(300);
const MAX_WAIT: Duration = Duration::from_secs(600);

/// The parameters of a query.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let pairs = serde_urlencoded::from_str(request.query_string());
        let detail = "The query cannot be read.";
        pairs
            .map(Self)
            .map_err(|_malformed| ApiError::malformed("invalid_query", detail))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// `?passing` and `?passing=1` are set, `?passing=false` is not.
    fn is_set(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| !matches!(value, "false" | "0"))
    }
}

/// Answers a request below `/v1`.
pub(super) async fn answer(
    discovery: &Discovery,
    request: &HttpRequest,
    segments: &[&str],
    upload: Option<&Rc<Upload>>,
) -> Result<Draft, Refusal> {
    let query = Query::of(request)?;
    let allowed = match segments {
        ["agent", "service", "register"]
        | ["agent", "service", "deregister", _]
        | ["agent", "check", "pass" | "warn" | "fail", _] => "PUT",
        ["agent", "services" | "checks"]
        | ["catalog", "services"]
        | ["catalog" | "health", "service", _] => "GET, HEAD",
        _ => return Err(ApiError::not_found("path").into()),
    };
    let method = request.method().as_str();
    if !allowed.split(", ").any(|allowed| allowed == method) {
        return Err(Refusal::method_not_allowed(allowed));
    }
    let caller = caller(discovery, request, &query).await?;
    match *segments {
        ["agent", "service", "register"] => register(discovery, request, &caller, upload).await,
        ["agent", "service", "deregister", id] => Ok(deregister(discovery, &caller, id).await?),
        ["agent", "check", verb, id] => Ok(tell(discovery, &caller, (verb, id), &query).await?),
        _ => Ok(read(discovery, segments, &query).await?),
    }
}

/// Consul knows no 401: who may not is told 403.
async fn caller(
    discovery: &Discovery,
    request: &HttpRequest,
    query: &Query,
) -> Result<Principal, ApiError> {
    let header = request.headers().get("x-consul-token");
    let given = header
        .and_then(|value| value.to_str().ok())
        .or_else(|| query.get("token"));
    let token = match given {
        Some(token) => Ok(token.to_owned()),
        None => bearer_of(request).map_err(ApiError::from),
    };
    let verified = match token {
        Ok(token) => discovery.caller(token).await,
        Err(error) => Err(error),
    };
    verified.map_err(|error| match error.status() {
        StatusCode::UNAUTHORIZED => ApiError::forbidden(),
        _ => error,
    })
}

async fn register(
    discovery: &Discovery,
    request: &HttpRequest,
    caller: &Principal,
    upload: Option<&Rc<Upload>>,
) -> Result<Draft, Refusal> {
    let body = read_body(upload).await?;
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let registry = &discovery.registry;
    let input = input::parse(&body, peer)?.check(&registry.guard).await?;
    require_own_name(caller, &input.service)?;
    // An id is one instance for Consul, whatever its service is called.
    for other in registry.services_of(&input.instance_id) {
        if other != input.service {
            require_own_name(caller, &other)?;
            let moved = registry.deregister(&other, Some(&input.instance_id)).await;
            moved.map_err(ApiError::from)?;
        }
    }
    registry
        .register(&input, &caller.subject)
        .await
        .map_err(register_error)?;
    Ok(done())
}

async fn deregister(
    discovery: &Discovery,
    caller: &Principal,
    id: &str,
) -> Result<Draft, ApiError> {
    let services = discovery.registry.services_of(id);
    if services.is_empty() {
        return Err(ApiError::not_found("service ID"));
    }
    for service in services {
        require_own_name(caller, &service)?;
        let gone = discovery.registry.deregister(&service, Some(id)).await;
        gone.map_err(ApiError::from)?;
    }
    Ok(done())
}

async fn tell(
    discovery: &Discovery,
    caller: &Principal,
    (verb, id): (&str, &str),
    query: &Query,
) -> Result<Draft, ApiError> {
    let status = match verb {
        "pass" => CheckStatus::Passing,
        "warn" => CheckStatus::Warning,
        _ => CheckStatus::Critical,
    };
    let registry = &discovery.registry;
    for entry in &registry.view().entries {
        if entry.checks.iter().any(|check| check.id == id) {
            require_own_name(caller, &entry.service)?;
        }
    }
    let note = query.get("note").unwrap_or_default();
    match registry
        .told(id, status, note)
        .await
        .map_err(ApiError::from)?
    {
        true => Ok(done()),
        false => Err(ApiError::not_found("check ID")),
    }
}

fn done() -> Draft {
    HttpResponse::with_body(StatusCode::OK, Content::Announced(0))
}

/// A question about the list, which may wait until the list differs from the one the caller knows.
async fn read(discovery: &Discovery, segments: &[&str], query: &Query) -> Result<Draft, ApiError> {
    // What the agent itself knows is not asked for by index.
    if segments.first() != Some(&"agent") {
        wait_for_change(discovery, query).await?;
    }
    let view = discovery.registry.view();
    let value = match *segments {
        ["agent", "services"] => output::agent_services(&view),
        ["agent", "checks"] => output::agent_checks(&view),
        ["catalog", "services"] => output::catalog_services(&view),
        ["catalog", "service", name] => output::catalog_service(&view, name, query.get("tag")),
        ["health", "service", name] => {
            let passing = query.is_set("passing");
            output::health_service(&view, name, query.get("tag"), |entry| {
                !passing || entry.check_status() == CheckStatus::Passing
            })
        }
        _ => return Err(ApiError::not_found("path")),
    };
    let mut draft = shown(StatusCode::OK, &value)?;
    set(&mut draft, "x-consul-index", &view.index.to_string());
    set(&mut draft, "x-consul-knownleader", "true");
    set(&mut draft, "x-consul-lastcontact", "0");
    Ok(draft)
}

/// Waits until the list has another number than the caller's, or the caller's time is up.
async fn wait_for_change(discovery: &Discovery, query: &Query) -> Result<(), ApiError> {
    let Some(known) = query.get("index") else {
        return Ok(());
    };
    let detail = "index must be a number, wait a duration such as 30s.";
    let invalid = || ApiError::malformed("invalid_query", detail);
    let known: u64 = known.parse().map_err(|_invalid| invalid())?;
    let wait = query
        .get("wait")
        .map(|text| input::duration(text).ok_or_else(invalid));
    let wait = wait.transpose()?.unwrap_or(DEFAULT_WAIT).min(MAX_WAIT);
    // A sixteenth more, at random, as Consul has it: callers must not come back all at once.
    let wait = wait + Jitter::from_entropy().up_to(wait / 16);
    let registry = &discovery.registry;
    let mut changes = registry.changes();
    let differs = |view: &View| view.index != known;
    let changed = async {
        while known != 0 && !differs(&registry.view()) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = timeout(wait, changed) => {}
        () = discovery.shutdown.triggered() => {}
    }
    Ok(())
}
