//! What each service is told and what is kept from it: its own secret and database, everybody's
//! addresses, and nobody else's secrets.

use contracts::services::ServiceName;
use secrecy::ExposeSecret as _;

use super::database::DatabasePlan;
use super::layout::{Layout, address_variables};
use super::secrets::{Owner, ROOT_VARIABLE, RootSecret};
use super::variables::Variables;

/// What the launcher knows and divides among the services.
pub(super) struct Environment<'a> {
    /// What the launcher was started with, all of which a service would inherit.
    pub inherited: &'a Variables,
    /// The services that are started here.
    pub started: &'a [ServiceName],
    /// Where everything is.
    pub layout: &'a Layout,
    /// The root of the service secrets.
    pub root: &'a RootSecret,
    /// The owner account.
    pub owner: &'a Owner,
}

/// What only user-service may see.
const USER_SERVICE_ONLY: [&str; 3] = [ROOT_VARIABLE, "MARU_OWNER_EMAIL", "MARU_OWNER_PASSWORD"];

/// Where browsers reach the system.
const PUBLIC_URL_VARIABLE: &str = "MARU_PUBLIC_URL";

impl Environment<'_> {
    /// The variables set for a service on top of the launcher's own.
    pub(super) fn variables_of(&self, service: ServiceName) -> Vec<(String, String)> {
        let mut variables = address_variables(self.layout, service);
        variables.retain(|(name, _)| !self.is_given_elsewhere(name));
        let mut set = |name: &str, value: &str| variables.push((name.to_owned(), value.to_owned()));
        let secret = self.root.of_service(service);
        set("MARU_SERVICE_SECRET", secret.expose_secret());
        if let Some(url) = self.layout.databases.url_of(service) {
            set("DATABASE_URL", &url);
        }
        if service == ServiceName::User {
            set(ROOT_VARIABLE, self.root.expose());
            if self.inherited.get(PUBLIC_URL_VARIABLE).is_none() {
                set(PUBLIC_URL_VARIABLE, &self.public_url());
            }
            if let Some(password) = &self.owner.password {
                set("MARU_OWNER_EMAIL", &self.owner.email);
                set("MARU_OWNER_PASSWORD", password.expose());
            }
        }
        variables
    }

    /// Where a browser on this machine reaches the gateway. Passkeys need a name, not a number.
    fn public_url(&self) -> String {
        let port = self.layout.placement(ServiceName::Gateway).http_port;
        format!("http://localhost:{port}")
    }

    /// Whether this is the address of a service that runs elsewhere, and the environment knows it.
    fn is_given_elsewhere(&self, name: &str) -> bool {
        self.inherited.get(name).is_some()
            && ServiceName::all()
                .filter(|service| !self.started.contains(service))
                .map(|service| service.as_str().to_uppercase())
                .any(|prefix| {
                    name.strip_prefix(&prefix)
                        .is_some_and(|rest| matches!(rest, "_URL" | "_GRPC_URL"))
                })
    }

    /// The launcher's variables that a service must not inherit: the owner's password, the root
    /// secret, and other services' settings, which may hold secrets as well.
    pub(super) fn hidden_from(&self, service: ServiceName) -> Vec<String> {
        let owner_exists = self.owner.password.is_none();
        let mut hidden: Vec<String> = USER_SERVICE_ONLY
            .into_iter()
            .filter(|name| {
                service != ServiceName::User || (owner_exists && name.starts_with("MARU_OWNER"))
            })
            .map(str::to_owned)
            .collect();
        for other in ServiceName::all().filter(|&other| other != service) {
            let prefix = format!("{}__", other.as_str().to_uppercase());
            let names = self.inherited.names_with_prefix(&prefix);
            hidden.extend(names.map(str::to_owned));
        }
        if self.layout.databases == DatabasePlan::Embedded {
            // Set but empty, it means the embedded profile here, and nothing to a service.
            hidden.push("DATABASE_URL".to_owned());
        }
        hidden
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::database::SchemaPolicy;
    use crate::up::layout::LayoutOptions;
    use std::collections::BTreeMap;

    #[test]
    fn each_service_gets_its_own_secret_and_only_user_service_the_root() {
        let keys = tempfile::tempdir().expect("a folder");
        let none = Variables::default();
        let inherited = [
            ("ORDER_URL", "http://old"),
            ("IOT_URL", "http://elsewhere"),
            ("USER__KEYS__ENCRYPTION_SECRET", "x"),
            ("ORDER__SAGA__LEASE_MS", "1"),
        ];
        let inherited = Variables::from_pairs(inherited.map(|(k, v)| (k.to_owned(), v.to_owned())));
        let options = LayoutOptions {
            port_base: Some(21_000),
            schemas: SchemaPolicy::Refuse,
        };
        let layout = Layout::resolve(&none, &options).expect("resolves");
        let root = RootSecret::obtain(&none, keys.path()).expect("made");
        let owner = Owner::obtain(&none, keys.path()).expect("made");
        let environment = Environment {
            inherited: &inherited,
            started: &[ServiceName::User, ServiceName::Order],
            layout: &layout,
            root: &root,
            owner: &owner,
        };
        let of = |service| -> BTreeMap<String, String> {
            environment.variables_of(service).into_iter().collect()
        };
        let (user, order) = (of(ServiceName::User), of(ServiceName::Order));
        assert_ne!(user["MARU_SERVICE_SECRET"], order["MARU_SERVICE_SECRET"]);
        assert_eq!(user[ROOT_VARIABLE], root.expose());
        assert!(user.contains_key("MARU_OWNER_PASSWORD"));
        assert_eq!(user["MARU_PUBLIC_URL"], "http://localhost:21000");
        assert!(!order.contains_key("MARU_PUBLIC_URL"));
        assert!(!order.contains_key(ROOT_VARIABLE) && !order.contains_key("MARU_OWNER_PASSWORD"));
        assert_eq!(
            environment.hidden_from(ServiceName::Order),
            [
                ROOT_VARIABLE,
                "MARU_OWNER_EMAIL",
                "MARU_OWNER_PASSWORD",
                "USER__KEYS__ENCRYPTION_SECRET",
                "DATABASE_URL"
            ]
        );
        assert_eq!(
            environment.hidden_from(ServiceName::User),
            ["ORDER__SAGA__LEASE_MS", "DATABASE_URL"]
        );
        assert_eq!(order["PAYMENT_GRPC_URL"], "http://127.0.0.1:21109");
        assert_eq!(order["ORDER__SERVER__PORT"], "21004");
        assert_eq!(user["ORDER_URL"], "http://127.0.0.1:21004");
        // It runs elsewhere, and every service inherits where.
        assert!(!order.contains_key("IOT_URL"));
        assert!(!order.contains_key("DATABASE_URL") && !order.contains_key("USER__SERVER__PORT"));
    }
}
