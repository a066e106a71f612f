//! Ids: one newtype per kind of thing, so that an order's id is never passed for a store's.
//!
//! New ids are UUIDv7 (RFC 9562, section 5.7): they sort by time of creation, which keeps index
//! pages warm. A client may choose an id where an endpoint says so.

/// Defines an id as a newtype over [`uuid::Uuid`] with text, JSON, SQL and OpenAPI forms.
#[macro_export]
macro_rules! define_id {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident;) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            $crate::reexport::serde::Serialize, $crate::reexport::serde::Deserialize,
            $crate::reexport::sqlx::Type,
        )]
        #[serde(crate = "::common::reexport::serde", transparent)]
        #[sqlx(transparent)]
        $visibility struct $name($crate::reexport::uuid::Uuid);

        impl $name {
            /// A new id, UUIDv7 of the clock's present instant.
            #[must_use]
            pub fn new(clock: &$crate::clock::Clock) -> Self {
                Self($crate::ids::uuid_v7(clock))
            }

            /// The id with this value.
            #[must_use]
            pub const fn from_uuid(uuid: $crate::reexport::uuid::Uuid) -> Self {
                Self(uuid)
            }

            /// The bare UUID.
            #[must_use]
            pub const fn as_uuid(&self) -> $crate::reexport::uuid::Uuid {
                self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::reexport::uuid::Error;

            fn from_str(text: &str) -> ::std::result::Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl $crate::reexport::utoipa::PartialSchema for $name {
            fn schema() -> $crate::reexport::utoipa::openapi::RefOr<
                $crate::reexport::utoipa::openapi::schema::Schema,
            > {
                $crate::ids::uuid_schema()
            }
        }

        impl $crate::reexport::utoipa::ToSchema for $name {}
    };
}

/// A UUIDv7 of the clock's present instant (RFC 9562, section 5.7).
#[must_use]
pub fn uuid_v7(clock: &crate::clock::Clock) -> uuid::Uuid {
    let micros = clock.now().as_micros();
    let seconds = u64::try_from(micros.div_euclid(1_000_000)).unwrap_or(0);
    let nanos = u32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
}

/// The OpenAPI schema of every id: a string of format `uuid`.
#[must_use]
pub fn uuid_schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
    utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(
            utoipa::openapi::KnownFormat::Uuid,
        )))
        .into()
}

define_id! {
    /// A place that sells: a restaurant, a shop.
    pub struct StoreId;
}
define_id! {
    /// A person's or a service's account.
    pub struct UserId;
}
define_id! {
    /// A sellable variant on the menu, such as a large Hawaiian pizza.
    pub struct ItemId;
}
define_id! {
    /// A thing kept in stock, such as mozzarella.
    pub struct ProductId;
}
define_id! {
    /// A batch of a product, received together and expiring together.
    pub struct LotId;
}
define_id! {
    /// An order.
    pub struct OrderId;
}
define_id! {
    /// Stock set aside for an order.
    pub struct ReservationId;
}
define_id! {
    /// A payment intent: one attempt to take money for one order.
    pub struct IntentId;
}
define_id! {
    /// A sensor or controller in a store.
    pub struct DeviceId;
}
define_id! {
    /// An event (the `id` of its CloudEvents envelope).
    pub struct EventId;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::time::Timestamp;

    #[test]
    fn ids_sort_by_time_of_creation() {
        let clock = Clock::manual(Timestamp::from_unix_seconds(1_700_000_000));
        let first = OrderId::new(&clock);
        clock.advance(Duration::from_millis(1));
        assert!(first < OrderId::new(&clock));
    }
}
