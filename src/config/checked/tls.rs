//! `[tls]`: the files of certificates. What is in them is looked at when they are loaded (`control::certs`).

use super::{
    Findings,
    acme::{self, Acme},
};
use crate::config::{choice::TlsVersion, raw};
use std::path::PathBuf;

/// `[tls]`, checked.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The oldest version that clients may use.
    pub min_version: TlsVersion,
    /// Names of this server, as clients have them; the first is told to clients.
    pub names: Vec<String>,
    /// In the order they are written; the first is for clients that name no server.
    pub certificates: Vec<CertificateFiles>,
    /// Where more of them come from by themselves.
    pub acme: Option<Acme>,
}

/// A `[[tls.certificate]]`, with paths as they can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, then its intermediates.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

pub(super) fn check(raw: &raw::Tls, listeners: &[raw::Listener], findings: &mut Findings<'_>) -> Tls {
    let files = raw.certificate.iter().enumerate().map(|(at, certificate)| {
        let mut path = |key: &str, path: &PathBuf| {
            findings
                .beside_the_file(path, &format!("tls.certificate[{at}].{key}"))
                .unwrap_or_else(|| path.clone())
        };
        CertificateFiles { chain: path("chain", &certificate.chain), key: path("key", &certificate.key) }
    });
    let certificates: Vec<_> = files.collect();
    for (at, certificate) in raw.certificate.iter().enumerate() {
        for (key, path) in [("chain", &certificate.chain), ("key", &certificate.key)] {
            let message = match path.as_os_str() {
                path if path.is_empty() => "\"\" is not a file: expected a path",
                // The message must not show it: it may be the private key.
                path if path.as_encoded_bytes().contains(&b'\n') => {
                    "expected the path of a PEM file, not its text"
                }
                _ => continue,
            };
            findings.problem(&format!("tls.certificate[{at}].{key}"), message);
        }
        if let Some(earlier) = certificates[..at].iter().position(|earlier| *earlier == certificates[at]) {
            let message = format!("these are the files of certificate {}", earlier + 1);
            findings.problem(&format!("tls.certificate[{at}]"), message);
        }
    }
    check_use(raw, listeners, findings);
    let names = raw.names.iter().map(|name| name.0.clone()).collect();
    let acme = acme::check(&raw.acme, listeners, findings);
    Tls { min_version: raw.min_version, names, certificates, acme }
}

/// A certificate needs a listener, and a listener a certificate.
fn check_use(raw: &raw::Tls, listeners: &[raw::Listener], findings: &mut Findings<'_>) {
    let has_certificates = !raw.certificate.is_empty();
    let first = listeners.iter().position(|listener| listener.transport.is_tls());
    match (first, has_certificates || !raw.acme.names.is_empty()) {
        (Some(at), false) => findings.problem(
            &format!("listener[{at}].transport"),
            format!(
                "a \"{}\" listener needs a certificate: name its files as `chain` and `key` in a section [[tls.certificate]], or order one with [tls.acme]",
                listeners[at].transport
            ),
        ),
        (None, true) if has_certificates => findings.warning(
            "tls.certificate is not used: no listener has transport = \"tls\" or \"auto\"",
        ),
        (Some(_), true) | (None, _) => {}
    }
}
