//! A body whose length is not known before its end, kept while it passes.

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use super::shelf::Ticket;
use super::stored::StoredHead;
use crate::proxy::{Download, Truncated};

/// What becomes of a body that has passed as a whole.
pub(crate) struct Keeper {
    pub(crate) ticket: Ticket,
    pub(crate) head: StoredHead,
    pub(crate) max_bytes: u64,
}

/// A body that passes and is kept if it comes to its end.
pub(crate) struct Tee {
    body: Box<Download>,
    /// None when it is not kept after all.
    keeper: Option<Keeper>,
    kept: BytesMut,
}

impl Tee {
    pub(crate) fn new(body: Box<Download>, keeper: Keeper) -> Self {
        Self {
            body,
            keeper: Some(keeper),
            kept: BytesMut::new(),
        }
    }

    pub(crate) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Truncated>>> {
        let part = self.body.poll_part(cx);
        match &part {
            Poll::Ready(Some(Ok(data))) => self.keep(data),
            Poll::Ready(Some(Err(_))) => self.keeper = None,
            Poll::Ready(None) => self.finish(),
            Poll::Pending => {}
        }
        part
    }

    fn keep(&mut self, data: &Bytes) {
        let Some(keeper) = &mut self.keeper else {
            return;
        };
        if (self.kept.len() + data.len()) as u64 > keeper.max_bytes {
            keeper.ticket.open();
            self.keeper = None;
            self.kept = BytesMut::new();
            return;
        }
        self.kept.extend_from_slice(data);
    }

    fn finish(&mut self) {
        if let Some(Keeper {
            mut ticket, head, ..
        }) = self.keeper.take()
        {
            // A copy of its own: what was read may hold more than it shows.
            let body = Bytes::copy_from_slice(&self.kept);
            ticket.keep(head.with_body(body));
        }
    }
}
