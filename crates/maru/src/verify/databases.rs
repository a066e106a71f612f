//! The services' databases, opened beside the running services and only read.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use common::settings::DatabaseSettings;
use contracts::services::ServiceName;
use secrecy::SecretString;
use store::{Db, Tx};

use crate::up::layout::Layout;

/// The services with an outbox and an inbox.
pub(super) const MESSAGING: [ServiceName; 4] = [
    ServiceName::Inventory,
    ServiceName::Order,
    ServiceName::Analytics,
    ServiceName::Payment,
];

/// The databases of the services that keep one.
#[derive(Debug)]
pub(super) struct Databases(BTreeMap<ServiceName, Db>);

impl Databases {
    /// Opens all of them.
    ///
    /// # Errors
    /// When one is missing or does not answer.
    pub(super) async fn open(layout: &Layout) -> Result<Self> {
        let mut databases = BTreeMap::new();
        for service in ServiceName::all() {
            // The gateway keeps nothing that is judged: who runs where changes all the time.
            if service == ServiceName::Gateway {
                continue;
            }
            let url = layout.database_url(service);
            // Opening would create an empty one, and the verdict would be about nothing.
            if let Some(file) = sqlite_file(&url)
                && !Path::new(file).is_file()
            {
                bail!(
                    "{} has no database at {file}; set MARU_DATA",
                    service.binary()
                );
            }
            let settings = DatabaseSettings {
                url: SecretString::from(url),
                max_connections: 2,
                acquire_timeout_ms: 5_000,
            };
            let database = Db::connect(&settings)
                .await
                .with_context(|| format!("cannot open the database of {}", service.binary()))?;
            databases.insert(service, database);
        }
        Ok(Self(databases))
    }

    /// A read-only view of one service's database as it is now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn read(&self, service: ServiceName) -> Result<Tx> {
        let database = self
            .0
            .get(&service)
            .with_context(|| format!("{} keeps no database", service.binary()))?;
        database
            .read()
            .await
            .with_context(|| format!("cannot read the database of {}", service.binary()))
    }

    /// These, already open.
    #[cfg(test)]
    pub(super) fn of(databases: BTreeMap<ServiceName, Db>) -> Self {
        Self(databases)
    }

    /// A transaction that may do damage.
    #[cfg(test)]
    pub(super) async fn write(&self, service: ServiceName) -> Tx {
        let database = self.0.get(&service).expect("a database");
        database.begin().await.expect("begins")
    }

    /// Lets go of them.
    pub(super) async fn close(self) {
        for database in self.0.values() {
            database.close().await;
        }
    }
}

fn sqlite_file(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    rest.split('?').next()
}
