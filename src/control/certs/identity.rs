//! What a certificate says of itself: whose it is, until when, and by whom.

use rustls::pki_types::CertificateDer;
use std::net::IpAddr;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
    x509::X509Name,
};

/// What is needed of a parsed certificate, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// For people.
    pub(super) subject: String,
    /// For people.
    pub(super) issuer: String,
    pub(super) subject_der: Vec<u8>,
    pub(super) issuer_der: Vec<u8>,
    pub(super) key_id: Option<Vec<u8>>,
    pub(super) issuer_key_id: Option<Vec<u8>>,
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    /// In lower case; may begin with "*.".
    pub(super) dns_names: Vec<String>,
    pub(super) ips: Vec<IpAddr>,
    /// It may sign other certificates.
    pub(super) is_ca: bool,
    /// It says what it is for, and servers are not among it.
    pub(super) is_not_for_servers: bool,
}

impl Identity {
    /// `None` for what is no certificate.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let seconds = |timestamp: i64| u64::try_from(timestamp).unwrap_or(0);
        let mut identity = Self {
            subject: name(parsed.subject()),
            issuer: name(parsed.issuer()),
            subject_der: parsed.subject().as_raw().to_vec(),
            issuer_der: parsed.issuer().as_raw().to_vec(),
            key_id: None,
            issuer_key_id: None,
            not_before: seconds(parsed.validity().not_before.timestamp()),
            not_after: seconds(parsed.validity().not_after.timestamp()),
            dns_names: Vec::new(),
            ips: Vec::new(),
            is_ca: parsed.is_ca(),
            is_not_for_servers: false,
        };
        for extension in parsed.extensions() {
            identity.read(extension.parsed_extension());
        }
        Some(identity)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "there are many extensions, and few say what is wanted"
    )]
    fn read(&mut self, extension: &ParsedExtension<'_>) {
        match extension {
            ParsedExtension::SubjectAlternativeName(names) => {
                for name in &names.general_names {
                    match name {
                        GeneralName::DNSName(name) => self.dns_names.push(name.to_ascii_lowercase()),
                        GeneralName::IPAddress(bytes) => self.ips.extend(ip(bytes)),
                        _ => {}
                    }
                }
            }
            ParsedExtension::SubjectKeyIdentifier(id) => self.key_id = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.issuer_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                self.is_not_for_servers = !usage.server_auth && !usage.any;
            }
            _ => {}
        }
    }

    /// Whether `issuer` has signed it, as far as names and key identifiers tell (RFC 5280 §4.2.1.1).
    pub(super) fn is_issued_by(&self, issuer: &Self) -> bool {
        let same_key = match (&self.issuer_key_id, &issuer.key_id) {
            (Some(named), Some(known)) => named == known,
            (None, _) | (_, None) => true,
        };
        self.issuer_der == issuer.subject_der && same_key
    }

    pub(super) fn is_self_issued(&self) -> bool {
        self.is_issued_by(self)
    }

    /// Whether a client that asks for `name` takes it (RFC 6125 §6.4: a wildcard stands for one label).
    pub(super) fn covers(&self, name: &str) -> bool {
        let behind_first_label = name.split_once('.').map(|(_, rest)| rest);
        let covers = |own: &String| match own.strip_prefix("*.") {
            Some(rest) => behind_first_label == Some(rest),
            None => own == name,
        };
        self.dns_names.iter().any(covers) || name.parse().is_ok_and(|name: IpAddr| self.ips.contains(&name))
    }

    /// All its names, for people.
    pub(super) fn names(&self) -> Vec<String> {
        self.dns_names.iter().cloned().chain(self.ips.iter().map(ToString::to_string)).collect()
    }
}

/// The common name if there is one, which is how people call it.
fn name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|name| name.as_str().ok());
    common.map_or_else(|| name.to_string(), ToOwned::to_owned)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}
