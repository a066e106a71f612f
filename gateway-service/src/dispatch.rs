//! What every request passes, in order: screening, cross-origin rules, routing, and then a service
//! or one of the gateway's own endpoints.

mod caching;
mod mirroring;
mod target;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use common::clock::Clock;
use common::context::{REQUEST_ID_HEADER, RequestContext};
use common::error::ApiError;
use metrics::SharedString;
use resilience::Bulkhead;
use routing::RewriteError;

use crate::answer::{AnswerBody, Content, Draft, Unread, close_after, set};
use crate::balance::{Balance, hash};
use crate::cache::Shelf;
use crate::directory::{Directory, Fallback, Policy, Service};
use crate::edge::auth::{Caller, Gatekeeper};
use crate::edge::compress::compress;
use crate::edge::ending::Ending;
use crate::edge::gate::Gate;
use crate::edge::limit::Told;
use crate::edge::peers::{Forwarded, TrustedPeers};
use crate::edge::screen::{
    Screened, asks_for_websocket, bad_path, check_target, refused_method, screen,
};
use crate::edge::streams::Streams;
use crate::edge::taking;
use crate::edge::turns::Turn;
use crate::fallback::{AnswerCache, Key, fixed};
use crate::local::{Local, LocalState};
use crate::proxy::{
    Attempts, NoAnswer, Origin, Outbound, Pace, SendError, Switch, Switched, Upload, Upstreams,
    Via, relay, relay_switch,
};
use crate::record::Record;
use crate::refusal::{
    NoDraft, RETRY_AFTER, Refusal, bad_gateway, not_forwardable, refusal_of, too_large,
    too_many_streams,
};
use crate::registry::{Discovery, label_of as discovery_label};
use crate::routing::{Live, Place, Snapshot};

pub(crate) use self::mirroring::Mirrors;
use self::target::{Target, deadline_of};

/// What is offered everywhere.
const OFFERED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Below this, services are reached by their names.
const PROXY: &str = "/proxy";

/// What all workers share.
pub(crate) struct Gateway {
    pub(crate) routes: Arc<Live>,
    pub(crate) gatekeeper: Gatekeeper,
    pub(crate) peers: TrustedPeers,
    pub(crate) local: LocalState,
    pub(crate) discovery: Discovery,
    pub(crate) directory: Directory,
    pub(crate) answers: AnswerCache,
    /// The answers that routes keep.
    pub(crate) shelf: Shelf,
    pub(crate) clock: Clock,
    pub(crate) mirrors: Mirrors,
    /// Refuses requests beyond what the whole gateway can carry.
    pub(crate) load: Bulkhead,
    pub(crate) limits: Limits,
    pub(crate) via: Via,
}

/// What a message may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_body_bytes: u64,
    pub(crate) max_target_bytes: usize,
    pub(crate) upload_pace: Pace,
    pub(crate) download_idle_timeout: Duration,
    /// Longest time that a client takes nothing of what is there for it.
    pub(crate) take_timeout: Duration,
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
    let turn = Turn::of(&request);
    let context = RequestContext::from_headers(request.headers());
    let mut record = Record::start(request.method(), context.request_id.clone());
    let Ok(place) = Streams::of(&request).map(Streams::open).transpose() else {
        let unread = Unread::new(None, None, turn, None);
        return AnswerBody::attach(too_many_streams(), record, unread);
    };
    let Some(worker) = request.app_data::<Rc<Worker>>() else {
        // The server registers it for every worker.
        let draft =
            HttpResponse::with_body(StatusCode::INTERNAL_SERVER_ERROR, Content::Announced(0));
        return AnswerBody::attach(draft, record, Unread::new(None, None, turn, place));
    };
    let snapshot = worker.gateway.routes.current();
    let mut ending = Ending {
        cors: Arc::clone(snapshot.default_cors()),
        told: Told::default(),
        closes_unless_switched: asks_for_websocket(request.headers()),
    };
    let pace = worker.gateway.limits.upload_pace;
    let (upload, stream) = match ending.closes_unless_switched {
        true => (None, Cell::new(Some(payload))),
        false => (Upload::of(&request, payload, pace), Cell::new(None)),
    };
    let known = context.clone();
    let answered = context.scope(async {
        let call = Call {
            worker,
            snapshot: &snapshot,
            request: &request,
            context: &known,
            upload: upload.clone(),
            stream: &stream,
        };
        match Box::pin(call.answer(&mut record, &mut ending)).await {
            Ok(draft) => draft,
            Err(refusal) => refusal.into_draft(),
        }
    });
    let mut draft = answered.await;
    if let Ok(value) = HeaderValue::from_str(&known.request_id) {
        let name = HeaderName::from_static(REQUEST_ID_HEADER);
        draft.headers_mut().insert(name, value);
    }
    ending.finish(&request, &mut draft);
    if worker.gateway.local.stopping.load(Ordering::Relaxed) {
        // Another process or instance gets the next one.
        close_after(&mut draft);
    }
    Turn::finish(turn.as_ref(), &request, &mut draft);
    let draft = taking::watch(&request, draft, worker.gateway.limits.take_timeout);
    AnswerBody::attach(
        draft,
        record,
        Unread::new(upload, stream.take(), turn, place),
    )
}

/// One request.
struct Call<'c> {
    worker: &'c Rc<Worker>,
    snapshot: &'c Snapshot,
    request: &'c HttpRequest,
    context: &'c RequestContext,
    upload: Option<Rc<Upload>>,
    /// All that follows on a connection that is to be switched.
    stream: &'c Cell<Option<web::Payload>>,
}

impl Call<'_> {
    async fn answer(self, record: &mut Record, ending: &mut Ending) -> Result<Draft, Refusal> {
        let (gateway, request) = (&self.worker.gateway, self.request);
        check_target(request, self.snapshot.max_target_bytes())?;
        if refused_method(request.method()) {
            let refusal = Refusal::method_not_allowed(OFFERED_METHODS);
            return Err(Refusal {
                closes: true,
                ..refusal
            });
        }
        if request.method() == Method::OPTIONS && request.uri().path() == "*" {
            return Ok(offered_methods());
        }
        let screened = screen(request, gateway.via.name()).map_err(Refusal::closing)?;
        let place = self.snapshot.find(request, &screened);
        if let Some(place) = &place {
            ending.cors = Arc::clone(place.cors());
        }
        if let Some(answer) = ending.cors.preflight(request) {
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
            // In a box, as all that most requests have no need of: they should not carry the room for it.
            let answered = gateway
                .discovery
                .answer(request, path, self.upload.as_ref());
            return Box::pin(answered).await;
        }
        if screened.max_forwards == Some(0) {
            // RFC 9110, section 7.6.2: this one is meant, and nobody behind it.
            return Ok(offered_methods());
        }
        // Held while the answer is awaited: what is beyond it would only wait in memory.
        let overloaded = |_full| ApiError::unavailable("overloaded", RETRY_AFTER);
        let _load = gateway.load.acquire().await.map_err(overloaded)?;
        if let Some((service, path)) = proxied(screened.path.as_str()) {
            let service = self.proxied_service(service, path)?;
            record.set_route(Arc::from(PROXY), service.label());
            let target = Target {
                service,
                path: path.into(),
                place: None,
                caller: Caller::Unknown,
                header_timeout: gateway.limits.proxy_header_timeout,
                deadline: deadline_of(request),
            };
            return Box::pin(self.forward(&target, &screened, record)).await;
        }
        let Some(place) = place else {
            return Err(match screened.path.has_escaped_slash() {
                true => bad_path("must not have escaped slashes"),
                false => ApiError::not_found("path"),
            }
            .into());
        };
        let target = self.routed(place, &screened, record, ending).await?;
        if screened.upgrades {
            return Box::pin(self.switch(&target, &screened, record)).await;
        }
        let mut draft = self.serve_and_mirror(&target, &screened, record).await?;
        place.edit_answer(draft.headers_mut());
        if place.route.compress {
            draft = compress(self.request, draft);
        }
        Ok(draft)
    }

    /// Where a route leads, for a request that it lets pass.
    async fn routed<'p>(
        &self,
        place: Place<'p>,
        screened: &'p Screened<'_>,
        record: &mut Record,
        ending: &mut Ending,
    ) -> Result<Target<'p>, Refusal> {
        let (gateway, route) = (&self.worker.gateway, place.route);
        let deadline = deadline_of(self.request);
        let backend = route.next_backend();
        record.set_route(Arc::clone(&route.name), place.service_label(backend));
        let gate = Gate {
            gatekeeper: &gateway.gatekeeper,
            peers: &gateway.peers,
            snapshot: self.snapshot,
            max_target_bytes: gateway.limits.max_target_bytes,
        };
        let passed = gate
            .pass(&place, self.request, screened, &mut ending.told)
            .await;
        let caller = passed.map_err(|error| Refusal {
            // What is still to come of the body is not waited for.
            closes: self.upload.is_some(),
            ..error.into()
        })?;
        let path = route
            .rewritten(&screened.path)
            .map_err(|fault| match fault {
                RewriteError::Internal => ApiError::not_found("path"),
                RewriteError::Path(fault) => bad_path(fault),
            })?;
        let service = place.service(backend, &gateway.directory);
        let service = service.or_else(|| {
            // Somebody else answers, or what is kept does.
            let others = route.fallback.is_some() || route.cache.is_some();
            others.then(|| gateway.directory.vacant(place.service_name(backend)))
        });
        let away = || ApiError::unavailable("service_unavailable", RETRY_AFTER);
        let header_timeout = route.header_timeout;
        Ok(Target {
            service: service.ok_or_else(away)?,
            path,
            place: Some(place),
            caller,
            header_timeout: header_timeout.unwrap_or(gateway.limits.header_timeout),
            deadline,
        })
    }

    /// The service that a path below `/proxy` names, if that path may be asked for from outside.
    fn proxied_service(&self, name: &str, path: &str) -> Result<Arc<Service>, ApiError> {
        let service = self.worker.gateway.directory.find(name);
        let service = service.ok_or_else(|| ApiError::not_found("service"))?;
        let is_private =
            routing::is_internal(path) || (service.is_from_settings() && path == "/metrics");
        match is_private {
            true => Err(ApiError::not_found("path")),
            false => Ok(service),
        }
    }

    /// Without a body the copy goes at once; one with a body when that has been read.
    async fn serve_and_mirror(
        &self,
        target: &Target<'_>,
        screened: &Screened<'_>,
        record: &mut Record,
    ) -> Result<Draft, Refusal> {
        if self.upload.is_none() {
            self.mirror(target, screened);
        }
        let answered = self.serve(target, screened, record).await;
        if self.upload.is_some() {
            self.mirror(target, screened);
        }
        answered
    }

    async fn forward(
        &self,
        target: &Target<'_>,
        screened: &Screened<'_>,
        record: &mut Record,
    ) -> Result<Draft, Refusal> {
        let forwarded = self.forwarded(screened);
        let outbound = self.prepare(target, screened, &forwarded)?;
        match self.ask(&target.service, target, &outbound, record).await {
            Ok(draft) => Ok(draft),
            Err(error) => Box::pin(self.instead(target, &outbound, error, record)).await,
        }
    }

    /// What the service is told about the client.
    fn forwarded(&self, screened: &Screened<'_>) -> Forwarded {
        let peers = &self.worker.gateway.peers;
        peers.forwarded(self.request, screened.host)
    }

    /// The request as the service will see it.
    fn prepare<'o>(
        &'o self,
        target: &'o Target<'_>,
        screened: &'o Screened<'_>,
        forwarded: &'o Forwarded,
    ) -> Result<Outbound<'o>, Box<Refusal>> {
        let gateway = &self.worker.gateway;
        let max_bytes = target
            .route()
            .and_then(|route| route.max_body_bytes)
            .unwrap_or(gateway.limits.max_body_bytes);
        if self
            .upload
            .as_ref()
            .is_some_and(|upload| !upload.limit(max_bytes))
        {
            return Err(Box::new(too_large(max_bytes)));
        }
        let origin = Origin {
            forwarded,
            context: self.context,
            via: &gateway.via,
            route: target.route(),
            caller: &target.caller,
            upgrades: false,
        };
        let upload = self.upload.as_deref();
        let outbound = Outbound::try_new(self.request, screened, &target.path, origin, upload);
        outbound.map_err(|fault| Box::new(not_forwardable(fault)))
    }

    /// What is answered in the place of a service that gave no answer.
    async fn instead(
        &self,
        target: &Target<'_>,
        outbound: &Outbound<'_>,
        error: NoDraft,
        record: &mut Record,
    ) -> Result<Draft, Refusal> {
        match self.fall_back(target, outbound, &error, record).await {
            Some(draft) => Ok(draft),
            None => Err(refusal_of(error, &target.service)),
        }
    }

    /// Asks a service for another protocol. Until its own 101 it is HTTP: any other answer is passed
    /// on like one.
    async fn switch(
        &self,
        target: &Target<'_>,
        screened: &Screened<'_>,
        record: &mut Record,
    ) -> Result<Draft, Refusal> {
        let (gateway, service) = (&self.worker.gateway, &target.service);
        let route = target.route();
        let offered = route.is_some_and(|route| route.websocket);
        let Some(client) = offered.then(|| self.stream.take()).flatten() else {
            let status = StatusCode::NOT_IMPLEMENTED;
            let detail = "WebSockets are not offered here.";
            let error = ApiError::new(status, "upgrade_not_offered", detail);
            return Err(Refusal::closing(error));
        };
        let forwarded = gateway.peers.forwarded(self.request, screened.host);
        let origin = Origin {
            forwarded: &forwarded,
            context: self.context,
            via: &gateway.via,
            route,
            caller: &target.caller,
            upgrades: true,
        };
        let outbound = Outbound::try_new(self.request, screened, &target.path, origin, None);
        let outbound = outbound.map_err(not_forwardable)?;
        let idle_timeout = route.and_then(|route| route.idle_timeout);
        let idle_timeout = idle_timeout.unwrap_or(gateway.limits.download_idle_timeout);
        let switch = Switch {
            upstreams: &self.worker.upstreams,
            service,
            outbound: &outbound,
            header_timeout: target.header_timeout,
            key: hash_key(self.request, &service.policy),
        };
        let started = Instant::now();
        let switched = switch.run(client, idle_timeout).await;
        record.set_upstream(started.elapsed());
        match switched.map_err(|error| refusal_of(error.into(), service))? {
            Switched::Tunnel(headers, tunnel) => Ok(relay_switch(&headers, *tunnel, &gateway.via)),
            Switched::Refused(exchange) => {
                let via = &gateway.via;
                let relayed = relay(*exchange, self.request, None, via, idle_timeout);
                relayed.map_err(|fault| bad_gateway(fault, service))
            }
        }
    }

    /// Asks a service, and makes the client's answer from its.
    async fn ask(
        &self,
        service: &Arc<Service>,
        target: &Target<'_>,
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
            deadline: target.deadline,
            key: hash_key(self.request, &service.policy),
            breaker: target.breaker(service),
            retries: target.route().and_then(|route| route.retries.as_ref()),
        };
        let started = Instant::now();
        let exchange = attempts.run().await?;
        record.set_upstream(started.elapsed());
        let idle_timeout = target.route().and_then(|route| route.idle_timeout);
        let idle_timeout = idle_timeout.unwrap_or(gateway.limits.download_idle_timeout);
        let upload = self.upload.as_ref();
        let draft = relay(exchange, self.request, upload, &gateway.via, idle_timeout)?;
        match target.fallback() {
            Some(Fallback::Cached { .. }) => match self.kept_as(target, outbound) {
                Some(key) => Ok(gateway.answers.keep(key, draft).await?),
                None => Ok(draft),
            },
            _ => Ok(draft),
        }
    }

    /// Under which the last good answer is kept; `None` for a request that is no plain GET.
    fn kept_as(&self, target: &Target<'_>, outbound: &Outbound<'_>) -> Option<Key> {
        let asked = self.asked(target, outbound.screened(), outbound.forwarded());
        asked.ok().and_then(Key::of)
    }

    /// What is answered in place of a service that cannot be asked, if anything is.
    async fn fall_back(
        &self,
        target: &Target<'_>,
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
        let draft = match target.fallback()? {
            Fallback::Static {
                status,
                media_type,
                body,
            } => Some(fixed(*status, media_type, body.clone())),
            Fallback::Cached { max_age } => {
                let key = self.kept_as(target, outbound)?;
                self.worker.gateway.answers.find(&key, *max_age)
            }
            Fallback::Service(name) => {
                let whole = self
                    .upload
                    .as_ref()
                    .is_none_or(|upload| upload.is_replayable());
                let other = target.named(name, &self.worker.gateway.directory);
                // What must not arrive twice is never sent twice, nor to two services.
                let other = other.filter(|_| whole && outbound.may_go_elsewhere())?;
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

/// The answer to an OPTIONS for the gateway itself.
fn offered_methods() -> Draft {
    let mut draft = HttpResponse::with_body(StatusCode::NO_CONTENT, Content::Empty);
    set(&mut draft, "allow", OFFERED_METHODS);
    draft
}

/// The service and path that a path below `/proxy` stands for.
fn proxied(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(PROXY)?.strip_prefix('/')?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (service, path) = rest.split_at_checked(end)?;
    Some((service, if path.is_empty() { "/" } else { path }))
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
