//! A certificate authority of the test's own, and clients that trust nobody else.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use crate::home::Home;

/// The name in every certificate.
pub(crate) const NAME: &str = "turn.example.org";

/// Versions of TLS that a client may offer.
pub(crate) type Versions = &'static [&'static SupportedProtocolVersion];
pub(crate) static BOTH: Versions = &[&TLS12, &TLS13];
pub(crate) static ONLY_1_2: Versions = &[&TLS12];
pub(crate) static ONLY_1_3: Versions = &[&TLS13];

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    root_pem: String,
}

/// A certificate and its key, as PEM.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("an authority of the tests")
    }

    /// One that nobody takes for another.
    pub(crate) fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let root = params.self_signed(&key).unwrap();
        let (root, root_pem) = (root.der().clone(), root.pem());
        Self { issuer: Issuer::new(params, key), root, root_pem }
    }

    /// Makes a certificate; the files with it and with its key.
    pub(crate) fn certify(&self, home: &Home) -> (PathBuf, PathBuf) {
        let made = self.issue(KeyPair::generate().unwrap(), &[NAME], |_| {});
        (home.file("chain.pem", &made.chain), home.file("key.pem", &made.key))
    }

    /// Makes a certificate for a key.
    pub(crate) fn issue(
        &self,
        key: KeyPair,
        names: &[&str],
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        adjust(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// The root as PEM, for programs that are told whom to trust.
    pub(crate) fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// A client that offers these versions of TLS, and these protocols.
    pub(crate) fn client(&self, versions: Versions, alpn: &[&str]) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let mut config = ClientConfig::builder_with_protocol_versions(versions)
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        ClientConnection::new(Arc::new(config), ServerName::try_from(NAME).unwrap()).unwrap()
    }
}
