//! A certificate authority of the test's own, and clients that trust nobody else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use crate::home::Home;

/// The name that clients ask for, of a host that is not there.
pub(crate) const NAME: &str = "turn.example.org";

/// Versions of TLS that a client may offer.
pub(crate) type Versions = &'static [&'static SupportedProtocolVersion];
pub(crate) static BOTH: Versions = &[&TLS12, &TLS13];
pub(crate) static ONLY_1_2: Versions = &[&TLS12];
pub(crate) static ONLY_1_3: Versions = &[&TLS13];

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: Certificate,
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
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let root = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), root }
    }

    /// The file with the certificate that other people's clients have to trust.
    pub(crate) fn trusted(&self, home: &Home) -> PathBuf {
        home.file("authority.pem", &self.root.pem())
    }

    /// Makes a certificate for these names and addresses; the files with it and with its key.
    pub(crate) fn certify(&self, home: &Home, names: &[&str]) -> (PathBuf, PathBuf) {
        let made = self.issue(KeyPair::generate().unwrap(), names, |_| {});
        (home.file("chain.pem", &made.chain), home.file("key.pem", &made.key))
    }

    /// Makes a certificate for a key.
    pub(crate) fn issue(
        &self,
        key: KeyPair,
        names: &[&str],
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Python's checks want to know whose signature it is.
        params.use_authority_key_identifier_extension = true;
        // Browsers refuse certificates that are good for very long, which is rcgen's default.
        let (today, day) = (SystemTime::now(), Duration::from_secs(24 * 3600));
        params.not_before = (today - day).into();
        params.not_after = (today + day).into();
        adjust(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client that offers these versions of TLS, and these protocols.
    pub(crate) fn client(&self, versions: Versions, alpn: &[&str]) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_protocol_versions(versions)
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        ClientConnection::new(Arc::new(config), ServerName::try_from(NAME).unwrap()).unwrap()
    }
}
