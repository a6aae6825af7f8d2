//! Until when the certificates are good.

use std::collections::BTreeMap;

use super::family::Family;
use crate::control::certs::{CertStore, CertificateStatus};

/// More certificates are not told: each is a time series.
const MOST: usize = 64;

pub(super) fn families(store: Option<&CertStore>) -> Vec<Family> {
    vec![expiry(&store.map(CertStore::status).unwrap_or_default())]
}

/// Certificates are known by their first name and where they come from. Of two with both alike the first to expire counts.
fn expiry(certificates: &[CertificateStatus]) -> Family {
    let mut ends = BTreeMap::new();
    for certificate in certificates {
        let name = certificate.names.first().map_or("", String::as_str);
        let end = ends.entry((name, certificate.origin.to_string())).or_insert(certificate.not_after);
        *end = certificate.not_after.min(*end);
    }
    let family = Family::gauge(
        "turnbridge_certificate_expiry_timestamp_seconds",
        "When a certificate expires, in Unix seconds.",
    );
    ends.into_iter().take(MOST).fold(family, |family, ((name, origin), end)| {
        family.with([("name", name.to_owned()), ("origin", origin)], end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::certs::Origin;

    fn certificate(name: &str, origin: Origin, not_after: u64) -> CertificateStatus {
        CertificateStatus {
            names: vec![name.to_owned(), "other".to_owned()],
            not_before: 0,
            not_after,
            origin,
        }
    }

    #[test]
    fn two_of_a_name_are_two_samples_or_the_one_that_ends_first() {
        let file = |path: &str| Origin::File(path.into());
        let told = expiry(&[
            certificate("a", file("ec.pem"), 9),
            certificate("a", file("rsa.pem"), 8),
            certificate("a", file("rsa.pem"), 7),
            certificate("a", Origin::Acme, 6),
        ]);
        let family = Family::gauge(told.name, told.help);
        let expected = [("acme", 6_u64), ("ec.pem", 9), ("rsa.pem", 7)]
            .into_iter()
            .fold(family, |family, (origin, end)| family.with([("name", "a"), ("origin", origin)], end));
        assert_eq!(told, expected);
    }

    #[test]
    fn there_are_never_more_samples_than_can_be_kept() {
        let many: Vec<_> = (0..1000).map(|n| certificate(&format!("n{n}"), Origin::Acme, n)).collect();
        assert_eq!(expiry(&many).samples.len(), MOST);
    }
}
