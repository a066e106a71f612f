//! What happens in the registry, as server-sent events (WHATWG HTML, section 9.2).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::error::ErrorChain;
use common::shutdown::Shutdown;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::book::Registry;
use super::model::ChangeOut;
use super::store::Change;

/// A comment is sent after so long a silence, so that both sides know that the other is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long to wait after the database did not answer.
const RETRY: Duration = Duration::from_millis(250);

struct Watcher {
    registry: Arc<Registry>,
    shutdown: Shutdown,
    changes: watch::Receiver<u64>,
    /// The last change that was told.
    told: u64,
    /// Those that are read and not told yet.
    ready: VecDeque<Bytes>,
}

/// The events after the change `after`, or from now on. They end when the gateway stops.
pub(super) fn events(
    registry: &Arc<Registry>,
    after: Option<u64>,
    shutdown: &Shutdown,
) -> impl Stream<Item = Bytes> + use<> {
    let told = after.unwrap_or_else(|| registry.view().index);
    // A head of its own, so that the client knows where it stands before anything happens.
    let hello = format!(": watching\nretry: 1000\nid: {told}\n\n");
    let watcher = Watcher {
        changes: registry.changes(),
        registry: Arc::clone(registry),
        shutdown: shutdown.clone(),
        told,
        ready: VecDeque::from([Bytes::from(hello)]),
    };
    unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await?;
        Some((event, watcher))
    })
}

impl Watcher {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            self.changes.mark_unchanged();
            if self.registry.view().index != self.told {
                let read = self.read().await;
                if !read || !self.ready.is_empty() {
                    continue;
                }
            }
            let shutdown = self.shutdown.clone();
            tokio::select! {
                changed = timeout(KEEP_ALIVE, self.changes.changed()) => match changed {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return None,
                    Err(_) => return Some(Bytes::from_static(b": still here\n\n")),
                },
                () = shutdown.triggered() => return None,
            }
        }
    }

    /// Reads what is to be told; `false` when the database did not answer.
    async fn read(&mut self) -> bool {
        match self.registry.changes_after(self.told).await {
            Ok(Some(changes)) => {
                for change in changes {
                    self.told = change.index;
                    self.ready.push_back(event(change));
                }
            }
            Ok(None) => {
                // Too old, or of another registry: the client must look at the whole list.
                self.told = self.registry.view().index;
                let index = self.told;
                let text = format!("id: {index}\nevent: reset\ndata: {{\"index\":{index}}}\n\n");
                self.ready.push_back(text.into());
            }
            Err(error) => {
                tracing::warn!(error = %ErrorChain(&error), "changes could not be read");
                sleep(RETRY).await;
                return false;
            }
        }
        true
    }
}

fn event(change: Change) -> Bytes {
    let (index, kind) = (change.index, change.kind);
    let out = ChangeOut {
        index,
        service_name: change.service,
        instance_id: change.instance_id,
        status: change.status,
        happened_at: change.happened_at,
    };
    let data = serde_json::to_string(&out).unwrap_or_default();
    format!("id: {index}\nevent: {kind}\ndata: {data}\n\n").into()
}
