//! What every request passes, in order: screening, cross-origin rules, routing, and then a service
//! or one of the gateway's own endpoints.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use common::context::{REQUEST_ID_HEADER, RequestContext};
use common::error::ApiError;
use metrics::SharedString;
use resilience::Bulkhead;
use resilience::deadline::{DEADLINE_HEADER, Deadline, GRPC_TIMEOUT_HEADER};

use crate::answer::{AnswerBody, Content, Draft, close_after, problem, set};
use crate::balance::{Balance, hash};
use crate::directory::{Directory, Fallback, Policy, Service};
use crate::edge::cors::Cors;
use crate::edge::peers::TrustedPeers;
use crate::edge::screen::{Screened, check_target, refused_method, screen};
use crate::fallback::{AnswerCache, fixed};
use crate::local::{Local, LocalState};
use crate::proxy::{
    Attempts, BadAnswer, NoAnswer, Origin, Outbound, SendError, Truncated, Upload, UploadFault,
    Upstreams, relay,
};
use crate::record::Record;
use crate::registry::{Discovery, label_of as discovery_label};
use crate::routing::{RouteTable, is_internal};

/// What is offered everywhere.
const OFFERED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Below this, services are reached by their names.
const PROXY: &str = "/proxy";

/// The longest deadline that a client may set.
const MAX_DEADLINE: Duration = Duration::from_secs(600);

/// When to come back to a service that is away: the launcher and the checks need about this long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What all workers share.
pub(crate) struct Gateway {
    pub(crate) routes: RouteTable,
    pub(crate) cors: Cors,
    pub(crate) peers: TrustedPeers,
    pub(crate) local: LocalState,
    pub(crate) discovery: Discovery,
    pub(crate) directory: Directory,
    pub(crate) answers: AnswerCache,
    /// Refuses requests beyond what the whole gateway can carry.
    pub(crate) load: Bulkhead,
    pub(crate) limits: Limits,
    /// This process's name in `Via`.
    pub(crate) via: String,
}

/// What a message may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_body_bytes: u64,
    pub(crate) max_target_bytes: usize,
    pub(crate) upload_idle_timeout: Duration,
    pub(crate) download_idle_timeout: Duration,
    /// Longest wait for the head of an answer: of a routed service, and of one below `/proxy`.
    pub(crate) header_timeout: Duration,
    pub(crate) proxy_header_timeout: Duration,
}

/// One worker's way in: what all share, and its own connections to the services.
pub(crate) struct Worker {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) upstreams: Upstreams,
}

/// The handler of every request.
pub(crate) async fn handle(
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse<AnswerBody> {
    let context = RequestContext::from_headers(request.headers());
    let mut record = Record::start(request.method(), context.request_id.clone());
    let Some(worker) = request.app_data::<Rc<Worker>>() else {
        // The server registers it for every worker.
        let draft =
            HttpResponse::with_body(StatusCode::INTERNAL_SERVER_ERROR, Content::Announced(0));
        return AnswerBody::attach(draft, record, None);
    };
    let idle_timeout = worker.gateway.limits.upload_idle_timeout;
    let upload = Upload::of(&request, payload, idle_timeout);
    let known = context.clone();
    let answered = context.scope(async {
        let call = Call {
            worker,
            request: &request,
            context: &known,
            upload: upload.clone(),
        };
        match Box::pin(call.answer(&mut record)).await {
            Ok(draft) => draft,
            Err(refusal) => refusal.into_draft(),
        }
    });
    let mut draft = answered.await;
    if let Ok(value) = HeaderValue::from_str(&known.request_id) {
        let name = HeaderName::from_static(REQUEST_ID_HEADER);
        draft.headers_mut().insert(name, value);
    }
    let origin = request.headers().get(header::ORIGIN);
    worker.gateway.cors.decorate(origin, draft.headers_mut());
    AnswerBody::attach(draft, record, upload)
}

/// An error that is answered here.
pub(crate) struct Refusal {
    error: ApiError,
    /// The connection cannot be used again: its next bytes mean nothing.
    closes: bool,
    allow: Option<&'static str>,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self {
            error,
            closes: false,
            allow: None,
        }
    }
}

impl Refusal {
    pub(crate) fn closing(error: ApiError) -> Self {
        Self {
            closes: true,
            ..error.into()
        }
    }

    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let detail = "This method is not offered here.";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self {
            allow: Some(allow),
            ..ApiError::new(status, "method_not_allowed", detail).into()
        }
    }

    fn into_draft(self) -> Draft {
        let mut draft = problem(&self.error);
        if let Some(allow) = self.allow {
            set(&mut draft, "allow", allow);
        }
        if self.closes {
            close_after(&mut draft);
        }
        draft
    }
}

/// One request.
struct Call<'c> {
    worker: &'c Worker,
    request: &'c HttpRequest,
    context: &'c RequestContext,
    upload: Option<Rc<Upload>>,
}

impl Call<'_> {
    async fn answer(self, record: &mut Record) -> Result<Draft, Refusal> {
        let (gateway, request) = (&self.worker.gateway, self.request);
        check_target(request, gateway.limits.max_target_bytes)?;
        if refused_method(request.method()) {
            let refusal = Refusal::method_not_allowed(OFFERED_METHODS);
            return Err(Refusal {
                closes: true,
                ..refusal
            });
        }
        if request.method() == Method::OPTIONS && request.uri().path() == "*" {
            let mut draft = HttpResponse::with_body(StatusCode::NO_CONTENT, Content::Empty);
            set(&mut draft, "allow", OFFERED_METHODS);
            return Ok(draft);
        }
        let screened = screen(request, &gateway.via).map_err(Refusal::closing)?;
        if let Some(answer) = gateway.cors.preflight(request) {
            return answer.map_err(Refusal::from);
        }
        if let Some((local, route)) = Local::of(screened.path.as_str()) {
            record.set_route(Arc::from(route), SharedString::const_str("gateway"));
            if !matches!(*request.method(), Method::GET | Method::HEAD) {
                return Err(Refusal::method_not_allowed("GET, HEAD"));
            }
            return Ok(gateway.local.answer(local).await?);
        }
        if let Some(label) = discovery_label(screened.path.as_str()) {
            record.set_route(Arc::from(label), SharedString::const_str("gateway"));
            let path = screened.path.as_str();
            return gateway
                .discovery
                .answer(request, path, self.upload.as_ref())
                .await;
        }
        // Held while the answer is awaited: what is beyond it would only wait in memory.
        let overloaded = |_full| ApiError::unavailable("overloaded", RETRY_AFTER);
        let _load = gateway.load.acquire().await.map_err(overloaded)?;
        if let Some((service, path)) = proxied(screened.path.as_str()) {
            let service = self.proxied_service(service, path)?;
            record.set_route(Arc::from(PROXY), service.label());
            let target = Target {
                service,
                path: path.to_owned(),
                max_body_bytes: None,
                header_timeout: gateway.limits.proxy_header_timeout,
            };
            return self.forward(&target, &screened, record).await;
        }
        let Some(route) = gateway.routes.find(&screened.path) else {
            return Err(ApiError::not_found("path").into());
        };
        record.set_route(Arc::clone(&route.prefix), route.service.label());
        let target = Target {
            service: Arc::clone(&route.service),
            path: screened.path.as_str().to_owned(),
            max_body_bytes: route.max_body_bytes,
            header_timeout: route
                .header_timeout
                .unwrap_or(gateway.limits.header_timeout),
        };
        self.forward(&target, &screened, record).await
    }

    /// The service that a path below `/proxy` names, if that path may be asked for from outside.
    fn proxied_service(&self, name: &str, path: &str) -> Result<Arc<Service>, ApiError> {
        let service = self.worker.gateway.directory.find(name);
        let service = service.ok_or_else(|| ApiError::not_found("service"))?;
        let is_private = is_internal(path) || (service.is_from_settings() && path == "/metrics");
        match is_private {
            true => Err(ApiError::not_found("path")),
            false => Ok(service),
        }
    }

    async fn forward(
        &self,
        target: &Target,
        screened: &Screened,
        record: &mut Record,
    ) -> Result<Draft, Refusal> {
        let gateway = &self.worker.gateway;
        let max_bytes = target
            .max_body_bytes
            .unwrap_or(gateway.limits.max_body_bytes);
        if self
            .upload
            .as_ref()
            .is_some_and(|upload| !upload.limit(max_bytes))
        {
            return Err(too_large(max_bytes));
        }
        let forwarded = gateway
            .peers
            .forwarded(self.request, screened.host.as_deref());
        let origin = Origin {
            forwarded: &forwarded,
            context: self.context,
            via: &gateway.via,
        };
        let upload = self.upload.as_deref();
        let outbound = Outbound::try_new(self.request, screened, &target.path, origin, upload);
        let outbound = outbound.map_err(|fault| {
            let detail = "The request cannot be passed on as it is.";
            Refusal::closing(ApiError::malformed("not_forwardable", detail).with_cause(fault))
        })?;
        let answered = self.ask(&target.service, target, &outbound, record).await;
        let Err(error) = answered else {
            return answered.map_err(|error| refusal_of(error, &target.service));
        };
        match self.fall_back(target, &outbound, &error, record).await {
            Some(draft) => Ok(draft),
            None => Err(refusal_of(error, &target.service)),
        }
    }

    /// Asks a service, and makes the client's answer from its.
    async fn ask(
        &self,
        service: &Arc<Service>,
        target: &Target,
        outbound: &Outbound<'_>,
        record: &mut Record,
    ) -> Result<Draft, NoDraft> {
        let gateway = &self.worker.gateway;
        let attempts = Attempts {
            upstreams: &self.worker.upstreams,
            service,
            outbound,
            upload: self.upload.as_ref(),
            header_timeout: target.header_timeout,
            deadline: deadline_of(self.request),
            key: hash_key(self.request, &service.policy),
        };
        let started = Instant::now();
        let exchange = attempts.run().await?;
        record.set_upstream(started.elapsed());
        let idle_timeout = gateway.limits.download_idle_timeout;
        let upload = self.upload.as_ref();
        let draft = relay(exchange, self.request, upload, &gateway.via, idle_timeout)?;
        match &service.policy.fallback {
            Some(Fallback::Cached { .. }) => Ok(gateway
                .answers
                .keep(service.name(), self.request, draft)
                .await?),
            _ => Ok(draft),
        }
    }

    /// What is answered in place of a service that cannot be asked, if anything is.
    async fn fall_back(
        &self,
        target: &Target,
        outbound: &Outbound<'_>,
        error: &NoDraft,
        record: &mut Record,
    ) -> Option<Draft> {
        if matches!(
            error,
            NoDraft::NoAnswer(NoAnswer::Send(SendError::Upload(_)))
        ) {
            return None;
        }
        let draft = match target.service.policy.fallback.as_ref()? {
            Fallback::Static {
                status,
                media_type,
                body,
            } => Some(fixed(*status, media_type, body.clone())),
            Fallback::Cached { max_age } => {
                let name = target.service.name();
                self.worker
                    .gateway
                    .answers
                    .find(name, self.request, *max_age)
            }
            Fallback::Service(name) => {
                let whole = self
                    .upload
                    .as_ref()
                    .is_none_or(|upload| upload.is_replayable());
                let other = self.worker.gateway.directory.find(name).filter(|_| whole)?;
                // Its own fallback is not asked: two that name each other would never end.
                self.ask(&other, target, outbound, record).await.ok()
            }
        };
        if draft.is_some() {
            let service = target.service.label();
            metrics::counter!("gateway_fallbacks_total", "service" => service).increment(1);
        }
        draft
    }
}

/// Where a request goes, and on what terms.
struct Target {
    service: Arc<Service>,
    /// As the service sees it.
    path: String,
    max_body_bytes: Option<u64>,
    header_timeout: Duration,
}

/// Why there is nothing to pass on.
#[derive(Debug, thiserror::Error)]
enum NoDraft {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error(transparent)]
    BadAnswer(#[from] BadAnswer),
    #[error(transparent)]
    Truncated(#[from] Truncated),
}

/// The service and path that a path below `/proxy` stands for.
fn proxied(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(PROXY)?.strip_prefix('/')?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (service, path) = rest.split_at_checked(end)?;
    Some((service, if path.is_empty() { "/" } else { path }))
}

/// Until when the client waits, if it says so.
fn deadline_of(request: &HttpRequest) -> Option<Deadline> {
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

/// The key of a request for a consistent hash: a header of it, or the client's address.
fn hash_key(request: &HttpRequest, policy: &Policy) -> Option<u64> {
    if policy.balance != Balance::ConsistentHash {
        return None;
    }
    let named = policy.hash_header.as_ref();
    let value = named.and_then(|name| request.headers().get(name.as_str()));
    match value {
        Some(value) => Some(hash(value.as_bytes())),
        None => request
            .peer_addr()
            .map(|peer| hash(peer.ip().to_string().as_bytes())),
    }
}

fn too_large(max_bytes: u64) -> Refusal {
    Refusal::closing(ApiError::too_large(
        usize::try_from(max_bytes).unwrap_or(usize::MAX),
    ))
}

fn count_failure(service: &Service, kind: &'static str) {
    metrics::counter!("gateway_upstream_failures_total", "service" => service.label(), "kind" => kind)
        .increment(1);
}

fn bad_gateway(
    cause: impl std::error::Error + Send + Sync + 'static,
    service: &Service,
) -> Refusal {
    count_failure(service, "bad_answer");
    let detail = "The service broke off or gave an answer that cannot be passed on.";
    let error = ApiError::new(StatusCode::BAD_GATEWAY, "bad_gateway", detail);
    error.with_cause(cause).into()
}

fn refusal_of(error: NoDraft, service: &Service) -> Refusal {
    let error = match error {
        NoDraft::NoAnswer(error) => error,
        NoDraft::BadAnswer(fault) => return bad_gateway(fault, service),
        NoDraft::Truncated(fault) => return bad_gateway(fault, service),
    };
    let unavailable = |kind, code, after| {
        count_failure(service, kind);
        ApiError::unavailable(code, after)
    };
    match error {
        NoAnswer::NoInstance => unavailable("no_instance", "service_unhealthy", RETRY_AFTER).into(),
        NoAnswer::CircuitOpen(left) => unavailable("circuit_open", "circuit_open", left).into(),
        NoAnswer::Overloaded => unavailable("overloaded", "service_overloaded", RETRY_AFTER).into(),
        NoAnswer::DeadlinePassed => {
            count_failure(service, "deadline");
            let detail = "The deadline of the request passed before there was an answer.";
            ApiError::new(StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded", detail).into()
        }
        NoAnswer::Send(error @ SendError::Unreachable(_)) => {
            let error =
                unavailable("unreachable", "service_unavailable", RETRY_AFTER).with_cause(error);
            error.into()
        }
        NoAnswer::Send(error @ SendError::TimedOut(_)) => {
            count_failure(service, "timeout");
            let detail = "The service did not answer in time; what it did is not known.";
            let status = StatusCode::GATEWAY_TIMEOUT;
            ApiError::new(status, "gateway_timeout", detail)
                .with_cause(error)
                .into()
        }
        NoAnswer::Send(error @ SendError::Broken(_)) => bad_gateway(error, service),
        NoAnswer::Send(SendError::Upload(fault)) => upload_refusal(fault),
    }
}

/// What a client is told whose request's body did not arrive.
pub(crate) fn upload_refusal(fault: UploadFault) -> Refusal {
    match fault {
        UploadFault::TooLarge(max_bytes) => too_large(max_bytes),
        UploadFault::Stalled => {
            let detail = "The body did not arrive in time.";
            let status = StatusCode::REQUEST_TIMEOUT;
            Refusal::closing(ApiError::new(status, "body_timeout", detail))
        }
        UploadFault::Malformed | UploadFault::Disconnected => {
            let detail = "The body ends early or its encoding is broken.";
            Refusal::closing(ApiError::malformed("broken_body", detail))
        }
    }
}
