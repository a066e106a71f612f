//! Passing a request to a service and its answer back: connections and their pool, the bodies in
//! both directions, and which headers end here.

mod attempts;
mod connection;
mod download;
mod headers;
mod pool;
mod relay;
mod upload;
mod upstreams;

pub(crate) use attempts::{Attempts, NoAnswer};
pub(crate) use download::{Download, Truncated};
pub(crate) use headers::{Origin, Outbound};
pub(crate) use relay::{BadAnswer, relay};
pub(crate) use upload::{RequestBody, Upload, UploadFault};
pub(crate) use upstreams::{SendError, Upstreams};
