//! Use cases, one per file. Each owns its transaction.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use ::store::{Batcher, Db};
use common::auth::Principal;
use common::clock::Clock;
use common::ids::{OrderId, StoreId};
use messaging::Outbox;

use crate::app::place_order::PlaceOrders;
use crate::domain::order::Order;
use crate::domain::site::Site;
use crate::error::UseCaseError;
use crate::sagas::driver::Driver;
use crate::settings::OrdersSettings;
use crate::store::{orders, sites};

pub(crate) mod cancel_order;
pub(crate) mod close_cancellation;
pub(crate) mod create_site;
pub(crate) mod import_orders;
pub(crate) mod operate_sagas;
pub(crate) mod place_order;
pub(crate) mod timeline;

/// What use cases work with. Clones share everything.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) outbox: Outbox,
    pub(crate) driver: Driver,
    pub(crate) placing: Batcher<PlaceOrders>,
    pub(crate) orders: OrdersSettings,
    pub(crate) sites: SiteCache,
}

/// Stores that were read before. A store never changes, so what is here stays true.
#[derive(Clone, Default)]
pub(crate) struct SiteCache(Arc<RwLock<HashMap<StoreId, Arc<Site>>>>);

impl SiteCache {
    fn get(&self, id: StoreId) -> Option<Arc<Site>> {
        let sites = self.0.read().unwrap_or_else(PoisonError::into_inner);
        sites.get(&id).map(Arc::clone)
    }

    fn keep(&self, site: Site) -> Arc<Site> {
        let site = Arc::new(site);
        let mut sites = self.0.write().unwrap_or_else(PoisonError::into_inner);
        sites.insert(site.id, Arc::clone(&site));
        site
    }
}

impl AppState {
    /// The store, if it exists.
    pub(crate) async fn site(&self, id: StoreId) -> Result<Arc<Site>, UseCaseError> {
        if let Some(site) = self.sites.get(id) {
            return Ok(site);
        }
        let mut tx = self.db.glance().await?;
        let site = sites::find_site(&mut tx, id).await?;
        let site = site.ok_or(UseCaseError::UnknownStore(id))?;
        Ok(self.sites.keep(site))
    }

    /// An order of one of the caller's stores; whether there are others is a secret.
    pub(crate) async fn order_of(
        &self,
        caller: &Principal,
        id: OrderId,
    ) -> Result<Order, UseCaseError> {
        let mut tx = self.db.glance().await?;
        let order = orders::find_order(&mut tx, id).await?;
        visible(caller, order).ok_or(UseCaseError::UnknownOrder(id))
    }
}

fn visible(caller: &Principal, order: Option<Order>) -> Option<Order> {
    order.filter(|order| caller.stores.contains(order.store_id))
}
