//! The services behind the gateway: those of the settings, and those that are registered while it
//! runs.

mod address;
mod dial;
mod guard;
mod instance;
mod policy;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use common::settings::Neighbours;
use contracts::services::ServiceName;
use metrics::SharedString;

pub(crate) use address::Address;
pub(crate) use guard::{AddressGuard, Loopback};
pub(crate) use instance::{InFlight, Instance};
pub(crate) use policy::{Fallback, Policies, Policy};
pub(crate) use service::{Member, Outcome, SEED_ID, Selection, Service};

/// Instances that have time series of their own; those of the others are added up.
const MAX_INSTANCE_LABELS: usize = 500;

/// Services without an instance that are remembered, for what is known of them.
const MAX_EMPTY: usize = 1_000;

/// A base URL of the settings that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the address of {service}-service must be http://host[:port] without a path")]
pub(crate) struct BadAddress {
    service: String,
}

/// All services. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    policies: Policies,
    /// Those of the settings, in the order of their ports.
    fixed: Vec<Arc<Service>>,
    all: RwLock<BTreeMap<Arc<str>, Arc<Service>>>,
    labels: Mutex<BTreeSet<Arc<str>>>,
}

impl Directory {
    /// The services at the addresses of the settings.
    pub(crate) fn try_new(neighbours: &Neighbours, policies: Policies) -> Result<Self, BadAddress> {
        let behind = ServiceName::all().filter(|name| *name != ServiceName::Gateway);
        let services = behind.map(|name| {
            let service = name.as_str();
            let address = Address::parse(address_of(name, neighbours));
            let address = address.map_err(|_invalid| BadAddress {
                service: service.to_owned(),
            })?;
            let policy = policies.of(service).clone();
            Ok(Arc::new(Service::new(service, policy, Some(address))))
        });
        let fixed = services.collect::<Result<Vec<_>, _>>()?;
        let all = fixed
            .iter()
            .map(|one| (Arc::from(one.name()), Arc::clone(one)));
        Ok(Self(Arc::new(Inner {
            all: RwLock::new(all.collect()),
            policies,
            fixed,
            labels: Mutex::default(),
        })))
    }

    /// A service at an address that the routing file gives.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub(crate) fn outside(&self, name: &str, base_url: &str) -> Result<Arc<Service>, BadAddress> {
        let address = Address::parse(base_url).map_err(|_invalid| BadAddress {
            service: name.to_owned(),
        })?;
        let policy = self.0.policies.of(name).clone();
        Ok(Arc::new(Service::new(name, policy, Some(address))))
    }

    /// How a service of this name is treated.
    pub(crate) fn policy_of(&self, name: &str) -> &Policy {
        self.0.policies.of(name)
    }

    /// A service that is nowhere: it stands for one that has not registered itself.
    pub(crate) fn vacant(&self, name: &str) -> Arc<Service> {
        let policy = self.0.policies.of(name).clone();
        Arc::new(Service::new(name, policy, None))
    }

    /// The service with this name, if there is anywhere to find it.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Service>> {
        let all = self.0.all.read().unwrap_or_else(PoisonError::into_inner);
        all.get(name).filter(|service| !service.is_empty()).cloned()
    }

    /// Every service of the settings, in the order of their ports.
    pub(crate) fn fixed(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.0.fixed.iter()
    }

    /// Every service that was registered and does not stand in the settings, by name.
    pub(crate) fn registered(&self) -> Vec<Arc<Service>> {
        let all = self.0.all.read().unwrap_or_else(PoisonError::into_inner);
        let services = all.values();
        let registered = services.filter(|one| !one.is_from_settings() && !one.is_empty());
        registered.cloned().collect()
    }

    /// Takes over the lists of the registry. A service that stands in none of them has no
    /// registered instance any more.
    pub(crate) fn replace(&self, lists: &BTreeMap<String, Vec<Member>>) {
        let mut all = self.0.all.write().unwrap_or_else(PoisonError::into_inner);
        for (name, members) in lists {
            let service = all.entry(name.as_str().into()).or_insert_with(|| {
                Arc::new(Service::new(name, self.0.policies.of(name).clone(), None))
            });
            service.replace(members, |id| self.label_of(id));
        }
        for (name, service) in all.iter() {
            if !lists.contains_key(&**name) {
                service.replace(&[], |id| self.label_of(id));
            }
        }
        let empty = all.values().filter(|service| service.is_empty()).count();
        if empty > MAX_EMPTY {
            all.retain(|_, service| !service.is_empty());
        }
    }

    /// An instance's name in time series, as long as there are few enough of them.
    fn label_of(&self, id: &str) -> SharedString {
        let mut labels = self.0.labels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = labels.get(id) {
            return SharedString::from_shared(Arc::clone(known));
        }
        if labels.len() >= MAX_INSTANCE_LABELS {
            return SharedString::const_str("other");
        }
        let label: Arc<str> = id.into();
        labels.insert(Arc::clone(&label));
        SharedString::from_shared(label)
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
