//! TLS-ALPN-01 (RFC 8737): the CA makes a handshake with the name it is to certify, offering the protocol acme-tls/1,
//! and must meet a certificate that only the owner of the account can have made.

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::{crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;

/// The certificate that proves `name`, from the digest of the challenge's key authorization.
pub(super) fn challenge_certificate(name: &str, digest: [u8; 32]) -> Result<Arc<CertifiedKey>, String> {
    let in_words = |error: &dyn std::error::Error| format!("cannot make a challenge certificate: {error}");
    let key = KeyPair::generate().map_err(|error| in_words(&error))?;
    // RFC 8737 §3: the name alone, and the digest in a critical extension.
    let mut params = CertificateParams::new([name.to_owned()]).map_err(|error| in_words(&error))?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let certificate = params.self_signed(&key).map_err(|error| in_words(&error))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(key).map_err(|error| in_words(&error))?;
    // Not `from_der`, which looks whether the two belong together and so at the critical extension that it cannot know.
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::{extensions::GeneralName, prelude::FromDer};

    #[test]
    fn it_has_one_name_and_the_digest_in_a_critical_extension() {
        let key = challenge_certificate("turn.example.org", [7; 32]).unwrap();
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(&key.cert[0]).unwrap();
        let names = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(names[..], [GeneralName::DNSName("turn.example.org")]);
        let identifier =
            parsed.iter_extensions().find(|one| one.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
        assert!(identifier.critical);
        // An OCTET STRING of 32 bytes.
        assert_eq!(identifier.value, [&[4, 32][..], &[7; 32]].concat());
    }
}
