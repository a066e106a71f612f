//! The documents of the services that work, and the one joined from them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use common::shutdown::Shutdown;
use serde::de::IgnoredAny;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use utoipa::OpenApi as _;

use super::join::Joined;
use crate::directory::Service;
use crate::dispatch::Gateway;
use crate::fetch::{Fetched, fetch};
use crate::registry::DiscoveryApi;
use crate::settings::{DocsSettings, millis};
use crate::status::{Board, OwnApi};

/// How often a document that could not be read is asked for again.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Services come and go together; what happens within this time is joined at once.
const SETTLING_TIME: Duration = Duration::from_millis(250);

/// A service's document and the incarnation it was read from.
#[derive(Clone)]
struct Volume {
    incarnation: u64,
    text: Bytes,
}

/// The joined document. Clones of its text are cheap.
pub(crate) struct Library {
    joined: RwLock<Bytes>,
}

impl Library {
    /// A library with the gateway's own document only.
    pub(crate) fn new() -> Self {
        Self {
            joined: RwLock::new(join(&BTreeMap::new(), |_, _| false)),
        }
    }

    /// The joined document, as JSON.
    pub(crate) fn document(&self) -> Bytes {
        self.joined
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn replace(&self, document: Bytes) {
        *self.joined.write().unwrap_or_else(PoisonError::into_inner) = document;
    }
}

/// Keeps the joined document up to date as services come and go, until `shutdown`.
pub(crate) async fn keep(gateway: Arc<Gateway>, settings: DocsSettings, shutdown: Shutdown) {
    let board = Arc::clone(&gateway.local.board);
    let mut changes = board.changes();
    let mut volumes = BTreeMap::new();
    loop {
        changes.mark_unchanged();
        let complete = tokio::select! {
            complete = refresh(&mut volumes, &board, &gateway, &settings) => complete,
            () = shutdown.triggered() => return,
        };
        let wait = async {
            match complete {
                true => changes.changed().await.is_ok(),
                false => timeout(RETRY_INTERVAL, changes.changed()).await.is_ok(),
            }
        };
        tokio::select! {
            _ = wait => sleep(SETTLING_TIME).await,
            () = shutdown.triggered() => return,
        }
    }
}

/// Reads the documents that are missing or old; `false` when one could not be read.
async fn refresh(
    volumes: &mut BTreeMap<String, Volume>,
    board: &Board,
    gateway: &Arc<Gateway>,
    settings: &DocsSettings,
) -> bool {
    let healthy = board.healthy();
    let count = volumes.len();
    volumes.retain(|name, _| healthy.iter().any(|(service, _)| service.name() == name));
    let mut changed = volumes.len() < count;
    let mut complete = true;
    for (service, incarnation) in healthy {
        let known = volumes.get(service.name());
        if known.is_some_and(|volume| volume.incarnation == incarnation) {
            continue;
        }
        match read(&service, settings).await {
            Some(text) => {
                let same = known.is_some_and(|volume| volume.text == text);
                changed |= !same;
                volumes.insert(service.name().to_owned(), Volume { incarnation, text });
            }
            None => complete = false,
        }
    }
    if changed {
        let (volumes, routes) = (volumes.clone(), gateway.routes.current());
        // In a thread of its own, which gives the memory back: joined documents are many small
        // pieces between which those of others would come to lie.
        let joined =
            spawn_blocking(move || join(&volumes, |path, name| routes.leads_to(path, name)));
        match joined.await {
            Ok(document) => gateway.local.library.replace(document),
            Err(_panicked) => complete = false,
        }
    }
    complete
}

async fn read(service: &Service, settings: &DocsSettings) -> Option<Bytes> {
    let wait = millis(settings.timeout_ms);
    let instance = service.representative()?;
    let (address, max_bytes) = (instance.address(), settings.max_body_bytes);
    let fetched = fetch(address, "/openapi.json", wait, max_bytes).await;
    let fault = match fetched {
        Ok(Fetched { status: 200, body })
            if serde_json::from_slice::<IgnoredAny>(&body).is_ok() =>
        {
            return Some(body);
        }
        Ok(Fetched { status, .. }) => format!("status {status}, or no JSON"),
        Err(error) => common::error::ErrorChain(&error).to_string(),
    };
    tracing::warn!(service = service.name(), fault, "no OpenAPI document");
    None
}

/// The gateway's own endpoints.
fn own_api() -> utoipa::openapi::OpenApi {
    let mut api = OwnApi::openapi();
    api.merge(DiscoveryApi::openapi());
    api
}

fn join(volumes: &BTreeMap<String, Volume>, leads_to: impl Fn(&str, &str) -> bool) -> Bytes {
    let own = serde_json::to_value(own_api()).unwrap_or_default();
    let mut joined = Joined::new(&own);
    joined.add("gateway", own, |_path| true);
    for (name, volume) in volumes {
        // It was JSON when it was read.
        let document = serde_json::from_slice(&volume.text).unwrap_or_default();
        let is_public = |path: &str| path.starts_with("/api/") && leads_to(path, name);
        joined.add(name, document, is_public);
    }
    serde_json::to_vec(&joined.finish())
        .unwrap_or_default()
        .into()
}
