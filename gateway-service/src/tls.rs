//! The HTTPS listener: TLS 1.2 and 1.3 with HTTP/2, certificates that are read again when their files
//! change, and clients that prove themselves with certificates of their own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use common::shutdown::Shutdown;
use rustls::client::verify_server_name;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{
    ClientHello, ParsedCertificate, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::settings::TlsSettings;

/// How often the files are looked at.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A listener that cannot be set up, or certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{file} cannot be read as PEM")]
    Pem { file: String, source: pem::Error },
    #[error("{file} has no certificate")]
    Empty { file: String },
    #[error("key and certificate cannot be used")]
    Unusable(#[from] rustls::Error),
    #[error("tls.client_ca_file cannot be used")]
    ClientAuthorities(#[from] VerifierBuilderError),
    #[error("tls.min_version must be 1.2 or 1.3")]
    Version,
}

/// The certificate in force.
pub(crate) struct Certificates {
    certificate_file: PathBuf,
    key_file: PathBuf,
    current: ArcSwap<CertifiedKey>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("certificate_file", &self.certificate_file)
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// What the listener is set up with.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) port: u16,
    pub(crate) config: ServerConfig,
    pub(crate) certificates: Arc<Certificates>,
}

/// The listener of the settings; `None` when there is to be none.
///
/// # Errors
/// When a file or setting cannot be used.
pub(crate) fn listener(settings: &TlsSettings) -> Result<Option<Listener>, TlsError> {
    if settings.certificate_file.as_os_str().is_empty() {
        return Ok(None);
    }
    let certificates = Arc::new(Certificates {
        current: ArcSwap::from_pointee(read(&settings.certificate_file, &settings.key_file)?),
        certificate_file: settings.certificate_file.clone(),
        key_file: settings.key_file.clone(),
    });
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(versions(&settings.min_version)?)?;
    let builder = match settings.client_ca_file.as_os_str().is_empty() {
        true => builder.with_no_client_auth(),
        false => {
            let mut authorities = RootCertStore::empty();
            for certificate in chain(&settings.client_ca_file)? {
                authorities.add(certificate)?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    Ok(Some(Listener {
        port: settings.port,
        config: builder.with_cert_resolver(Arc::clone(&certificates) as _),
        certificates,
    }))
}

/// The versions that are spoken.
const SINCE_1_2: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
const SINCE_1_3: &[&SupportedProtocolVersion] = &[&TLS13];

fn versions(oldest: &str) -> Result<&'static [&'static SupportedProtocolVersion], TlsError> {
    match oldest {
        "1.2" => Ok(SINCE_1_2),
        "1.3" => Ok(SINCE_1_3),
        _ => Err(TlsError::Version),
    }
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fault = |source| TlsError::Pem {
        file: file.display().to_string(),
        source,
    };
    let certificates = CertificateDer::pem_file_iter(file).map_err(fault)?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(fault)?;
    match certificates.is_empty() {
        true => Err(TlsError::Empty {
            file: file.display().to_string(),
        }),
        false => Ok(certificates),
    }
}

fn read(certificate_file: &Path, key_file: &Path) -> Result<CertifiedKey, TlsError> {
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|source| TlsError::Pem {
        file: key_file.display().to_string(),
        source,
    })?;
    let certified = CertifiedKey::new(chain(certificate_file)?, any_supported_type(&key)?);
    certified.keys_match()?;
    Ok(certified)
}

impl Certificates {
    /// Whether the certificate in force is good for a host: a name, or an address, of version 6 in
    /// brackets.
    pub(crate) fn vouch_for(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let certified = self.current.load();
        let (Some(own), Ok(name)) = (certified.cert.first(), ServerName::try_from(host)) else {
            return false;
        };
        let own = ParsedCertificate::try_from(own);
        own.is_ok_and(|own| verify_server_name(&own, &name).is_ok())
    }

    /// Takes over the files when they have changed, until `shutdown`. Files that do not fit together,
    /// as when only one of them is written yet, change nothing.
    pub(crate) async fn keep_up(self: Arc<Self>, shutdown: Shutdown) {
        let mut known = self.stamp();
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                () = shutdown.triggered() => return,
            }
            let stamp = self.stamp();
            if stamp == known {
                continue;
            }
            match read(&self.certificate_file, &self.key_file) {
                Ok(certified) => {
                    self.current.store(Arc::new(certified));
                    tracing::info!("the certificate was taken over");
                }
                Err(error) => {
                    let cause = common::error::ErrorChain(&error);
                    tracing::error!(error = %cause, "the certificate was refused; the one before it holds");
                }
            }
            known = stamp;
        }
    }

    /// What changes when a file is written or replaced.
    fn stamp(&self) -> [Option<(std::time::SystemTime, u64)>; 2] {
        [&self.certificate_file, &self.key_file].map(|file| {
            let metadata = std::fs::metadata(file).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }
}
