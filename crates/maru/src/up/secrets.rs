//! The secrets a fresh system needs: the root from which each service's own secret is derived, and
//! the owner's first password.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use common::auth::derive_service_secret;
use contracts::services::ServiceName;
use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::variables::Variables;

/// The variable that carries the root secret, to user-service only.
pub(super) const ROOT_VARIABLE: &str = "MARU_SERVICE_ROOT_SECRET";
/// Letters and digits that are not mistaken for each other when read aloud.
const PASSWORD_ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// 20 characters out of 57 carry 116 bits.
const PASSWORD_CHARACTERS: usize = 20;
const ROOT_BYTES: usize = 32;

/// The root of all service secrets.
#[derive(Clone, Debug)]
pub struct RootSecret(SecretString);

impl RootSecret {
    /// Takes the root from the environment, else from `service-root.secret` in the keys folder,
    /// which is created with a random one when there is none.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is empty.
    pub fn obtain(variables: &Variables, keys: &Path) -> Result<Self> {
        let given = variables
            .get(ROOT_VARIABLE)
            .or_else(|| variables.get("USER__AUTH__SERVICE_ROOT_SECRET"));
        if let Some(given) = given {
            return Ok(Self(SecretString::from(given)));
        }
        let path = keys.join("service-root.secret");
        let secret = read_or_create(&path, || {
            let bytes: [u8; ROOT_BYTES] = rand::rng().random();
            hex(&bytes)
        })?;
        Ok(Self(secret))
    }

    /// The root itself, as user-service reads it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The secret of one service, which says nothing of the root or of another's.
    #[must_use]
    pub fn of_service(&self, service: ServiceName) -> SecretString {
        derive_service_secret(&self.0, service.as_str())
    }
}

/// The owner account of a system.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The address the owner signs in with.
    pub email: String,
    /// The password to create the account with; `None` when the account exists already.
    pub password: Option<OwnerPassword>,
    marker: PathBuf,
    pending: PathBuf,
}

/// Where the owner's first password came from.
#[derive(Clone, Debug)]
pub enum OwnerPassword {
    /// From the environment: never shown.
    Given(SecretString),
    /// Made here: shown once.
    Generated(SecretString),
}

impl OwnerPassword {
    /// The password itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        match self {
            Self::Given(password) | Self::Generated(password) => password.expose_secret(),
        }
    }
}

impl Owner {
    /// Reads who the owner is and, on a first start, settles the password. A generated one is kept
    /// in the keys folder until it was shown, so that a start that was cut short does not lose it.
    ///
    /// # Errors
    /// When the keys folder cannot be read or written.
    pub fn obtain(variables: &Variables, keys: &Path) -> Result<Self> {
        let email = variables
            .get("MARU_OWNER_EMAIL")
            .unwrap_or("owner@maru.local");
        let marker = keys.join("owner-created");
        let pending = keys.join("owner-password.pending");
        let password = match variables.get("MARU_OWNER_PASSWORD") {
            Some(given) => Some(OwnerPassword::Given(SecretString::from(given))),
            None if marker.exists() => None,
            None => Some(OwnerPassword::Generated(read_or_create(
                &pending,
                generate_password,
            )?)),
        };
        Ok(Self {
            email: email.to_owned(),
            password,
            marker,
            pending,
        })
    }

    /// Whether an earlier start created the account.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.marker.exists()
    }

    /// Remembers that the account exists and that its password was shown.
    ///
    /// # Errors
    /// When the keys folder cannot be written.
    pub fn remember(&self) -> Result<()> {
        write_private(&self.marker, &self.email)
            .with_context(|| format!("cannot write {}", self.marker.display()))?;
        match fs::remove_file(&self.pending) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.pending.display()))
            }
            _ => Ok(()),
        }
    }
}

fn generate_password() -> String {
    let mut random = rand::rng();
    (0..PASSWORD_CHARACTERS)
        .filter_map(|_| PASSWORD_ALPHABET.get(random.random_range(0..PASSWORD_ALPHABET.len())))
        .map(|&byte| char::from(byte))
        .collect()
}

/// Reads a secret from a file, or writes a fresh one that only this user may read.
fn read_or_create(path: &Path, fresh: impl FnOnce() -> String) -> Result<SecretString> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = fresh();
            write_private(path, &text)
                .with_context(|| format!("cannot write {}", path.display()))?;
            text
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    };
    ensure!(!text.is_empty(), "{} is empty", path.display());
    Ok(SecretString::from(text))
}

/// Writes a file that appears whole or not at all, readable by this user only.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        Variables::from_pairs(pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())))
    }

    #[test]
    fn the_root_secret_is_made_once_and_only_this_user_may_read_it() {
        let keys = tempfile::tempdir().expect("a folder");
        let first = RootSecret::obtain(&variables(&[]), keys.path()).expect("made");
        let second = RootSecret::obtain(&variables(&[]), keys.path()).expect("read");
        assert_eq!(first.expose(), second.expose());
        assert_eq!(first.expose().len(), 2 * ROOT_BYTES);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let file = fs::metadata(keys.path().join("service-root.secret")).expect("exists");
            assert_eq!(file.permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_service_secret_is_the_documented_hmac() {
        let root = RootSecret(SecretString::from("maru-development-only"));
        // printf maru-service:order | openssl dgst -sha256 -hmac maru-development-only
        assert_eq!(
            root.of_service(ServiceName::Order).expose_secret(),
            "566a9cc8883ddda1da18e699b275b17a62d2ba8d4a5d01c09c09ef6ce76021d6"
        );
    }

    #[test]
    fn a_generated_password_stays_the_same_until_it_was_shown_and_is_then_gone() {
        let keys = tempfile::tempdir().expect("a folder");
        let cut_short = Owner::obtain(&variables(&[]), keys.path()).expect("made");
        let owner = Owner::obtain(&variables(&[]), keys.path()).expect("made");
        let password = owner.password.as_ref().expect("a first start");
        assert_eq!(
            Some(password.expose()),
            cut_short.password.as_ref().map(OwnerPassword::expose)
        );
        assert_eq!(password.expose().len(), PASSWORD_CHARACTERS);
        owner.remember().expect("written");
        let later = Owner::obtain(&variables(&[]), keys.path()).expect("read");
        assert!(later.password.is_none() && later.exists());
        let left: Vec<_> = fs::read_dir(keys.path())
            .expect("readable")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert_eq!(left, ["owner-created"]);
    }

    #[test]
    fn a_given_password_is_passed_on_and_never_stored() {
        let keys = tempfile::tempdir().expect("a folder");
        let given = variables(&[
            ("MARU_OWNER_PASSWORD", "correct horse"),
            ("MARU_OWNER_EMAIL", "boss@example.com"),
        ]);
        let owner = Owner::obtain(&given, keys.path()).expect("read");
        assert_eq!(owner.email, "boss@example.com");
        assert!(matches!(owner.password, Some(OwnerPassword::Given(_))));
        assert_eq!(fs::read_dir(keys.path()).expect("readable").count(), 0);
    }
}
