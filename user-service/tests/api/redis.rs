//! Counts of failed logins that replicas share through Redis. On the embedded profile there is no
//! Redis, and nothing of this to test.

use std::net::SocketAddr;
use std::time::Duration;

use testkit::database::{Profile, required_address};
use testkit::wait_until;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::harness::{OWNER, OWNER_PASSWORD, TestApp};

const ADDRESS: &str = "203.0.113.1";

async fn status(app: &TestApp, address: &str, password: &str) -> u16 {
    app.log_in_from(address, OWNER, password).await.status
}

#[tokio::test]
async fn replicas_count_together() {
    if Profile::current() == Profile::Embedded {
        return;
    }
    let app = TestApp::start().await;
    let replica = app.replica().await;
    for _ in 0..3 {
        assert_eq!(status(&app, ADDRESS, "wrong").await, 401);
        assert_eq!(status(&replica, ADDRESS, "wrong").await, 401);
    }
    assert_eq!(status(&app, ADDRESS, OWNER_PASSWORD).await, 429);
    assert_eq!(status(&replica, ADDRESS, OWNER_PASSWORD).await, 429);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&replica, ADDRESS, OWNER_PASSWORD).await, 200);
    assert_eq!(
        status(&app, ADDRESS, "wrong").await,
        401,
        "forgotten by both"
    );
    assert_eq!(status(&app, ADDRESS, OWNER_PASSWORD).await, 200);
}

#[tokio::test]
async fn delays_outlast_an_outage_of_redis_and_a_restart() {
    if Profile::current() == Profile::Embedded {
        return;
    }
    let mut line = Line::open(&required_address("TEST_REDIS_URL")).await;
    let app = TestApp::start_with(&[("REDIS_URL", &line.url)]).await;
    for _ in 0..6 {
        assert_eq!(status(&app, ADDRESS, "wrong").await, 401);
    }
    assert_eq!(status(&app, ADDRESS, OWNER_PASSWORD).await, 429);

    line.cut().await;
    wait_until("health to notice", || has_health(&app, "degraded")).await;
    assert_eq!(status(&app, ADDRESS, OWNER_PASSWORD).await, 429);
    assert_eq!(status(&app, "203.0.113.2", OWNER_PASSWORD).await, 200);

    line.mend().await;
    wait_until("health to recover", || has_health(&app, "healthy")).await;
    assert_eq!(status(&app, ADDRESS, OWNER_PASSWORD).await, 429);
    let app = app.stop().await.start().await;
    assert_eq!(status(&app, ADDRESS, OWNER_PASSWORD).await, 429);
    assert_eq!(status(&app, "203.0.113.2", OWNER_PASSWORD).await, 200);
}

#[tokio::test]
async fn what_redis_does_not_take_is_counted_nevertheless() {
    if Profile::current() == Profile::Embedded {
        return;
    }
    let reader = Reader::admit(&required_address("TEST_REDIS_URL")).await;
    let app = TestApp::start_with(&[("REDIS_URL", &reader.url)]).await;
    for _ in 0..6 {
        assert_eq!(status(&app, ADDRESS, "wrong").await, 401);
        // The look at its health ends the second in which Redis is left alone.
        assert!(has_health(&app, "healthy").await);
    }
    assert_eq!(status(&app, ADDRESS, OWNER_PASSWORD).await, 429);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&app, ADDRESS, OWNER_PASSWORD).await, 200);
    assert_eq!(status(&app, ADDRESS, "wrong").await, 401, "forgotten");
    assert!(has_health(&app, "healthy").await);
    assert_eq!(status(&app, ADDRESS, OWNER_PASSWORD).await, 200);
    reader.dismiss().await;
}

/// A user of Redis that may read and may not write, as of a Redis whose memory is full.
struct Reader {
    url: String,
    name: String,
    admin: redis::aio::MultiplexedConnection,
}

impl Reader {
    async fn admit(url: &str) -> Self {
        let client = redis::Client::open(url).unwrap();
        let mut admin = client.get_multiplexed_async_connection().await.unwrap();
        let name = format!("reader-{}", uuid::Uuid::new_v4().simple());
        let rights = [
            "on",
            ">secret",
            "~*",
            "+@read",
            "+@connection",
            "+@transaction",
        ];
        let mut admitting = redis::cmd("ACL");
        admitting.arg("SETUSER").arg(&name).arg(&rights);
        let () = admitting.query_async(&mut admin).await.unwrap();
        let (_, host) = url.rsplit_once('@').unwrap();
        Self {
            url: format!("redis://{name}:secret@{host}"),
            name,
            admin,
        }
    }

    async fn dismiss(mut self) {
        let mut dismissing = redis::cmd("ACL");
        dismissing.arg("DELUSER").arg(&self.name);
        let () = dismissing.query_async(&mut self.admin).await.unwrap();
    }
}

async fn has_health(app: &TestApp, expected: &str) -> bool {
    app.client.get("/health").await.expect(200)["status"] == expected
}

/// A line to a server that can be cut and mended.
struct Line {
    url: String,
    near: SocketAddr,
    far: String,
    task: JoinHandle<()>,
}

impl Line {
    async fn open(url: &str) -> Self {
        let (before, far) = url.rsplit_once('@').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = listener.local_addr().unwrap();
        Self {
            url: format!("{before}@{near}"),
            near,
            far: far.to_owned(),
            task: tokio::spawn(carry(listener, far.to_owned())),
        }
    }

    /// Breaks every connection; new ones are refused.
    async fn cut(&mut self) {
        self.task.abort();
        let _cancelled = (&mut self.task).await;
    }

    async fn mend(&mut self) {
        let listener = TcpListener::bind(self.near).await.unwrap();
        self.task = tokio::spawn(carry(listener, self.far.clone()));
    }
}

async fn carry(listener: TcpListener, far: String) {
    // Dropped with this task, the set ends every connection.
    let mut connections = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(&far).await.unwrap();
        connections.spawn(async move {
            let _closed = copy_bidirectional(&mut near, &mut far).await;
        });
    }
}
