//! Where an instance of a service listens.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderValue;
use http::uri::{Authority, Scheme, Uri};
use tokio::net::{TcpStream, lookup_host};

use super::dial::{self, LastGood};
use super::guard::AddressGuard;

/// `http://host[:port]`, and who decides whether it may be connected to.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    authority: Authority,
    host: HeaderValue,
    /// None for an address from the settings: the operator's word is enough.
    guard: Option<Arc<AddressGuard>>,
    last_good: Arc<LastGood>,
}

/// A text that is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be http://host[:port] without a path")]
pub(crate) struct NotAnAddress;

impl Address {
    /// Reads a base URL: scheme, host and port, and nothing else.
    pub(crate) fn parse(base_url: &str) -> Result<Self, NotAnAddress> {
        let (address, path) = Self::parse_with_path(base_url)?;
        match path.as_str() {
            "" | "/" => Ok(address),
            _ => Err(NotAnAddress),
        }
    }

    /// Reads a URL and gives its path and query apart from it.
    pub(crate) fn parse_with_path(url: &str) -> Result<(Self, String), NotAnAddress> {
        let uri: Uri = url.parse().map_err(|_malformed| NotAnAddress)?;
        let authority = uri.authority().cloned().ok_or(NotAnAddress)?;
        let host = authority.host();
        let plain = uri.scheme() == Some(&Scheme::HTTP) && !authority.as_str().contains('@');
        if !plain || host.is_empty() || host.len() > 253 || authority.port_u16() == Some(0) {
            return Err(NotAnAddress);
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_invalid| NotAnAddress)?;
        let path = uri
            .path_and_query()
            .map_or("", |path| path.as_str())
            .to_owned();
        let address = Self {
            authority,
            host,
            guard: None,
            last_good: Arc::default(),
        };
        Ok((address, path))
    }

    /// The same address, connected to only where the guard allows it.
    pub(crate) fn guarded_by(mut self, guard: &Arc<AddressGuard>) -> Self {
        self.guard = Some(Arc::clone(guard));
        self
    }

    /// Host and port as text: the key of its connections.
    pub(crate) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// What to connect to. An IPv6 address stands without its brackets.
    pub(crate) fn socket_name(&self) -> (&str, u16) {
        let host = self.authority.host();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (host, self.authority.port_u16().unwrap_or(80))
    }

    /// The value of `Host` in requests to it.
    pub(crate) const fn host_header(&self) -> &HeaderValue {
        &self.host
    }

    /// Scheme, host and port, as a client may see them.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// Opens a connection to the first of its addresses that answers.
    ///
    /// # Errors
    /// When nobody answers there, or the guard does not allow it.
    pub(crate) async fn connect(&self) -> io::Result<TcpStream> {
        let addresses = match &self.guard {
            None => self.lookup().await?,
            Some(guard) => guard.resolve(self).await?,
        };
        dial::connect(&addresses).await
    }

    /// The addresses that the host stands for now, or stood for a moment ago if nobody can tell.
    ///
    /// # Errors
    /// When it cannot be resolved.
    pub(super) async fn lookup(&self) -> io::Result<Vec<SocketAddr>> {
        let (host, port) = self.socket_name();
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let lookup = async { Ok(lookup_host((host, port)).await?.collect()) };
        self.last_good.or(lookup).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_origin_is_an_address() {
        for (url, expected) in [
            ("http://127.0.0.1:5001", Some(("127.0.0.1", 5001))),
            ("http://[::1]:5001/", Some(("::1", 5001))),
            ("http://order-service", Some(("order-service", 80))),
            ("https://order-service", None),
            ("http://user:secret@order-service", None),
            ("http://order-service/base", None),
            ("http://order-service/?a=b", None),
            ("http://order-service:0", None),
            ("order-service:5001", None),
            ("", None),
        ] {
            let address = Address::parse(url);
            let name = address.as_ref().ok().map(Address::socket_name);
            assert_eq!(name, expected, "{url}");
        }
    }
}
