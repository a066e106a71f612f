//! nginx as a proxy, to compare with.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::process::free_port;

/// One process of nginx; it is killed with this value.
#[derive(Debug)]
pub(super) struct Nginx {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Nginx {
    /// Passes everything to a service over kept connections, without a log.
    pub(super) async fn start(service: SocketAddr) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (path, port) = (folder.path().display(), free_port()?);
        let settings = format!(
            "daemon off; master_process off; pid {path}/pid; error_log /dev/null;
            events {{ worker_connections 4096; }}
            http {{
                access_log off; keepalive_requests 1000000000; client_body_temp_path {path};
                upstream service {{ server {service}; keepalive 128; }}
                server {{
                    listen 127.0.0.1:{port} backlog=4096;
                    location / {{
                        proxy_pass http://service; proxy_http_version 1.1;
                        proxy_set_header Connection \"\";
                        proxy_set_header X-Forwarded-For $remote_addr;
                    }}
                }}
            }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, settings)?;
        let child = Command::new("nginx")
            .arg("-c")
            .arg(&file)
            .arg("-p")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("nginx cannot be started")?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let give_up = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).await.is_err() {
            anyhow::ensure!(Instant::now() < give_up, "nginx does not come up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self {
            child,
            address,
            _folder: folder,
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of its process; 0 when it has ended.
    pub(super) fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }
}
