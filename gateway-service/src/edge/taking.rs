//! Answers over HTTP/2 that their client does not take.
//!
//! Over HTTP/1.1 the connection itself is watched (see `server`). A stream of HTTP/2 has a window of its
//! own (RFC 9113, section 5.2): whoever never opens it would hold a connection to a service, and a place
//! there, for as long as its own connection lives.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::Version;
use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep_until};

use super::streams::{Streams, StuckStream};
use crate::answer::{Content, Draft};
use crate::proxy::Truncated;

/// Parts in which a body that is here as a whole is given out, in bytes: whoever takes one of them does
/// not stand still.
const PART_BYTES: usize = 16 * 1024;

/// A body that is let go of when its client has taken nothing for too long.
pub(crate) struct Watched {
    shared: Rc<Shared>,
    watch: JoinHandle<()>,
}

struct Shared {
    /// `None` once it was let go of.
    content: RefCell<Option<Content>>,
    /// Since when the client has a part to take.
    given: Cell<Option<Instant>>,
    patience: Duration,
    /// Those of the connection.
    streams: Option<Rc<Streams>>,
    /// Counts among them once it was let go of.
    stuck: RefCell<Option<StuckStream>>,
}

/// Watches over the body of an answer to this request, if nothing else does.
pub(crate) fn watch(request: &HttpRequest, draft: Draft, patience: Duration) -> Draft {
    if request.version() != Version::HTTP_2 {
        return draft;
    }
    draft.map_body(|_head, content| match content {
        Content::Empty | Content::Announced(_) | Content::Watched(_) | Content::Tunnel(_) => {
            content
        }
        Content::Bytes(bytes) if bytes.is_empty() => Content::Bytes(bytes),
        content => {
            let streams = Streams::of(request).cloned();
            Content::Watched(Box::new(Watched::new(content, patience, streams)))
        }
    })
}

impl Watched {
    fn new(content: Content, patience: Duration, streams: Option<Rc<Streams>>) -> Self {
        let shared = Rc::new(Shared {
            content: RefCell::new(Some(content)),
            given: Cell::new(None),
            patience,
            streams,
            stuck: RefCell::new(None),
        });
        Self {
            watch: spawn_local(let_go_if_not_taken(Rc::clone(&shared))),
            shared,
        }
    }

    /// Bytes announced; `None` when the end will tell.
    pub(crate) fn length(&self) -> Option<u64> {
        match &*self.shared.content.borrow() {
            Some(Content::Download(body)) => body.length(),
            Some(Content::Bytes(bytes)) => Some(bytes.len() as u64),
            _ => None,
        }
    }

    /// The next part. Whoever asks has taken the last one.
    pub(crate) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Truncated>>> {
        self.shared.given.set(None);
        let mut content = self.shared.content.borrow_mut();
        let Some(content) = &mut *content else {
            return Poll::Ready(Some(Err(Truncated::NotTaken)));
        };
        let part = match content {
            Content::Bytes(bytes) if bytes.len() > PART_BYTES => {
                Poll::Ready(Some(Ok(bytes.split_to(PART_BYTES))))
            }
            content => content.poll_part(cx),
        };
        if let Poll::Ready(Some(Ok(_))) = part {
            self.shared.given.set(Some(Instant::now()));
        }
        part
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

async fn let_go_if_not_taken(shared: Rc<Shared>) {
    loop {
        let since = shared.given.get().unwrap_or_else(Instant::now);
        sleep_until(since + shared.patience).await;
        let given = shared.given.get();
        if given.is_some_and(|given| given.elapsed() >= shared.patience) {
            shared.content.take();
            let streams = shared.streams.as_ref();
            shared.stuck.replace(streams.map(Streams::stuck));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::task::LocalSet;
    use tokio::time::sleep;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_large_answer_slowly_gets_it_and_who_takes_nothing_does_not() {
        let whole = Bytes::from(vec![b'a'; 10 * PART_BYTES + 1]);
        let watched = || Watched::new(Content::Bytes(whole.clone()), PATIENCE, None);
        LocalSet::new()
            .run_until(async {
                let mut slow = watched();
                assert_eq!(slow.length(), Some(whole.len() as u64));
                let mut taken = 0;
                while let Some(part) = poll_fn(|cx| slow.poll_part(cx)).await {
                    let length = part.unwrap().len();
                    taken += length;
                    // At an even pace, whatever is given out at once.
                    let parts = u32::try_from(length.div_ceil(PART_BYTES)).unwrap();
                    sleep(PATIENCE * 9 / 10 * parts).await;
                }
                assert_eq!(taken, whole.len());
                let mut stalled = watched();
                poll_fn(|cx| stalled.poll_part(cx)).await.unwrap().unwrap();
                sleep(PATIENCE * 11 / 10).await;
                let part = poll_fn(|cx| stalled.poll_part(cx)).await.unwrap();
                assert!(matches!(part, Err(Truncated::NotTaken)), "{part:?}");
            })
            .await;
    }
}
