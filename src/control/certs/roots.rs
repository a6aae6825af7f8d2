//! The authorities this host trusts, as a hint of whom clients trust.

use super::{identity::Identity, pem};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::path::{Path, PathBuf};

/// Names and key identifiers of trusted authorities; empty when this host has no list.
#[derive(Clone, Debug, Default)]
pub(super) struct Roots(Vec<Identity>);

/// Where systems keep them in one file: Debian and Alpine, Fedora, BSD and macOS.
const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

impl Roots {
    /// Those of this host, or of `$SSL_CERT_FILE`, as OpenSSL has it.
    pub(super) fn of_this_host() -> Self {
        let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let bundles = named.into_iter().chain(BUNDLES.map(PathBuf::from));
        bundles.map(|path| Self::read(&path)).find(|roots| !roots.is_empty()).unwrap_or_default()
    }

    /// What cannot be read or understood does not count: it is only a hint.
    pub(super) fn read(path: &Path) -> Self {
        let Ok((bytes, _)) = pem::read(path) else { return Self::default() };
        let certificates = CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok);
        Self(certificates.filter_map(|certificate| Identity::of(&certificate)).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them is this certificate's subject, or has issued it.
    pub(super) fn reach(&self, certificate: &Identity) -> bool {
        let is_it = |root: &Identity| {
            root.subject_der == certificate.subject_der && root.key_id == certificate.key_id
        };
        self.0.iter().any(|root| is_it(root) || certificate.is_issued_by(root))
    }
}
