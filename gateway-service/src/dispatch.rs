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

use crate::answer::{AnswerBody, Content, Draft, close_after, problem, set};
use crate::edge::cors::Cors;
use crate::edge::peers::TrustedPeers;
use crate::edge::screen::{Screened, check_target, refused_method, screen};
use crate::local::{Local, LocalState};
use crate::proxy::{Origin, Outbound, SendError, Upload, UploadFault, Upstreams, relay};
use crate::record::Record;
use crate::routing::{Route, RouteTable};

/// What is offered everywhere.
const OFFERED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// When to come back to a service that is away: the launcher and the checks need about this long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What all workers share.
pub(crate) struct Gateway {
    pub(crate) routes: RouteTable,
    pub(crate) cors: Cors,
    pub(crate) peers: TrustedPeers,
    pub(crate) local: LocalState,
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
struct Refusal {
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
    fn closing(error: ApiError) -> Self {
        Self {
            closes: true,
            ..error.into()
        }
    }

    fn method_not_allowed(allow: &'static str) -> Self {
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
        let Some(route) = gateway.routes.find(&screened.path) else {
            return Err(ApiError::not_found("path").into());
        };
        record.set_route(Arc::clone(&route.prefix), route.service.label());
        self.forward(route, &screened, record).await
    }

    async fn forward(
        &self,
        route: &Route,
        screened: &Screened,
        record: &mut Record,
    ) -> Result<Draft, Refusal> {
        let gateway = &self.worker.gateway;
        let max_bytes = route
            .max_body_bytes
            .unwrap_or(gateway.limits.max_body_bytes);
        if self
            .upload
            .as_ref()
            .is_some_and(|upload| !upload.limit(max_bytes))
        {
            return Err(too_large(max_bytes));
        }
        if route.service.refuses_work() {
            return Err(ApiError::unavailable("service_unhealthy", RETRY_AFTER).into());
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
        let outbound = Outbound::try_new(self.request, screened, &route.service, origin, upload);
        let outbound = outbound.map_err(|fault| {
            let detail = "The request cannot be passed on as it is.";
            Refusal::closing(ApiError::malformed("not_forwardable", detail).with_cause(fault))
        })?;
        let started = Instant::now();
        let upload = self.upload.clone();
        let sent =
            self.worker
                .upstreams
                .send(&route.service, &outbound, upload, route.header_timeout);
        let exchange = match sent.await {
            Ok(exchange) => exchange,
            Err(error) => return Err(refusal_of(error, route.service.label())),
        };
        record.set_upstream(started.elapsed());
        let (upload, idle_timeout) = (self.upload.as_ref(), gateway.limits.download_idle_timeout);
        let relayed = relay(exchange, self.request, upload, &gateway.via, idle_timeout);
        relayed.map_err(|fault| bad_gateway(fault, route.service.label()).into())
    }
}

fn too_large(max_bytes: u64) -> Refusal {
    Refusal::closing(ApiError::too_large(
        usize::try_from(max_bytes).unwrap_or(usize::MAX),
    ))
}

fn count_failure(service: SharedString, kind: &'static str) {
    metrics::counter!("gateway_upstream_failures_total", "service" => service, "kind" => kind)
        .increment(1);
}

fn bad_gateway(
    cause: impl std::error::Error + Send + Sync + 'static,
    service: SharedString,
) -> ApiError {
    count_failure(service, "bad_answer");
    let detail = "The service broke off or gave an answer that cannot be passed on.";
    ApiError::new(StatusCode::BAD_GATEWAY, "bad_gateway", detail).with_cause(cause)
}

fn refusal_of(error: SendError, service: SharedString) -> Refusal {
    match error {
        SendError::Unreachable(_) => {
            count_failure(service, "unreachable");
            let unavailable = ApiError::unavailable("service_unavailable", RETRY_AFTER);
            unavailable.with_cause(error).into()
        }
        SendError::TimedOut(_) => {
            count_failure(service, "timeout");
            let detail = "The service did not answer in time; what it did is not known.";
            let status = StatusCode::GATEWAY_TIMEOUT;
            ApiError::new(status, "gateway_timeout", detail)
                .with_cause(error)
                .into()
        }
        SendError::Broken(_) => bad_gateway(error, service).into(),
        SendError::Upload(UploadFault::TooLarge(max_bytes)) => too_large(max_bytes),
        SendError::Upload(UploadFault::Stalled) => {
            let detail = "The body did not arrive in time.";
            Refusal::closing(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                detail,
            ))
        }
        SendError::Upload(UploadFault::Malformed | UploadFault::Disconnected) => {
            let detail = "The body ends early or its encoding is broken.";
            Refusal::closing(ApiError::malformed("broken_body", detail))
        }
    }
}
