//! The services behind the gateway and where each one listens.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::settings::Neighbours;
use contracts::services::ServiceName;
use http::HeaderValue;
use http::uri::{Authority, Scheme, Uri};
use metrics::SharedString;

/// A service behind the gateway.
#[derive(Debug)]
pub(crate) struct Service {
    name: Arc<str>,
    authority: Authority,
    host: HeaderValue,
    refuses_work: AtomicBool,
}

/// A base URL that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the address of {service}-service must be http://host[:port] without a path")]
pub(crate) struct BadAddress {
    service: String,
}

impl Service {
    fn try_new(name: &str, base_url: &str) -> Result<Self, BadAddress> {
        let refused = || BadAddress {
            service: name.to_owned(),
        };
        let uri: Uri = base_url.parse().map_err(|_malformed| refused())?;
        let authority = uri.authority().cloned().ok_or_else(refused)?;
        let plain = uri.scheme() == Some(&Scheme::HTTP) && matches!(uri.path(), "" | "/");
        if !plain || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(refused());
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_invalid| refused())?;
        Ok(Self {
            name: name.into(),
            authority,
            host,
            refuses_work: AtomicBool::new(false),
        })
    }

    /// The short name, such as `order`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its name as the label of a time series; the number of services is bounded.
    pub(crate) fn label(&self) -> SharedString {
        SharedString::from_shared(Arc::clone(&self.name))
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

    /// Its address as a client may see it: scheme, host and port.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// Whether it is unhealthy by its own word. A service that does not answer in time is still
    /// tried: slow is not broken, and there is no other instance to turn to.
    pub(crate) fn refuses_work(&self) -> bool {
        self.refuses_work.load(Ordering::Relaxed)
    }

    pub(crate) fn set_refuses_work(&self, refuses: bool) {
        self.refuses_work.store(refuses, Ordering::Relaxed);
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// All services. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Directory(Arc<[Arc<Service>]>);

impl Directory {
    /// The services at the addresses of the settings.
    pub(crate) fn try_new(neighbours: &Neighbours) -> Result<Self, BadAddress> {
        let behind = ServiceName::all().filter(|name| *name != ServiceName::Gateway);
        let services = behind.map(|name| {
            let url = address_of(name, neighbours);
            Service::try_new(name.as_str(), url).map(Arc::new)
        });
        Ok(Self(services.collect::<Result<_, _>>()?))
    }

    /// The service with this short name.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Service>> {
        self.0.iter().find(|service| service.name() == name)
    }

    /// Every service, in the order of their ports.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.0.iter()
    }
}

fn address_of(name: ServiceName, neighbours: &Neighbours) -> &str {
    match name {
        ServiceName::Gateway => "",
        ServiceName::User => &neighbours.user_url,
        ServiceName::Inventory => &neighbours.inventory_url,
        ServiceName::Order => &neighbours.order_url,
        ServiceName::Analytics => &neighbours.analytics_url,
        ServiceName::Iot => &neighbours.iot_url,
        ServiceName::Payment => &neighbours.payment_url,
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
            ("order-service:5001", None),
            ("", None),
        ] {
            let service = Service::try_new("order", url);
            let name = service.as_ref().ok().map(Service::socket_name);
            assert_eq!(name, expected, "{url}");
        }
    }
}
