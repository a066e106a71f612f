//! What must be right before anything starts. Each fault is one line that says what to do.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::net::{TcpListener, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use contracts::services::ServiceName;

use super::layout::Layout;
use super::port_owner;

/// The programs of the services, beside the launcher's own.
///
/// # Errors
/// Names those that are missing.
pub fn find_binaries(services: &[ServiceName]) -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let folder = own
        .parent()
        .context("this program is in no folder")?
        .to_owned();
    let missing: Vec<&str> = services
        .iter()
        .map(|service| service.binary())
        .filter(|binary| !executable(&folder, binary).is_file())
        .collect();
    if missing.is_empty() {
        return Ok(folder);
    }
    bail!(
        "not built: {} (looked in {}); run `cargo build --release --bins`",
        missing.join(", "),
        folder.display()
    )
}

/// The path of a program in a folder, with the ending this system wants.
#[must_use]
pub fn executable(folder: &Path, binary: &str) -> PathBuf {
    folder.join(format!("{binary}{}", std::env::consts::EXE_SUFFIX))
}

/// The folders below the data folder.
#[derive(Clone, Debug)]
pub struct Folders {
    /// Secrets; only this user may enter.
    pub keys: PathBuf,
    /// Process ids and addresses of the running system.
    pub run: PathBuf,
    /// What the services say.
    pub logs: PathBuf,
}

impl Folders {
    /// Their names below a data folder.
    #[must_use]
    pub fn below(data: &Path) -> Self {
        Self {
            keys: data.join("keys"),
            run: data.join("run"),
            logs: data.join("logs"),
        }
    }

    /// Creates what is missing and checks that files can be written.
    ///
    /// # Errors
    /// When the data folder is not writable.
    pub fn prepare(data: &Path) -> Result<Self> {
        let folders = Self::below(data);
        let prepared = [&folders.run, &folders.logs, &folders.keys]
            .into_iter()
            .try_for_each(fs::create_dir_all)
            .and_then(|()| only_for_this_user(&folders.keys))
            .and_then(|()| {
                let probe = data.join(format!(".write-check-{}", std::process::id()));
                fs::write(&probe, b"maru")?;
                fs::remove_file(&probe)
            });
        prepared.map_err(|error| {
            anyhow!(
                "the data folder {} is not writable ({error}); set MARU_DATA to another",
                data.display()
            )
        })?;
        Ok(folders)
    }
}

#[cfg(unix)]
fn only_for_this_user(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn only_for_this_user(_folder: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Holds the data folder for one launcher. The operating system lets go of it when the process
/// ends, however it ends.
#[derive(Debug)]
pub struct DataLock(#[expect(dead_code, reason = "held open, never read")] File);

impl DataLock {
    /// Takes the folder.
    ///
    /// # Errors
    /// When another launcher has it, with its process id.
    pub fn take(run: &Path) -> Result<Self> {
        let path = run.join("maru.lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The id only makes the message better, and some systems refuse to read it.
                let _unreadable = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let holder = if holder.is_empty() { "unknown" } else { holder };
                bail!(
                    "another `maru up` (pid {holder}) already runs on {}",
                    run.parent().unwrap_or(run).display()
                )
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(file))
    }
}

/// Checks that every port the chosen services need is free.
///
/// # Errors
/// Names every port that is not, and who has it.
pub fn check_ports(layout: &Layout, services: &[ServiceName]) -> Result<()> {
    let faults: Vec<String> = ports_of(layout, services)
        .into_iter()
        .filter_map(|(what, port)| fault_of_port(&layout.bind, &what, port))
        .collect();
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{}", faults.join("; "))
}

fn ports_of(layout: &Layout, services: &[ServiceName]) -> Vec<(String, u16)> {
    let mut ports = Vec::new();
    for &service in services {
        let placement = layout.placement(service);
        ports.push((service.binary().to_owned(), placement.http_port));
        if let Some(grpc) = placement.grpc_port {
            ports.push((format!("gRPC of {}", service.binary()), grpc));
        }
        if let (ServiceName::Iot, Some(mqtt)) = (service, layout.mqtt_port) {
            ports.push(("the MQTT broker".to_owned(), mqtt));
        }
    }
    ports
}

fn fault_of_port(bind: &str, what: &str, port: u16) -> Option<String> {
    let error = bind_once(bind, port).err()?;
    Some(match error.kind() {
        ErrorKind::AddrInUse => {
            let owner = port_owner::find(port).unwrap_or_else(|| "another process".to_owned());
            format!("port {port} for {what} is in use by {owner}")
        }
        _ => format!("port {port} for {what} cannot be opened on {bind}: {error}"),
    })
}

fn bind_once(bind: &str, port: u16) -> std::io::Result<()> {
    let addresses: Vec<_> = (bind.trim_matches(['[', ']']), port)
        .to_socket_addrs()?
        .collect();
    TcpListener::bind(addresses.as_slice()).map(drop)
}

/// Finds a block of ports, for `--port-base auto`, in which everything is free now.
///
/// # Errors
/// When none of many tries is.
pub fn free_port_base(bind: &str) -> Result<u16> {
    use rand::RngExt as _;
    let mut random = rand::rng();
    // Below the ports that systems hand out to outgoing connections (32768 on Linux).
    (0..64)
        .map(|_| random.random_range(40..126_u16) * 256)
        .find(|&base| {
            let http = base..=base + 10;
            let grpc = base + 101..=base + 110;
            http.chain(grpc)
                .chain([base + 200])
                .all(|port| bind_once(bind, port).is_ok())
        })
        .context("found no free block of ports")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_folder_names_its_holder_and_is_free_again_afterwards() {
        let folder = tempfile::tempdir().expect("a folder");
        let folders = Folders::prepare(folder.path()).expect("writable");
        let first = DataLock::take(&folders.run).expect("free");
        let refused = DataLock::take(&folders.run).expect_err("taken").to_string();
        assert!(
            refused.contains(&format!("(pid {})", std::process::id())),
            "{refused}"
        );
        drop(first);
        DataLock::take(&folders.run).expect("free again");
    }

    #[test]
    fn a_file_in_the_place_of_the_data_folder_is_said() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let said = Folders::prepare(file.path())
            .expect_err("no folder")
            .to_string();
        assert!(said.contains("is not writable"), "{said}");
    }

    #[test]
    fn a_taken_port_is_named_with_its_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let fault = fault_of_port("127.0.0.1", "order-service", port).expect("a fault");
        assert!(
            fault.starts_with(&format!("port {port} for order-service is in use by ")),
            "{fault}"
        );
        drop(listener);
        assert_eq!(fault_of_port("127.0.0.1", "order-service", port), None);
    }
}
