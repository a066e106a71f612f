//! Ids that are the same at every import: UUIDv5 (RFC 9562, section 5.5) of the map's `source` and
//! the export's own key. Importing twice therefore names the same stores, items and products.

use common::ids::{ItemId, ProductId, StoreId};
use uuid::Uuid;

/// Names ids of one source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids(Uuid);

impl Ids {
    /// The ids of the source with this name.
    pub(crate) fn of(source: &str) -> Self {
        let imports = Uuid::new_v5(&Uuid::NAMESPACE_OID, b"maru.import");
        Self(Uuid::new_v5(&imports, source.as_bytes()))
    }

    fn id(self, kind: &str, key: &str) -> Uuid {
        Uuid::new_v5(&self.0, format!("{kind}:{key}").as_bytes())
    }

    pub(crate) fn store(self, key: &str) -> StoreId {
        StoreId::from_uuid(self.id("store", key))
    }

    pub(crate) fn item(self, key: &str) -> ItemId {
        ItemId::from_uuid(self.id("item", key))
    }

    pub(crate) fn product(self, name: &str) -> ProductId {
        ProductId::from_uuid(self.id("product", name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_source_kind_and_key_alone() {
        let ids = Ids::of("pizza-place");
        assert_eq!(
            ids.item("hawaiian_m"),
            Ids::of("pizza-place").item("hawaiian_m")
        );
        assert_ne!(ids.item("hawaiian_m"), Ids::of("other").item("hawaiian_m"));
        assert_ne!(ids.item("1").as_uuid(), ids.store("1").as_uuid());
    }
}
