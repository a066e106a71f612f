//! The one table of who may do what: [`Role::grants`]. Extractors, scopes of tokens, notes in the
//! OpenAPI documents and the test of every route against every role are made from it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A role or permission that this program does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such role or permission")]
pub struct UnknownName;

/// An enum whose variants are listed in `ALL` and have one text each.
macro_rules! named {
    ($(#[$meta:meta])* pub enum $type:ident {
        $($(#[doc = $doc:literal])+ $variant:ident = $text:tt,)+
    }) => {
        $(#[$meta])*
        pub enum $type {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $variant,)+
        }

        impl $type {
            /// Every one there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The text on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                let mut all = Self::ALL.iter().copied();
                all.find(|known| known.as_str() == text).ok_or(UnknownName)
            }
        }
    };
}

named! {
    /// What an account is in the chain. Roles other than `Owner` hold for the stores of the account.
    #[derive(
        Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        utoipa::ToSchema,
    )]
    pub enum Role {
        /// Runs the chain: everything, everywhere.
        Owner = "owner",
        /// Runs several stores.
        AreaManager = "area_manager",
        /// Runs one store.
        StoreManager = "store_manager",
        /// Works in a store.
        Crew = "crew",
        /// A self-order terminal.
        Kiosk = "kiosk",
        /// A registered terminal of a store while nobody is signed in at it.
        Device = "device",
        /// A program of a third party.
        Plugin = "plugin",
        /// A program with credentials of its own, which an owner registered for some scopes and
        /// stores; no account has it. Services of this installation have no role.
        Service = "service",
    }
}

/// Declares the permissions and, for each, the type that stands for it in handler signatures.
macro_rules! permissions {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:tt,)+) => {
        named! {
            /// One thing that an account may be allowed to do. Its text names it as a scope.
            #[derive(
                Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
                utoipa::ToSchema,
            )]
            pub enum Permission {
                $($(#[doc = $doc])+ $name = $text,)+
            }
        }

        /// One type per permission, for handler signatures: `Permit<permits::OrdersRead>`.
        pub mod permits {
            use super::super::extractors::PermissionMarker;
            use super::Permission;

            $(
                #[doc = concat!("Stands for [`Permission::", stringify!($name), "`].")]
                #[derive(Debug)]
                pub struct $name;

                impl PermissionMarker for $name {
                    const PERMISSION: Permission = Permission::$name;
                }
            )+
        }
    };
}

permissions! {
    /// List and read accounts.
    UsersRead = "users:read",
    /// Create and change accounts.
    UsersWrite = "users:write",
    /// Invite people to accounts below one's own.
    UsersInvite = "users:invite",
    /// Register and revoke terminals at which people take turns.
    TerminalsWrite = "terminals:write",
    /// End the sessions of other accounts.
    SessionsRevoke = "sessions:revoke",
    /// Create, list and revoke API keys of one's own.
    ApiKeysWrite = "api_keys:write",
    /// Read and export the audit trail.
    AuditRead = "audit:read",
    /// Replace the keys that sign tokens and the secrets of services.
    KeysRotate = "keys:rotate",
    /// Read stores and menus.
    MenuRead = "menu:read",
    /// Create and change stores and menus.
    MenuWrite = "menu:write",
    /// Read orders.
    OrdersRead = "orders:read",
    /// Place orders.
    OrdersCreate = "orders:create",
    /// Cancel confirmed orders.
    OrdersCancel = "orders:cancel",
    /// Load historical orders.
    OrdersImport = "orders:import",
    /// Read products, recipes, stock, movements.
    InventoryRead = "inventory:read",
    /// Receive, count and write off stock.
    InventoryWrite = "inventory:write",
    /// Change products and recipes.
    CatalogWrite = "catalog:write",
    /// Read payments and the ledger.
    PaymentsRead = "payments:read",
    /// Refund payments.
    PaymentsRefund = "payments:refund",
    /// Read reports.
    AnalyticsRead = "analytics:read",
    /// Read devices and readings.
    DevicesRead = "devices:read",
    /// Register and change devices.
    DevicesWrite = "devices:write",
    /// Register applications that people may let act for them.
    ApplicationsManage = "applications:manage",
    /// See the state of the system, parked events included, and re-drive them.
    SystemOperate = "system:operate",
}

impl Role {
    /// Everything that this role may do: the table.
    #[must_use]
    pub const fn grants(self) -> &'static [Permission] {
        use Permission::{
            AnalyticsRead, ApiKeysWrite, DevicesRead, DevicesWrite, InventoryRead, InventoryWrite,
            MenuRead, OrdersCancel, OrdersCreate, OrdersRead, PaymentsRead, PaymentsRefund,
            SessionsRevoke, TerminalsWrite, UsersInvite, UsersRead,
        };
        match self {
            Self::Owner => Permission::ALL,
            Self::AreaManager | Self::StoreManager => &[
                UsersRead,
                UsersInvite,
                TerminalsWrite,
                SessionsRevoke,
                ApiKeysWrite,
                MenuRead,
                OrdersRead,
                OrdersCreate,
                OrdersCancel,
                InventoryRead,
                InventoryWrite,
                PaymentsRead,
                PaymentsRefund,
                AnalyticsRead,
                DevicesRead,
                DevicesWrite,
            ],
            Self::Crew => &[
                MenuRead,
                OrdersRead,
                OrdersCreate,
                InventoryRead,
                InventoryWrite,
                DevicesRead,
            ],
            Self::Kiosk => &[MenuRead, OrdersCreate],
            Self::Device => &[MenuRead],
            Self::Plugin => &[MenuRead, OrdersRead, InventoryRead],
            // What an application can be given and a store can be named for: neither people's accounts
            // nor what holds for the whole chain. Its token's scopes say how much of that it has.
            Self::Service => &[
                MenuRead,
                OrdersRead,
                OrdersCreate,
                OrdersCancel,
                InventoryRead,
                InventoryWrite,
                PaymentsRead,
                PaymentsRefund,
                AnalyticsRead,
                DevicesRead,
                DevicesWrite,
            ],
        }
    }

    /// Whether this role may do that.
    #[must_use]
    pub fn allows(self, permission: Permission) -> bool {
        self.grants().contains(&permission)
    }

    /// Whether an account may have it.
    #[must_use]
    pub const fn is_for_accounts(self) -> bool {
        !matches!(self, Self::Service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_changes_accounts_and_keys_and_loads_history() {
        for permission in [
            Permission::UsersWrite,
            Permission::AuditRead,
            Permission::KeysRotate,
            Permission::OrdersImport,
            Permission::ApplicationsManage,
            Permission::SystemOperate,
        ] {
            let holders = Role::ALL.iter().filter(|role| role.allows(permission));
            assert_eq!(holders.collect::<Vec<_>>(), [&Role::Owner], "{permission}");
        }
    }

    #[test]
    fn every_name_reads_back_and_is_the_one_on_the_wire() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(*role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        for permission in Permission::ALL {
            assert_eq!(permission.as_str().parse(), Ok(*permission));
            assert_eq!(
                serde_json::to_value(permission).unwrap(),
                permission.as_str()
            );
        }
        assert_eq!("janitor".parse::<Role>(), Err(UnknownName));
    }

    #[test]
    fn nobody_but_an_owner_may_do_everything_and_a_program_only_what_a_scope_names() {
        for role in Role::ALL {
            let all = role.grants().len() == Permission::ALL.len();
            assert_eq!(all, *role == Role::Owner, "{role}");
        }
        let scopes = super::super::scopes::permission_scopes().iter();
        let scopes: Vec<Permission> = scopes.map(|scope| scope.permission).collect();
        for permission in Role::Service.grants() {
            assert!(scopes.contains(permission), "{permission}");
            // Whoever runs one store may do it there, so that no program reaches further.
            assert!(Role::StoreManager.allows(*permission), "{permission}");
        }
    }
}
