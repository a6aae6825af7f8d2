//! A certificate authority that only the clients of one test trust.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::home::Home;

/// Makes a certificate for these names and addresses, its key, and the authority's own certificate, which clients
/// have to trust: `chain.pem`, `key.pem` and `authority.pem` in the test's home. Returns the last.
pub(crate) fn certify(home: &Home, names: &[&str]) -> PathBuf {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "the authority of a test");
    let root = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);

    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut certificate = CertificateParams::new(names).unwrap();
    certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // OpenSSL's strict checks, which Python asks for, want to know whose signature it is.
    certificate.use_authority_key_identifier_extension = true;
    let certificate = certificate.signed_by(&key, &issuer).unwrap();
    home.file("chain.pem", &certificate.pem());
    home.file("key.pem", &key.serialize_pem());
    home.file("authority.pem", &root)
}
