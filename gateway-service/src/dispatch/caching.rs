//! Requests on a route that keeps answers: a kept one is given out, a missing one fetched once for
//! all who ask at the time, and an old one asked for whether it still holds (RFC 9111).

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use bytes::Bytes;
use common::error::ApiError;
use routing::CachePolicy;
use tokio::time::{Instant, timeout_at};

use super::{Call, PROXY, Target};
use crate::answer::{Content, Draft};
use crate::cache::{
    Asked, Bypass, Keeper, Moments, Source, Stored, StoredHead, Tee, Ticket, Turn, key_of,
};
use crate::edge::peers::Forwarded;
use crate::edge::screen::Screened;
use crate::proxy::{Download, Truncated};
use crate::record::Record;
use crate::refusal::{NoDraft, Refusal};

/// Longest wait for somebody who fetches the same.
const COLLAPSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Who was asked, and how the cache was passed (RFC 9211).
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

impl Call<'_> {
    /// The answer of a route: a kept one, if it keeps any, or the service's.
    pub(super) async fn serve(
        &self,
        target: &Target<'_>,
        screened: &Screened<'_>,
        record: &mut Record,
    ) -> Result<Draft, Refusal> {
        let route = target.route();
        let Some((route, policy)) = route.and_then(|route| Some((route, route.cache.as_ref()?)))
        else {
            let answered = self.forward(target, screened, record).await;
            self.forget_changed(screened, &answered);
            return answered;
        };
        let forwarded = self.forwarded(screened);
        let bypass = match self.asked(target, screened, &forwarded) {
            Ok(asked) => {
                let cached = Cached {
                    call: self,
                    policy,
                    target,
                    screened,
                    forwarded: &forwarded,
                    asked,
                };
                return Box::pin(cached.answer(record)).await;
            }
            Err(bypass) => bypass,
        };
        let answered = self.forward(target, screened, record).await;
        self.forget_changed(screened, &answered);
        let mut draft = answered?;
        let reason = match bypass {
            Bypass::Method => "method",
            Bypass::Request => "request",
        };
        tell(&mut draft, &format!("maru; fwd={reason}"));
        count(&route.name, "bypass");
        Ok(draft)
    }

    /// What decides which kept answers are for this request.
    pub(super) fn asked<'a>(
        &'a self,
        target: &Target<'_>,
        screened: &'a Screened<'_>,
        forwarded: &Forwarded,
    ) -> Result<Asked<'a>, Bypass> {
        let route = target.route().map(|route| Arc::clone(&route.name));
        let source = Source {
            route: route.unwrap_or_else(|| PROXY.into()),
            service: target.service.name().to_owned(),
            path: target.path.clone().into_owned(),
        };
        let asked = Asked::of(self.request, screened, forwarded, source, &target.caller)?;
        // A body is no part of the key.
        match self.upload {
            None => Ok(asked),
            Some(_) => Err(Bypass::Request),
        }
    }

    /// What a service may have changed is not given out any more (RFC 9111, section 4.4).
    fn forget_changed(&self, screened: &Screened<'_>, answered: &Result<Draft, Refusal>) {
        let safe = [Method::GET, Method::HEAD, Method::OPTIONS];
        let refused = |draft: &Draft| draft.status().is_client_error();
        let shelf = &self.worker.gateway.shelf;
        if safe.contains(self.request.method())
            || answered.as_ref().is_ok_and(refused)
            || !shelf.is_in_use()
        {
            return;
        }
        let forwarded = self.forwarded(screened);
        let query = self.request.uri().query();
        shelf.invalidate(&key_of(&forwarded, screened.path.as_str(), query));
        let origin = key_of(&forwarded, "", None);
        let Ok(draft) = answered else { return };
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            let place = draft.headers().get(name);
            let Some(place) = place.and_then(|place| place.to_str().ok()) else {
                continue;
            };
            // Another origin's are not its business.
            let target = place.split('#').next().unwrap_or(place);
            match target.starts_with('/') {
                true => shelf.invalidate(&format!("{origin}{target}")),
                false if target.starts_with(&*origin) => shelf.invalidate(target),
                false => {}
            }
        }
    }
}

/// A request that a kept answer may be given to.
struct Cached<'c> {
    call: &'c Call<'c>,
    policy: &'c CachePolicy,
    target: &'c Target<'c>,
    screened: &'c Screened<'c>,
    forwarded: &'c Forwarded,
    asked: Asked<'c>,
}

impl Cached<'_> {
    async fn answer(&self, record: &mut Record) -> Result<Draft, Refusal> {
        let (shelf, asked) = (&self.call.worker.gateway.shelf, &self.asked);
        let deadline = Instant::now() + COLLAPSE_TIMEOUT;
        let mut ticket: Option<Ticket> = None;
        let mut waited = false;
        loop {
            let found = shelf.find(asked);
            if let Some(stored) = found.as_ref().filter(|stored| stored.satisfies(asked)) {
                return Ok(self.hit(stored, waited));
            }
            if asked.directives.only_if_cached {
                // RFC 9111, section 5.2.1.7.
                let status = StatusCode::GATEWAY_TIMEOUT;
                let detail = "There is no kept answer, and no other was wanted.";
                return Err(ApiError::new(status, "not_cached", detail).into());
            }
            let mut mine = match ticket.take() {
                Some(ticket) => ticket,
                None => shelf.ticket(&asked.key),
            };
            if !self.may_collapse(found.as_deref()) {
                return self.fetch(mine, found, record).await;
            }
            match mine.turn() {
                Turn::Lead | Turn::Alone => return self.fetch(mine, found, record).await,
                Turn::Wait(ended) => {
                    if timeout_at(deadline, ended).await.is_err() {
                        return self.fetch(mine, found, record).await;
                    }
                    waited = true;
                }
            }
            ticket = Some(mine);
        }
    }

    fn hit(&self, stored: &Stored, waited: bool) -> Draft {
        let mut draft = stored.draft(&self.asked);
        match waited {
            true => tell(&mut draft, "maru; fwd=uri-miss; collapsed"),
            false => tell(
                &mut draft,
                &format!("maru; hit; ttl={}", stored.seconds_left()),
            ),
        }
        self.count(if waited { "collapsed" } else { "hit" });
        draft
    }

    /// Whether what comes can be for others too, and theirs for this one.
    fn may_collapse(&self, found: Option<&Stored>) -> bool {
        let asked = &self.asked;
        let asks_for_all = !asked.is_conditional() || found.is_some_and(Stored::has_validators);
        !asked.is_head && !asked.is_personal && !asked.directives.no_cache && asks_for_all
    }

    /// Asks the service, or whether what is kept still holds.
    async fn fetch(
        &self,
        mut ticket: Ticket,
        found: Option<Arc<Stored>>,
        record: &mut Record,
    ) -> Result<Draft, Refusal> {
        let (call, target) = (self.call, self.target);
        let validators = match &found {
            Some(stored) if !self.asked.is_head => stored.validators(),
            _ => Vec::new(),
        };
        let validates = !validators.is_empty();
        let outbound = call.prepare(target, self.screened, self.forwarded)?;
        let outbound = outbound.validating(validators);
        let reason = self.reason(found.is_some());
        let asked = Instant::now();
        let answered = call.ask(&target.service, target, &outbound, record).await;
        let spare = found.as_ref().filter(|stored| stored.stands_in());
        let error = match (answered, &found, spare) {
            (Ok(draft), _, Some(spare)) if is_failure(draft.status()) => {
                ticket.open();
                return Ok(self.stale(spare, Some(draft.status())));
            }
            (Ok(draft), Some(stored), _)
                if validates && draft.status() == StatusCode::NOT_MODIFIED =>
            {
                if stored.is_confirmed_by(draft.headers()) {
                    return Ok(self.renew(ticket, stored, draft.headers(), self.moments(asked)));
                }
                // It speaks of another one: once more, without asking about ours.
                ticket.forget(stored);
                return Box::pin(self.fetch(ticket, None, record)).await;
            }
            (Ok(draft), ..) => {
                let moments = self.moments(asked);
                match self.pass(ticket, found.as_ref(), draft, moments).await {
                    Ok(mut passed) => {
                        let kept = if passed.is_kept { "; stored" } else { "" };
                        tell(&mut passed.draft, &format!("maru; fwd={reason}{kept}"));
                        self.count("miss");
                        return Ok(passed.draft);
                    }
                    Err(truncated) => NoDraft::from(truncated),
                }
            }
            (Err(error), ..) => {
                ticket.open();
                error
            }
        };
        match spare {
            Some(spare) => Ok(self.stale(spare, None)),
            None => call.instead(target, &outbound, error, record).await,
        }
    }

    /// Passes an answer on, and keeps it if it is for others too.
    async fn pass(
        &self,
        mut ticket: Ticket,
        before: Option<&Arc<Stored>>,
        draft: Draft,
        moments: Moments,
    ) -> Result<Passed, Truncated> {
        let (status, headers) = (draft.status(), draft.headers());
        let Some(head) = StoredHead::of(&self.asked, status, headers, self.policy, moments) else {
            if let Some(before) =
                before.filter(|_| !status.is_server_error() && !self.asked.is_head)
            {
                ticket.forget(before);
            }
            ticket.open();
            return Ok(Passed::on(draft));
        };
        let (relayed, content) = draft.into_parts();
        let shelf = &self.call.worker.gateway.shelf;
        let max_bytes = self.policy.max_body_bytes.min(shelf.max_bytes());
        let body = match content {
            Content::Download(mut body) if body.is_delimited() => match body.length() {
                None => {
                    let keeper = Keeper {
                        ticket,
                        head,
                        max_bytes,
                    };
                    let content = Content::Teed(Box::new(Tee::new(body, keeper)));
                    return Ok(Passed {
                        draft: relayed.set_body(content),
                        is_kept: true,
                    });
                }
                Some(length) if length > max_bytes => {
                    ticket.open();
                    return Ok(Passed::on(relayed.set_body(Content::Download(body))));
                }
                Some(length) => whole(&mut body, length)
                    .await
                    .inspect_err(|_| ticket.open())?,
            },
            Content::Bytes(body) if body.len() as u64 <= max_bytes => body,
            Content::Empty | Content::Announced(0) => Bytes::new(),
            content => {
                ticket.open();
                return Ok(Passed::on(relayed.set_body(content)));
            }
        };
        let stored = head.with_body(body.clone());
        let draft = match self.asked.is_conditional() {
            true => stored.draft(&self.asked),
            false if status == StatusCode::NO_CONTENT => relayed.set_body(Content::Empty),
            false => relayed.set_body(Content::Bytes(body)),
        };
        Ok(Passed {
            draft,
            is_kept: ticket.keep(stored),
        })
    }

    /// The kept answer, which the service has confirmed.
    fn renew(
        &self,
        mut ticket: Ticket,
        stored: &Arc<Stored>,
        headers: &HeaderMap,
        moments: Moments,
    ) -> Draft {
        let (renewed, may_be_kept) = stored.renewed(&self.asked, headers, self.policy, moments);
        let mut draft = renewed.draft(&self.asked);
        let reason = self.reason(true);
        tell(&mut draft, &format!("maru; fwd={reason}; fwd-status=304"));
        self.count("validated");
        match may_be_kept {
            true => {
                ticket.keep(renewed);
            }
            false => {
                ticket.forget(stored);
                ticket.open();
            }
        }
        draft
    }

    /// The kept answer in the place of one that cannot be had (RFC 5861, section 4).
    fn stale(&self, stored: &Stored, status: Option<StatusCode>) -> Draft {
        let mut draft = stored.draft(&self.asked);
        let status = status.map(|status| format!("; fwd-status={}", status.as_u16()));
        let status = status.unwrap_or_default();
        let left = stored.seconds_left();
        tell(
            &mut draft,
            &format!("maru; fwd=stale{status}; ttl={left}; detail=stale-if-error"),
        );
        self.count("stale");
        draft
    }

    /// Why the service is asked (RFC 9211, section 2.2).
    fn reason(&self, is_known: bool) -> &'static str {
        let shelf = &self.call.worker.gateway.shelf;
        match is_known {
            true if self.asked.directives.no_cache => "request",
            true => "stale",
            false if shelf.has_others(&self.asked.key) => "vary-miss",
            false => "uri-miss",
        }
    }

    fn moments(&self, asked: Instant) -> Moments {
        let now = self.call.worker.gateway.clock.now().as_micros();
        let since_epoch = Duration::from_micros(u64::try_from(now).unwrap_or(0));
        Moments {
            asked,
            came: Instant::now(),
            now: SystemTime::UNIX_EPOCH + since_epoch,
        }
    }

    fn count(&self, outcome: &'static str) {
        count(&self.asked.source.route, outcome);
    }
}

/// An answer that is passed on.
struct Passed {
    draft: Draft,
    /// Whether others get it too, as far as can be said before its end.
    is_kept: bool,
}

impl Passed {
    const fn on(draft: Draft) -> Self {
        Self {
            draft,
            is_kept: false,
        }
    }
}

/// Reads a body to its end, so that those who wait for it need not wait for this client.
async fn whole(body: &mut Download, length: u64) -> Result<Bytes, Truncated> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    while let Some(part) = poll_fn(|cx| body.poll_part(cx)).await {
        bytes.extend_from_slice(&part?);
    }
    Ok(bytes.into())
}

/// Answers in whose place an older one stands (RFC 5861, section 4).
fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502..=504)
}

/// Adds what the cache did to what caches behind it say.
fn tell(draft: &mut Draft, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        draft.headers_mut().append(CACHE_STATUS, value);
    }
}

fn count(route: &str, outcome: &'static str) {
    metrics::counter!("gateway_cache_requests_total", "route" => route.to_owned(), "outcome" => outcome)
        .increment(1);
}
