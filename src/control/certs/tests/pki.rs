//! Authorities and certificates of their making, and a directory to keep them in.

use crate::config::checked::CertificateFiles;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_RSA_SHA256, RsaKeySize,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

pub(super) const DAY: u64 = 86_400;
/// When the tests play; rcgen's certificates are valid then.
pub(super) const NOW: u64 = 1_760_000_000;

/// Who issues certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

/// A certificate with its key, as PEM.
pub(super) struct Made {
    pub(super) certificate: String,
    pub(super) key: String,
}

fn authority(name: &str) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.use_authority_key_identifier_extension = true;
    (params, KeyPair::generate().unwrap())
}

impl Authority {
    pub(super) fn root(name: &str) -> Self {
        let (params, key) = authority(name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(super) fn intermediate(&self, name: &str) -> Self {
        let (params, key) = authority(name);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(super) fn issue(&self, names: &[&str]) -> Made {
        self.issue_with(names, KeyPair::generate().unwrap(), |_| {})
    }

    pub(super) fn issue_rsa(&self, names: &[&str]) -> Made {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        self.issue_with(names, key, |_| {})
    }

    pub(super) fn issue_with(
        &self,
        names: &[&str],
        key: KeyPair,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Made {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        adjust(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Made { certificate, key: key.serialize_pem() }
    }
}

/// Ends this many seconds from [`NOW`], after a life of 90 days.
pub(super) fn ending(seconds: i64) -> impl FnOnce(&mut CertificateParams) {
    move |params| {
        let begin = rcgen::date_time_ymd(1970, 1, 1);
        let end = NOW.checked_add_signed(seconds).unwrap();
        params.not_before = begin + Duration::from_secs(end - 90 * DAY);
        params.not_after = begin + Duration::from_secs(end);
    }
}

/// A directory of its own for each test, gone at its end.
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    pub(super) fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("turnbridge-certs-{process}-{number}-{name}"));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Writes a chain and a key.
    pub(super) fn pair(&self, chain: &[&str], key: &str) -> CertificateFiles {
        let number = fs::read_dir(&self.0).unwrap().count();
        CertificateFiles {
            chain: self.write(&format!("chain{number}.pem"), &chain.concat()),
            key: self.write(&format!("key{number}.pem"), key),
        }
    }

    /// What was said, without the path of this directory.
    pub(super) fn strip(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}
