//! A certificate with its key, as a CA gave it or as it was kept.

use super::schedule::Validity;
use instant_acme::CertificateIdentifier;
use rustls::{crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, Der, PrivateKeyDer, pem::PemObject};
use std::sync::Arc;
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
};

/// Read, its key found to be the certificate's own.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// The names it is good for, in lower case.
    pub(super) names: Vec<String>,
    pub(super) validity: Validity,
    /// What the CA knows it by, if it says whose it is.
    pub(super) id: Option<CertificateIdentifier<'static>>,
}

impl Certificate {
    /// Reads key and chain.
    pub(super) fn read(pem: &str) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| format!("no private key: {error}"))?;
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| format!("not a chain of certificates: {error}"))?;
        let leaf = chain.first().ok_or("no certificate")?;
        let (names, validity, id) = read_leaf(leaf)?;
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map_err(|error| format!("key and certificate: {error}"))?;
        Ok(Self { key: Arc::new(key), names, validity, id })
    }

    /// Which of `names` it is not good for.
    pub(super) fn missing(&self, names: &[String]) -> Vec<String> {
        names.iter().filter(|name| !self.names.contains(name)).cloned().collect()
    }
}

type Leaf = (Vec<String>, Validity, Option<CertificateIdentifier<'static>>);

fn read_leaf(leaf: &CertificateDer<'_>) -> Result<Leaf, String> {
    let (_, leaf) = x509_parser::certificate::X509Certificate::from_der(leaf)
        .map_err(|error| format!("not a certificate: {error}"))?;
    let alternatives = leaf.subject_alternative_name().map_err(|error| format!("its names: {error}"))?;
    let names = alternatives.iter().flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| {
        let GeneralName::DNSName(name) = name else { return None };
        Some(name.to_ascii_lowercase())
    });
    // RFC 9773 §4.1: the key identifier of the issuer, and the serial number as it is encoded.
    let issuer = leaf.iter_extensions().find_map(|extension| {
        let ParsedExtension::AuthorityKeyIdentifier(issuer) = extension.parsed_extension() else {
            return None;
        };
        issuer.key_identifier.as_ref()
    });
    let serial = Der::from_slice(leaf.raw_serial());
    let id = issuer.map(|issuer| CertificateIdentifier::new(Der::from_slice(issuer.0), serial).into_owned());
    // Years before 1970 count as 1970: long over either way.
    let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or_default();
    let validity = leaf.validity();
    Ok((
        names.collect(),
        Validity { not_before: seconds(validity.not_before), not_after: seconds(validity.not_after) },
        id,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn made() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(["turn.example.org".to_owned(), "Other.Example.ORG".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        (key.serialize_pem(), params.self_signed(&key).unwrap().pem())
    }

    #[test]
    fn names_and_times_are_read_from_what_was_kept() {
        let (key, chain) = made();
        let certificate = Certificate::read(&format!("{key}{chain}{chain}")).unwrap();
        assert_eq!(certificate.names, ["turn.example.org", "other.example.org"]);
        assert_eq!(certificate.key.cert.len(), 2);
        assert!(certificate.id.is_none(), "it does not say who has issued it");
        // Made with `date -u -d 2026-01-01 +%s`.
        assert_eq!(certificate.validity, Validity { not_before: 1_767_225_600, not_after: 1_775_001_600 });
        let wanted = ["turn.example.org", "new.example.org"].map(str::to_owned);
        assert_eq!(certificate.missing(&wanted), ["new.example.org"]);
    }

    #[test]
    fn what_is_not_a_pair_is_refused_in_words() {
        let ((key, chain), (_, other)) = (made(), made());
        let torn = &chain[..chain.len() / 2];
        let cases = [
            (chain.clone(), "no private key"),
            (key.clone(), "no certificate"),
            (format!("{key}{torn}"), "not a chain of certificates"),
            (
                format!("{key}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
                "not a certificate",
            ),
            (format!("{key}{other}"), "key and certificate"),
            (String::new(), "no private key"),
        ];
        for (pem, expected) in cases {
            let error = Certificate::read(&pem).unwrap_err();
            assert!(error.starts_with(expected), "{error}, not {expected}");
        }
    }
}
