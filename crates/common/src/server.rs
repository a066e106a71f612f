//! Start-up of a service's HTTP server: what every request passes, and a graceful stop.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, Error, HttpResponse, ResponseError, web};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use crate::auth::TokenVerifier;
use crate::context::{Origin, REQUEST_ID_HEADER, RequestContext};
use crate::error::ApiError;
use crate::health::{self, Health};
use crate::settings::ServerSettings;
use crate::shutdown::Shutdown;
use crate::telemetry::Metrics;

mod http1;
mod service_config;
mod sockets;

pub use service_config::ServiceConfig;
pub use sockets::set_up_client;

/// Longest time that a farewell may take.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// What a server needs besides its routes.
#[derive(Clone)]
pub struct ServerParts {
    /// Where to listen, and how long to wait at a stop.
    pub settings: ServerSettings,
    /// Shown at `/health` and `/ready`.
    pub health: Health,
    /// Verifies callers.
    pub verifier: TokenVerifier,
    /// Title and description of the OpenAPI document.
    pub openapi: utoipa::openapi::OpenApi,
}

/// The head of a service's OpenAPI document: its title, what it owns, and how callers prove
/// themselves (`security(("bearer" = []))` in a path).
#[must_use]
pub fn describe(title: &str, description: &str, version: &str) -> utoipa::openapi::OpenApi {
    use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.bearer_format = Some("JWT".to_owned());
    let components = utoipa::openapi::ComponentsBuilder::new()
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .build();
    let info = utoipa::openapi::InfoBuilder::new()
        .title(title)
        .description(Some(description))
        .version(version)
        .build();
    utoipa::openapi::OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .build()
}

/// A server that runs.
pub struct RunningServer {
    address: SocketAddr,
    handle: ServerHandle,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
    farewell: Option<BoxFuture<'static, ()>>,
}

impl RunningServer {
    /// Does this before the server stops: while it still serves, others are told to ask elsewhere.
    /// It is given a second.
    #[must_use]
    pub fn with_farewell(mut self, farewell: impl Future<Output = ()> + Send + 'static) -> Self {
        self.farewell = Some(Box::pin(farewell));
        self
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then lets requests under way finish.
    ///
    /// # Errors
    /// When the server ends by itself.
    pub async fn run_until(mut self, shutdown: &Shutdown) -> std::io::Result<()> {
        tokio::select! {
            ended = &mut self.task => ended.map_err(std::io::Error::other)?,
            () = shutdown.triggered() => {
                if let Some(farewell) = self.farewell.take() {
                    // Late is as good as never: whoever was not told finds out.
                    let _told = tokio::time::timeout(FAREWELL_TIMEOUT, farewell).await;
                }
                self.handle.stop(true).await;
                self.task.await.map_err(std::io::Error::other)?
            }
        }
    }
}

/// Starts serving `routes`, besides `/health`, `/ready`, `/metrics` and `/openapi.json`.
///
/// # Errors
/// When the address cannot be listened on.
pub fn start<F>(parts: ServerParts, routes: F) -> std::io::Result<RunningServer>
where
    F: Fn(&mut ServiceConfig<'_>) + Clone + Send + 'static,
{
    let settings = parts.settings.clone();
    let listener = bind(&settings)?;
    let address = listener.local_addr()?;
    let metrics = Metrics::install();
    tokio::spawn(metrics.clone().run_upkeep());

    let document = Arc::new(OnceCell::new());
    let server = http1::serve(&settings, listener, move || {
        let (head, described) = (parts.openapi.clone(), routes.clone());
        let document = Arc::clone(&document);
        App::new()
            .configure(|config| routes(&mut ServiceConfig::new(config)))
            .app_data(web::Data::new(parts.verifier.clone()))
            .app_data(web::Data::new(parts.health.clone()))
            .app_data(web::Data::new(metrics.clone()))
            .route("/health", web::get().to(health::health))
            .route("/ready", web::get().to(health::health))
            .route("/metrics", web::get().to(serve_metrics))
            .route(
                "/openapi.json",
                web::get().to(move || {
                    serve_document(Arc::clone(&document), head.clone(), described.clone())
                }),
            )
            .default_service(web::to(not_found))
            .wrap(from_fn(observe))
    })?;
    let handle = server.handle();
    Ok(RunningServer {
        address,
        handle,
        task: tokio::spawn(server),
        farewell: None,
    })
}

fn bind(settings: &ServerSettings) -> std::io::Result<TcpListener> {
    let address = format!("{}:{}", settings.host, settings.port);
    let listener = TcpListener::bind(&address)
        .map_err(|error| std::io::Error::new(error.kind(), format!("{address}: {error}")))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn not_found() -> HttpResponse {
    ApiError::not_found("resource").error_response()
}

async fn serve_metrics(metrics: web::Data<Metrics>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(metrics.render())
}

/// The document is made when it is asked for, in a thread that gives the memory back.
async fn serve_document<F>(
    document: Arc<OnceCell<web::Bytes>>,
    head: utoipa::openapi::OpenApi,
    routes: F,
) -> Result<HttpResponse, ApiError>
where
    F: Fn(&mut ServiceConfig<'_>) + Send + 'static,
{
    let describe = || async {
        let described = tokio::task::spawn_blocking(move || service_config::describe(head, routes));
        let json = described.await.map_err(ApiError::internal)?;
        Ok::<_, ApiError>(web::Bytes::from(json.map_err(ApiError::internal)?))
    };
    let json = document.get_or_try_init(describe).await?.clone();
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(json))
}

/// Around every request: its context, one log line, metrics, and a problem instead of a panic.
async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let mut context = RequestContext::from_headers(request.headers());
    context.user_token = crate::auth::bearer_of(request.request()).ok();
    let peer = request.peer_addr().map(|peer| peer.ip());
    context.origin = Origin::of(peer, request.headers());
    let request_id = context.request_id.clone();
    let method = request.method().to_string();

    let outcome = context
        .scope(async move {
            // Inside the scope, because an error's body shows the request's id.
            match AssertUnwindSafe(next.call(request)).catch_unwind().await {
                Ok(answer) => answer.map_err(|error| as_problem(&error)),
                Err(_panic) => Err(ApiError::internal("a handler panicked").error_response()),
            }
        })
        .await;
    let id_header = HeaderValue::from_str(&request_id).ok();
    match outcome {
        Ok(mut response) => {
            if let Some(value) = id_header {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static(REQUEST_ID_HEADER), value);
            }
            let route = response.request().match_pattern();
            record(&method, route, response.status(), &request_id, started);
            Ok(response)
        }
        Err(mut response) => {
            if let Some(value) = id_header {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static(REQUEST_ID_HEADER), value);
            }
            record(&method, None, response.status(), &request_id, started);
            Err(InternalError::from_response("answered already", response).into())
        }
    }
}

/// Errors that actix makes itself (a bad payload, an unreadable path) become problems too.
fn as_problem(error: &Error) -> HttpResponse {
    if let Some(error) = error.as_error::<ApiError>() {
        return error.error_response();
    }
    let status = error.as_response_error().status_code();
    let error = if status.is_server_error() {
        ApiError::internal(error.to_string())
    } else {
        ApiError::new(status, "malformed_request", "The request cannot be read.")
    };
    error.error_response()
}

fn record(
    method: &str,
    route: Option<String>,
    status: StatusCode,
    request_id: &str,
    started: Instant,
) {
    let elapsed = started.elapsed();
    let status = status.as_u16();
    // The pattern, never the path: the number of time series stays bounded.
    let route = route.unwrap_or_else(|| "unmatched".to_owned());
    let method = match method {
        "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS" => method.to_owned(),
        _ => "other".to_owned(),
    };
    metrics::counter!("http_requests_total", "method" => method.clone(), "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    metrics::histogram!("http_request_duration_seconds", "method" => method.clone(), "route" => route.clone())
        .record(elapsed.as_secs_f64());
    // What is asked every few seconds, whether anything happens or not.
    let probe = matches!(
        route.as_str(),
        "/health" | "/ready" | "/metrics" | "/internal/revocations"
    );
    let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    if probe {
        tracing::debug!(
            http.method = method,
            http.route = route,
            http.status = status,
            duration_ms,
            request.id = request_id,
            "request"
        );
    } else {
        tracing::info!(
            http.method = method,
            http.route = route,
            http.status = status,
            duration_ms,
            request.id = request_id,
            "request"
        );
    }
}
