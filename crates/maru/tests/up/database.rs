//! An empty PostgreSQL database on the server at `TEST_POSTGRES_URL`, gone with this value.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

pub(crate) struct Database {
    server: String,
    name: String,
    pub(crate) url: String,
}

impl Database {
    pub(crate) fn create() -> Self {
        let server = std::env::var("TEST_POSTGRES_URL").expect("the address of a server");
        let name = format!("maru_up_{}", std::process::id());
        run(&server, &format!("CREATE DATABASE {name}"));
        let base = server.split('?').next().unwrap_or(&server);
        let (host, _) = base.rsplit_once('/').expect("a database in the address");
        Self {
            url: format!("{host}/{name}"),
            server,
            name,
        }
    }

    /// How many schemas named after services there are.
    pub(crate) fn schemas(&self) -> i64 {
        let names: Vec<String> = contracts::services::ServiceName::all()
            .map(|service| service.as_str().to_owned())
            .collect();
        block_on(async {
            let mut connection = PgConnection::connect(&self.url).await.expect("connects");
            sqlx::query_scalar("SELECT COUNT(*) FROM pg_namespace WHERE nspname = ANY($1)")
                .bind(names)
                .fetch_one(&mut connection)
                .await
                .expect("counted")
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        run(
            &self.server,
            &format!("DROP DATABASE {} WITH (FORCE)", self.name),
        );
    }
}

fn run(server: &str, statement: &str) {
    block_on(async {
        let mut connection = PgConnection::connect(server).await.expect("connects");
        let statement = AssertSqlSafe(statement.to_owned());
        connection.execute(statement).await.expect("done");
    });
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}
