//! The secret of this installation, from which every other key of this service is derived: it
//! encrypts signing keys at rest, computes successors of refresh tokens and blinds addresses.
//!
//! It comes from the settings, or from a file that only the service's user may read and that the
//! first start makes. Whoever loses it loses the sessions and the signing keys, no account.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context as _, ensure};
use ring::{digest, hkdf, hmac};
use secrecy::{ExposeSecret, SecretString};

use super::{hex, random};

const FILE_NAME: &str = "user-service.secret";
const SECRET_BYTES: usize = 32;
const MIN_CHARACTERS: usize = 32;

/// The secret, ready to derive keys from (HKDF with SHA-256, RFC 5869).
pub(crate) struct InstallationSecret(hkdf::Prk);

/// What a derived key is for; keys of different purposes say nothing of each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    SealSigningKeys,
    RefreshSuccessors,
    BlindAddresses,
    SealFactors,
    RecoveryCodes,
    Pins,
    SignTickets,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::SealSigningKeys => b"maru user-service: seal signing keys, 1",
            Self::RefreshSuccessors => b"maru user-service: refresh successors, 1",
            Self::BlindAddresses => b"maru user-service: blind addresses, 1",
            Self::SealFactors => b"maru user-service: seal second factors, 1",
            Self::RecoveryCodes => b"maru user-service: recovery codes, 1",
            Self::Pins => b"maru user-service: pins, 1",
            Self::SignTickets => b"maru user-service: sign tickets of forms, 1",
        }
    }
}

impl InstallationSecret {
    /// The given secret, or when it is empty the one in `keys_folder`, made when missing.
    pub(crate) fn obtain(given: &SecretString, keys_folder: &Path) -> anyhow::Result<Self> {
        if given.expose_secret().is_empty() {
            Ok(Self::new(&read_or_create(keys_folder)?))
        } else {
            Ok(Self::new(given))
        }
    }

    fn new(secret: &SecretString) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"maru user-service");
        Self(salt.extract(secret.expose_secret().as_bytes()))
    }

    /// A 256-bit key for one purpose.
    pub(super) fn derive(&self, purpose: Purpose) -> [u8; digest::SHA256_OUTPUT_LEN] {
        let mut key = [0; digest::SHA256_OUTPUT_LEN];
        self.0
            .expand(&[purpose.label()], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut key))
            .expect("32 bytes are within HKDF's limit");
        key
    }

    /// The key under which addresses and account names are hashed before they are stored.
    pub(crate) fn blinding_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.derive(Purpose::BlindAddresses))
    }

    /// The key that signs what the forms of the sign-in pages bring back.
    pub(crate) fn ticket_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.derive(Purpose::SignTickets))
    }
}

fn read_or_create(folder: &Path) -> anyhow::Result<SecretString> {
    let path = folder.join(FILE_NAME);
    if let Some(secret) = read(&path)? {
        return Ok(secret);
    }
    create(folder, &path).with_context(|| format!("cannot write {}", path.display()))?;
    read(&path)?.with_context(|| format!("{} vanished", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Option<SecretString>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    };
    let secret = text.trim();
    ensure!(
        secret.len() >= MIN_CHARACTERS,
        "{} holds less than {MIN_CHARACTERS} characters",
        path.display()
    );
    warn_if_readable_by_others(path);
    Ok(Some(SecretString::from(secret)))
}

/// Writes the file whole or not at all; of several processes that do it at once, the first wins.
fn create(folder: &Path, path: &Path) -> std::io::Result<()> {
    private_folder(folder)?;
    let unfinished = path.with_extension(hex(&random::<8>()));
    let mut options = fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&unfinished)?;
    file.write_all(hex(&random::<SECRET_BYTES>()).as_bytes())?;
    file.sync_all()?;
    // Linking fails when the name is taken, where renaming would replace another's secret.
    let linked = fs::hard_link(&unfinished, path);
    fs::remove_file(&unfinished)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}

#[cfg(unix)]
fn warn_if_readable_by_others(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let others = fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
    if others {
        tracing::warn!(file.path = %path.display(), "other users can read this secret; chmod it to 600");
    }
}

#[cfg(not(unix))]
fn warn_if_readable_by_others(_path: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn obtain(given: &str, folder: &Path) -> anyhow::Result<InstallationSecret> {
        InstallationSecret::obtain(&SecretString::from(given), folder)
    }

    fn seal_key(secret: &InstallationSecret) -> [u8; 32] {
        secret.derive(Purpose::SealSigningKeys)
    }

    #[test]
    fn the_file_is_made_once_and_for_its_user_alone() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("keys");
        let first = seal_key(&obtain("", &folder).unwrap());
        assert_eq!(first, seal_key(&obtain("", &folder).unwrap()));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&folder.join(FILE_NAME)), 0o600);
            assert_eq!(mode(&folder), 0o700);
        }
    }

    #[test]
    fn starts_at_once_agree_on_one_secret() {
        let data = tempfile::tempdir().unwrap();
        let keys: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| seal_key(&obtain("", data.path()).unwrap())))
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap())
                .collect()
        });
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn a_given_secret_needs_no_file_and_each_purpose_has_its_own_key() {
        let nowhere = Path::new("/nonexistent/keys");
        let secret = obtain("a secret of at least thirty-two characters", nowhere).unwrap();
        assert_ne!(
            secret.derive(Purpose::SealSigningKeys),
            secret.derive(Purpose::RefreshSuccessors)
        );
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(FILE_NAME), "short").unwrap();
        assert!(obtain("", data.path()).is_err());
    }
}
