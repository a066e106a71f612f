//! Where each service's database is: one `DATABASE_URL` for the launcher becomes one per service.

use anyhow::{Context as _, Result, bail};
use contracts::services::ServiceName;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// The text in a `DATABASE_URL` that stands for the service's short name, such as `order`.
const PLACEHOLDER: &str = "{service}";

/// How the launcher's `DATABASE_URL` is divided among the services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabasePlan {
    /// No URL: every service keeps its own SQLite file in the data folder.
    Embedded,
    /// A URL with the placeholder `{service}`.
    PerService(String),
    /// One PostgreSQL database, a schema of the service's short name for each service.
    Schemas(String),
}

/// Whether the schemas of [`DatabasePlan::Schemas`] may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaPolicy {
    /// A plain PostgreSQL URL is divided into schemas.
    Divide,
    /// A plain PostgreSQL URL is refused.
    Refuse,
}

impl DatabasePlan {
    /// Reads the launcher's `DATABASE_URL`.
    ///
    /// # Errors
    /// When one URL would make all services share the same tables.
    pub fn parse(url: Option<&str>, schemas: SchemaPolicy) -> Result<Self> {
        let Some(url) = url else {
            return Ok(Self::Embedded);
        };
        if url.contains(PLACEHOLDER) {
            return Ok(Self::PerService(url.to_owned()));
        }
        let postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
        match schemas {
            SchemaPolicy::Divide if postgres => Ok(Self::Schemas(url.to_owned())),
            _ if postgres => bail!(
                "DATABASE_URL names one database for all services: put {PLACEHOLDER} into it \
                 or give --create-schemas"
            ),
            _ => bail!(
                "DATABASE_URL names one database for all services: put {PLACEHOLDER} into it \
                 or unset it to use SQLite files in the data folder"
            ),
        }
    }

    /// The `DATABASE_URL` of one service; `None` leaves the service its default.
    #[must_use]
    pub fn url_of(&self, service: ServiceName) -> Option<String> {
        match self {
            Self::Embedded => None,
            Self::PerService(template) => Some(template.replace(PLACEHOLDER, service.as_str())),
            Self::Schemas(url) => {
                let separator = if url.contains('?') { '&' } else { '?' };
                Some(format!(
                    "{url}{separator}options=-c%20search_path%3D{service}"
                ))
            }
        }
    }

    /// Creates the schemas that are missing.
    ///
    /// # Errors
    /// When the server cannot be reached or does not allow it.
    pub async fn create_schemas(&self, services: &[ServiceName]) -> Result<()> {
        let Self::Schemas(url) = self else {
            return Ok(());
        };
        let place = describe_url(url);
        let mut connection = PgConnection::connect(url)
            .await
            .with_context(|| format!("cannot connect to {place}"))?;
        for service in services {
            // The name comes from a closed list, and some (`order`, `user`) are reserved words.
            let statement = format!("CREATE SCHEMA IF NOT EXISTS \"{service}\"");
            connection
                .execute(AssertSqlSafe(statement))
                .await
                .with_context(|| format!("cannot create the schema {service} in {place}"))?;
        }
        connection.close().await.context("closing the connection")
    }
}

/// A database URL without its credentials and parameters: `postgres host:5432/maru`,
/// `sqlite data/order.db`.
#[must_use]
pub fn describe_url(url: &str) -> String {
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    let rest = rest.trim_start_matches("//");
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    // A password may hold an `@` of its own, so the credentials end at the last one.
    let place = match scheme {
        "sqlite" => rest,
        _ => rest.rsplit('@').next().unwrap_or(rest),
    };
    format!("{scheme} {place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: Option<&str>, schemas: SchemaPolicy, expected: Option<Option<&str>>) {
        let urls = DatabasePlan::parse(url, schemas)
            .ok()
            .map(|plan| plan.url_of(ServiceName::Order));
        assert_eq!(urls, expected.map(|url| url.map(str::to_owned)), "{url:?}");
    }

    #[test]
    fn one_url_becomes_one_per_service_or_is_refused() {
        use SchemaPolicy::{Divide, Refuse};
        check(None, Refuse, Some(None));
        check(
            Some("postgres://maru_{service}:x@db/maru"),
            Refuse,
            Some(Some("postgres://maru_order:x@db/maru")),
        );
        check(Some("postgres://root@db/maru"), Refuse, None);
        check(
            Some("postgres://root@db/maru"),
            Divide,
            Some(Some(
                "postgres://root@db/maru?options=-c%20search_path%3Dorder",
            )),
        );
        check(
            Some("postgres://root@db/maru?sslmode=disable"),
            Divide,
            Some(Some(
                "postgres://root@db/maru?sslmode=disable&options=-c%20search_path%3Dorder",
            )),
        );
        check(Some("sqlite:///tmp/all.db"), Divide, None);
        check(
            Some("sqlite:///tmp/{service}.db"),
            Refuse,
            Some(Some("sqlite:///tmp/order.db")),
        );
    }

    #[test]
    fn a_described_url_shows_no_credentials() {
        let check = |url: &str, expected: &str| assert_eq!(describe_url(url), expected);
        check(
            "postgres://maru:p@ss/w@db:5432/maru?options=x",
            "postgres db:5432/maru",
        );
        check("postgres://db/maru", "postgres db/maru");
        check("sqlite:///data/order.db?mode=rwc", "sqlite /data/order.db");
    }
}
