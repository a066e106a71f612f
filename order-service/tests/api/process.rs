//! The service as a process of its own, to be killed.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use testkit::{ApiClient, wait_for};

/// A running process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts the service and waits until it serves.
    pub(crate) async fn start(environment: &[(String, String)]) -> Self {
        // The port is free now; a process that loses it to another ends, and the next try has a
        // new one.
        for _ in 0..5 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("an address");
            drop(listener);
            if let Some(process) = Self::try_start(environment, address).await {
                return process;
            }
        }
        panic!("the service does not start");
    }

    async fn try_start(environment: &[(String, String)], address: SocketAddr) -> Option<Self> {
        let child = Command::new(env!("CARGO_BIN_EXE_order-service"))
            .env_clear()
            .envs(environment.iter().cloned())
            .env("ORDER__SERVER__PORT", address.port().to_string())
            .env("MARU_LOG", "warn")
            .stdout(Stdio::inherit())
            .spawn()
            .expect("the program starts");
        let mut process = Self { child, address };
        let url = format!("http://{address}");
        let started = wait_for("a service that serves", || {
            let ended = process.child.try_wait().expect("a child").is_some();
            let request = ApiClient::new(&url).request("GET".parse().unwrap(), "/health");
            async move {
                match request.send().await {
                    Ok(_) => Some(true),
                    Err(_) if ended => Some(false),
                    Err(_) => None,
                }
            }
        })
        .await;
        started.then_some(process)
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
