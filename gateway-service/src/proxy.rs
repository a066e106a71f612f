//! Passing a request to a service and its answer back: connections and their pool, the bodies in
//! both directions, and which headers end here.

mod attempts;
mod connection;
mod download;
mod headers;
mod pace;
mod pool;
mod relay;
mod shadow;
mod switch;
mod tunnel;
mod upload;
mod upstreams;
mod via;

pub(crate) use attempts::{Attempts, NoAnswer};
pub(crate) use download::{Download, Truncated};
pub(crate) use headers::{NotForwardable, Origin, Outbound, reaches_services};
pub(crate) use pace::Pace;
pub(crate) use relay::{BadAnswer, relay, relay_switch};
pub(crate) use shadow::{MIRROR_HEADER, Shadow};
pub(crate) use switch::{Switch, Switched};
pub(crate) use tunnel::Tunnel;
pub(crate) use upload::{RequestBody, Upload, UploadFault};
pub(crate) use upstreams::{SendError, Upstreams};
pub(crate) use via::Via;
