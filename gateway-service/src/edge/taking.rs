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

use crate::answer::{Content, Draft};
use crate::proxy::Truncated;

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
}

/// Watches over the body of an answer to this request, if it comes from elsewhere and nothing else does.
pub(crate) fn watch(request: &HttpRequest, draft: Draft, patience: Duration) -> Draft {
    if request.version() != Version::HTTP_2 {
        return draft;
    }
    draft.map_body(|_head, content| match content {
        Content::Download(_) | Content::Teed(_) | Content::Compressed(_) | Content::Events(_) => {
            Content::Watched(Box::new(Watched::new(content, patience)))
        }
        other => other,
    })
}

impl Watched {
    fn new(content: Content, patience: Duration) -> Self {
        let shared = Rc::new(Shared {
            content: RefCell::new(Some(content)),
            given: Cell::new(None),
            patience,
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
        let part = content.poll_part(cx);
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
            return;
        }
    }
}
