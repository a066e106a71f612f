//! What the edge adds to every answer, whoever made it.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};

use super::cors::Cors;
use super::limit::Told;
use crate::answer::{Draft, close_after};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How an answer ends.
pub(crate) struct Ending {
    /// Whose cross-origin rules hold.
    pub(crate) cors: Arc<Cors>,
    /// Where the caller stands.
    pub(crate) told: Told,
    /// Whether it asks for a WebSocket: nothing but that can follow on the connection.
    pub(crate) closes_unless_switched: bool,
}

impl Ending {
    pub(crate) fn finish(&self, request: &HttpRequest, draft: &mut Draft) {
        if !self.told.policy.is_empty() {
            let values = [
                (RATE_LIMIT_POLICY, &self.told.policy),
                (RATE_LIMIT, &self.told.state),
            ];
            for (name, value) in values {
                if let Ok(value) = HeaderValue::from_str(value) {
                    draft.headers_mut().insert(name, value);
                }
            }
        }
        let origin = request.headers().get(header::ORIGIN);
        self.cors.decorate(origin, draft.headers_mut());
        if self.closes_unless_switched && draft.status() != StatusCode::SWITCHING_PROTOCOLS {
            close_after(draft);
        }
    }
}
