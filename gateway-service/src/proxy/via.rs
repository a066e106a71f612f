//! This gateway in the `Via` of messages (RFC 9110, section 7.6.3).

use actix_web::http::header::HeaderValue as ActixValue;
use http::HeaderValue;

/// The name of this process, and what is written with it: always the same, so it is made once.
#[derive(Debug)]
pub(crate) struct Via {
    name: String,
    to_services: [HeaderValue; 2],
    to_clients: [ActixValue; 2],
}

/// Received protocols: of HTTP/1.0, and of everything after it.
const RECEIVED: [&str; 2] = ["1.0", "1.1"];

impl Via {
    /// # Panics
    /// When the name is not one of visible ASCII characters.
    pub(crate) fn new(name: String) -> Self {
        let texts = RECEIVED.map(|received| format!("{received} {name}"));
        let good = "the name stands in a header";
        Self {
            to_services: texts.each_ref().map(|text| text.parse().expect(good)),
            to_clients: texts.each_ref().map(|text| text.parse().expect(good)),
            name,
        }
    }

    /// By which this gateway knows that a request has passed it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// For a request that a client sent in this version.
    pub(super) fn to_service(&self, version: actix_web::http::Version) -> &HeaderValue {
        let [old, new] = &self.to_services;
        match version < actix_web::http::Version::HTTP_11 {
            true => old,
            false => new,
        }
    }

    /// For an answer that a service sent in this version.
    pub(super) fn to_client(&self, version: http::Version) -> &ActixValue {
        let [old, new] = &self.to_clients;
        match version < http::Version::HTTP_11 {
            true => old,
            false => new,
        }
    }
}
