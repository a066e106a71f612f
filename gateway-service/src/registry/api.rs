//! The registry's endpoints.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::{Method, StatusCode, header};
use bytes::Bytes;
use common::auth::{Permission, Principal, TokenType, TokenVerifier, bearer_of};
use common::error::ApiError;
use common::extract::parse_json;
use common::shutdown::Shutdown;
use contracts::services::ServiceName;
use http_body_util::BodyExt as _;

use super::book::{RegisterError, Registry, View};
use super::consul;
use super::entry::Entry;
use super::model::{
    DiscoveredListOut, DiscoveredOut, DiscoveryHealthOut, LeaseOut, RegisteredOut, RegistrationIn,
    ServiceHealthOut,
};
use super::watch;
use crate::answer::{Content, Draft, json, set};
use crate::proxy::{RequestBody, Upload, UploadFault};
use crate::refusal::{Refusal, upload_refusal};

/// Largest body that is read here, in bytes.
const MAX_BODY_BYTES: u64 = 64 * 1024;

/// The endpoints and what they need.
pub(crate) struct Discovery {
    pub(crate) registry: Arc<Registry>,
    pub(crate) verifier: TokenVerifier,
    pub(crate) shutdown: Shutdown,
}

/// One of our own endpoints, without Consul's.
#[derive(Debug, PartialEq, Eq)]
enum Endpoint<'p> {
    Services,
    Service(&'p str),
    Instance(&'p str, &'p str),
    Heartbeat(&'p str, &'p str),
    Health,
    Watch,
}

impl<'p> Endpoint<'p> {
    fn of(segments: &[&'p str]) -> Option<Self> {
        Some(match *segments {
            ["services"] => Self::Services,
            ["services", name] => Self::Service(name),
            ["services", name, "instances", id] => Self::Instance(name, id),
            ["services", name, "instances", id, "heartbeat"] => Self::Heartbeat(name, id),
            ["health"] => Self::Health,
            ["watch"] => Self::Watch,
            _ => return None,
        })
    }

    const fn methods(&self) -> &'static str {
        match self {
            Self::Services => "GET, HEAD, POST",
            Self::Service(_) => "GET, HEAD, DELETE",
            Self::Instance(..) => "DELETE",
            Self::Heartbeat(..) => "PUT",
            Self::Health | Self::Watch => "GET, HEAD",
        }
    }
}

/// The label of the endpoints of discovery, if `path` is one of them.
pub(crate) fn label_of(path: &str) -> Option<&'static str> {
    let below = |prefix: &str| {
        let rest = path.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if below("/api/discovery") {
        Some("/api/discovery")
    } else if below("/v1") {
        Some("/v1")
    } else {
        None
    }
}

impl Discovery {
    /// Answers a request to a path that [`label_of`] knows.
    pub(crate) async fn answer(
        &self,
        request: &HttpRequest,
        path: &str,
        upload: Option<&Rc<Upload>>,
    ) -> Result<Draft, Refusal> {
        let segments: Option<Vec<String>> = path.split('/').skip(1).map(decoded).collect();
        let segments = segments.ok_or_else(|| ApiError::not_found("path"))?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let mut draft = match segments.as_slice() {
            ["v1", rest @ ..] => consul::answer(self, request, rest, upload).await?,
            ["api", "discovery", rest @ ..] => self.own(request, rest, upload).await?,
            _ => return Err(ApiError::not_found("path").into()),
        };
        set(&mut draft, "cache-control", "no-store");
        Ok(draft)
    }

    async fn own(
        &self,
        request: &HttpRequest,
        segments: &[&str],
        upload: Option<&Rc<Upload>>,
    ) -> Result<Draft, Refusal> {
        let endpoint = Endpoint::of(segments).ok_or_else(|| ApiError::not_found("path"))?;
        let allowed = endpoint.methods();
        let method = request.method();
        if !allowed
            .split(", ")
            .any(|allowed| allowed == method.as_str())
        {
            return Err(Refusal::method_not_allowed(allowed));
        }
        if endpoint == Endpoint::Health {
            return Ok(self.health()?);
        }
        let caller = self
            .caller(bearer_of(request).map_err(ApiError::from)?)
            .await?;
        Ok(match endpoint {
            Endpoint::Services if *method == Method::POST => {
                self.register(request, &caller, upload).await?
            }
            Endpoint::Services => self.list().await?,
            Endpoint::Service(name) if *method == Method::DELETE => {
                self.deregister(&caller, name, None).await?
            }
            Endpoint::Service(name) => self.show(name).await?,
            Endpoint::Instance(name, id) => self.deregister(&caller, name, Some(id)).await?,
            Endpoint::Heartbeat(name, id) => self.heartbeat(&caller, name, id).await?,
            Endpoint::Watch => self.watch(request)?,
            Endpoint::Health => self.health()?,
        })
    }

    /// Who asks: a service, or a person who may operate the system.
    pub(super) async fn caller(&self, token: String) -> Result<Principal, ApiError> {
        let caller = self.verifier.verify(&token).await.map_err(ApiError::from)?;
        let is_service = caller.token_type == TokenType::Service;
        match is_service || caller.allows(Permission::SystemOperate) {
            true => Ok(caller),
            false => Err(ApiError::forbidden()),
        }
    }

    async fn register(
        &self,
        request: &HttpRequest,
        caller: &Principal,
        upload: Option<&Rc<Upload>>,
    ) -> Result<Draft, Refusal> {
        require_json(request)?;
        let body = read_body(upload).await?;
        let input: RegistrationIn = parse_json(&body)?;
        require_own_name(caller, &input.service_name)?;
        let input = input.check(&self.registry.guard).await?;
        let registered = self.registry.register(&input, &caller.subject).await;
        let (entry, is_new) = registered.map_err(register_error)?;
        let status = if is_new {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        let mut draft = shown(status, &RegisteredOut::from(&entry))?;
        if is_new {
            let place = format!("/api/discovery/services/{}", entry.service);
            set(&mut draft, "location", &place);
        }
        Ok(draft)
    }

    async fn list(&self) -> Result<Draft, ApiError> {
        let view = self.registry.read(None).await?;
        let services = by_service(&view);
        let items = services
            .iter()
            .map(|(name, entries)| DiscoveredOut::of(name, entries));
        let list = DiscoveredListOut {
            items: items.collect(),
            next_cursor: None,
            index: view.index,
        };
        shown(StatusCode::OK, &list)
    }

    async fn show(&self, name: &str) -> Result<Draft, ApiError> {
        let view = self.registry.read(Some(name)).await?;
        let entries: Vec<&Entry> = view.of(name).collect();
        match entries.is_empty() {
            true => Err(ApiError::not_found("service")),
            false => shown(StatusCode::OK, &DiscoveredOut::of(name, &entries)),
        }
    }

    async fn deregister(
        &self,
        caller: &Principal,
        name: &str,
        id: Option<&str>,
    ) -> Result<Draft, ApiError> {
        require_own_name(caller, name)?;
        match self
            .registry
            .deregister(name, id)
            .await
            .map_err(ApiError::from)?
        {
            0 => Err(ApiError::not_found(id.map_or("service", |_| "instance"))),
            _ => Ok(HttpResponse::with_body(
                StatusCode::NO_CONTENT,
                Content::Empty,
            )),
        }
    }

    async fn heartbeat(&self, caller: &Principal, name: &str, id: &str) -> Result<Draft, ApiError> {
        require_own_name(caller, name)?;
        let lease = self
            .registry
            .heartbeat(name, id)
            .await
            .map_err(ApiError::from)?;
        let lease = lease.ok_or_else(|| ApiError::not_found("lease"))?;
        shown(StatusCode::OK, &LeaseOut::of(lease))
    }

    fn health(&self) -> Result<Draft, ApiError> {
        let view = self.registry.view();
        let services = by_service(&view);
        let services = services
            .iter()
            .map(|(name, entries)| ServiceHealthOut::of(name, entries));
        shown(StatusCode::OK, &DiscoveryHealthOut::of(services.collect()))
    }

    fn watch(&self, request: &HttpRequest) -> Result<Draft, ApiError> {
        let after = match request.headers().get("last-event-id") {
            None => None,
            Some(value) => {
                let number = value
                    .to_str()
                    .ok()
                    .and_then(|text| text.trim().parse().ok());
                let detail = "Last-Event-ID must be the id of an event.";
                Some(number.ok_or_else(|| ApiError::malformed("invalid_event_id", detail))?)
            }
        };
        let events = watch::events(&self.registry, after, &self.shutdown);
        let content = match *request.method() {
            Method::HEAD => Content::Announced(0),
            _ => Content::Events(Box::pin(events)),
        };
        let mut draft = HttpResponse::with_body(StatusCode::OK, content);
        set(&mut draft, "content-type", "text/event-stream");
        Ok(draft)
    }
}

fn by_service(view: &View) -> BTreeMap<&str, Vec<&Entry>> {
    let mut services: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in &view.entries {
        services.entry(&entry.service).or_default().push(entry);
    }
    services
}

/// Traffic for `order` goes where `order` says, and nobody else but the operator.
pub(super) fn require_own_name(caller: &Principal, name: &str) -> Result<(), ApiError> {
    let is_maru = ServiceName::all().any(|known| known.as_str() == name);
    let is_operator = caller.allows(Permission::SystemOperate);
    match is_operator || !is_maru || caller.subject == name {
        true => Ok(()),
        false => Err(ApiError::forbidden()),
    }
}

fn require_json(request: &HttpRequest) -> Result<(), ApiError> {
    let value = request.headers().get(header::CONTENT_TYPE);
    let text = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let (status, detail) = (
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "The body must be application/json.",
    );
    Err(ApiError::new(status, "unsupported_media_type", detail))
}

/// The whole body, if it is small enough.
pub(super) async fn read_body(upload: Option<&Rc<Upload>>) -> Result<Bytes, Refusal> {
    let Some(upload) = upload else {
        return Ok(Bytes::new());
    };
    if !upload.limit(MAX_BODY_BYTES) {
        return Err(upload_refusal(UploadFault::TooLarge(MAX_BODY_BYTES)));
    }
    let body = RequestBody::new(Some(Rc::clone(upload)));
    match body.collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(fault) => Err(upload_refusal(fault)),
    }
}

pub(super) fn shown(status: StatusCode, value: &impl serde::Serialize) -> Result<Draft, ApiError> {
    let text = serde_json::to_vec(value).map_err(ApiError::internal)?;
    Ok(json(status, text))
}

pub(super) fn register_error(error: RegisterError) -> ApiError {
    match error {
        RegisterError::Full => {
            let detail = "The registry holds as many services or instances as it can.";
            ApiError::conflict("registry_full", detail)
        }
        RegisterError::Store(error) => error.into(),
    }
}

/// A segment of a path without its escapes.
fn decoded(segment: &str) -> Option<String> {
    let text = percent_encoding::percent_decode_str(segment).decode_utf8();
    text.ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_found_by_whole_segments() {
        for (path, expected) in [
            ("/api/discovery", Some("/api/discovery")),
            ("/api/discovery/services", Some("/api/discovery")),
            ("/api/discoverysheet", None),
            ("/v1/agent/services", Some("/v1")),
            ("/v1", Some("/v1")),
            ("/v12", None),
        ] {
            assert_eq!(label_of(path), expected, "{path}");
        }
        assert_eq!(
            Endpoint::of(&["services", "a"]),
            Some(Endpoint::Service("a"))
        );
        assert_eq!(Endpoint::of(&["services", "a", "instances"]), None);
        assert_eq!(Endpoint::of(&[]), None);
    }

    #[test]
    fn escapes_in_segments_are_read() {
        assert_eq!(decoded("web%3A80").as_deref(), Some("web:80"));
        assert_eq!(decoded("%FF"), None);
    }
}
