//! Passing a request to a service and its answer back: connections and their pool, the bodies in
//! both directions, and which headers end here.

mod connection;
mod download;
mod headers;
mod pool;
mod relay;
mod upload;
mod upstreams;

pub(crate) use download::{Download, Truncated};
pub(crate) use headers::{Origin, Outbound};
pub(crate) use relay::relay;
pub(crate) use upload::{Upload, UploadFault};
pub(crate) use upstreams::{SendError, Upstreams};
