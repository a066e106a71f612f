//! Copies of requests for another service: a client never waits for them, and never sees what
//! becomes of them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{Call, Target, hash_key};
use crate::edge::screen::Screened;
use crate::proxy::{MIRROR_HEADER, Shadow};

/// Longest life of a copy.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The copies that are under way.
pub(crate) struct Mirrors(Arc<Semaphore>);

impl Mirrors {
    /// At most this many at a time.
    pub(crate) fn new(max_in_flight: usize) -> Self {
        Self(Arc::new(Semaphore::new(max_in_flight)))
    }
}

impl Call<'_> {
    /// Sends a copy of the request if its route says so and it is this one's turn. A body must have
    /// been read to its end.
    pub(super) fn mirror(&self, target: &Target<'_>, screened: &Screened<'_>) {
        let mirror = target.place.and_then(|place| {
            let mirror = place.route.mirror.as_ref()?;
            Some((place.service_name(mirror.service), mirror))
        });
        let Some((name, mirror)) = mirror else { return };
        if self.request.headers().contains_key(MIRROR_HEADER) || !mirror.takes_next() {
            return;
        }
        if let Err(reason) = self.copy(target, mirror.service, screened) {
            count(name, reason);
        }
    }

    fn copy(
        &self,
        target: &Target<'_>,
        service: usize,
        screened: &Screened<'_>,
    ) -> Result<(), &'static str> {
        let gateway = &self.worker.gateway;
        let service = target
            .place
            .and_then(|place| place.service(service, &gateway.directory));
        let service = service.ok_or("unavailable")?;
        let place = Arc::clone(&gateway.mirrors.0).try_acquire_owned();
        let place = place.map_err(|_full| "overflow")?;
        let body: Vec<Bytes> = match &self.upload {
            None => Vec::new(),
            Some(upload) => upload.whole().ok_or("body")?,
        };
        let forwarded = self.forwarded(screened);
        let outbound = self.prepare(target, screened, &forwarded);
        let outbound = outbound.map_err(|_refused| "body")?;
        let key = hash_key(self.request, &service.policy);
        let shadow = Shadow::of(&outbound, Arc::clone(&service), key, body);
        let shadow = shadow.ok_or("unavailable")?;
        let worker = Rc::clone(self.worker);
        let label = service.name().to_owned();
        actix_web::rt::spawn(async move {
            let outcome = shadow.send(&worker.upstreams, TIMEOUT).await;
            count(&label, outcome);
            drop(place);
        });
        Ok(())
    }
}

fn count(service: &str, outcome: &'static str) {
    metrics::counter!("gateway_mirrored_total", "service" => service.to_owned(), "outcome" => outcome)
        .increment(1);
}
