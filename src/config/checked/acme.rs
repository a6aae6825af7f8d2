//! `[tls.acme]`: what to order, from whom, and how to prove that it is ours.

use super::Findings;
use crate::{
    auth::encoding,
    config::{address::ListenAddress, choice::AcmeChallenge, raw},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::{fmt, path::PathBuf};
use zeroize::Zeroizing;

/// `[tls.acme]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// The names to have a certificate for, in lower case; never empty.
    pub names: Vec<String>,
    /// Where the CA may write to, as URLs.
    pub contact: Vec<String>,
    /// How the CA is shown that the names are ours.
    pub challenge: AcmeChallenge,
    /// Where HTTP-01 is answered.
    pub http_address: ListenAddress,
    /// The URL that all others of the CA are found from.
    pub directory: String,
    /// The root to trust the CA's own server by; `None` means those of this host.
    pub ca_file: Option<PathBuf>,
    /// The customer the account is for, with CAs that want to know.
    pub external_account: Option<ExternalAccount>,
}

/// External account binding (RFC 8555 §7.3.4).
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The name of the key.
    pub kid: String,
    /// The key, as bytes.
    pub hmac_key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// `None` when no names are given, which is how ACME is left out.
pub(super) fn check(
    raw: &raw::Acme,
    listeners: &[raw::Listener],
    findings: &mut Findings<'_>,
) -> Option<Acme> {
    if raw.names.is_empty() {
        if *raw != raw::Acme::default() {
            findings.warning("tls.acme.names is empty, so no certificate is ordered");
        }
        return None;
    }
    if !raw.agree_to_terms {
        let terms = "a CA issues certificates to those who agree to its terms of service only (those of Let's Encrypt are at \
                     https://letsencrypt.org/repository/); if you do, set agree_to_terms = true";
        findings.problem("tls.acme.agree_to_terms", terms);
    }
    check_way_in(raw, listeners, findings);
    Some(Acme {
        names: check_names(&raw.names, findings),
        contact: check_contact(&raw.contact, findings),
        challenge: raw.challenge,
        http_address: raw.http_address,
        directory: check_directory(&raw.directory, findings),
        ca_file: (!raw.ca_file.as_os_str().is_empty()).then(|| check_ca_file(&raw.ca_file, findings)),
        external_account: check_external_account(raw, findings),
    })
}

/// There must be a TLS listener to order for, and the CA comes to port 443 or 80 of the name, whatever the
/// configuration says.
fn check_way_in(raw: &raw::Acme, listeners: &[raw::Listener], findings: &mut Findings<'_>) {
    const TLS_PORT: u16 = 443;
    const HTTP_PORT: u16 = 80;
    let mut tls = listeners.iter().filter(|listener| listener.transport.is_tls()).peekable();
    if tls.peek().is_none() {
        let message = "a certificate is for TLS listeners, and none has transport = \"tls\" or \"auto\"";
        findings.problem("tls.acme.names", message);
        return;
    }
    match raw.challenge {
        AcmeChallenge::TlsAlpn01 if !tls.any(|listener| listener.address.port() == TLS_PORT) => {
            findings.warning(
                "no TLS listener is on port 443, which is where a CA comes to for \"tls-alpn-01\"; that port must be \
                 forwarded to one of them",
            );
        }
        AcmeChallenge::Http01 if raw.http_address.port() == 0 => {
            findings.problem("tls.acme.http_address", "the CA comes to one port, so 0 is none");
        }
        AcmeChallenge::Http01 if listeners.iter().any(|listener| is_taken_by(listener, raw)) => {
            let message = format!("\"{}\" is where a listener is; the CA wants plain HTTP there", raw.http_address);
            findings.problem("tls.acme.http_address", message);
        }
        AcmeChallenge::Http01 if raw.http_address.port() != HTTP_PORT => findings.warning(format!(
            "tls.acme.http_address is not on port 80, which is where a CA comes to for \"http-01\"; that port must be \
             forwarded to {}",
            raw.http_address
        )),
        AcmeChallenge::TlsAlpn01 | AcmeChallenge::Http01 => {}
    }
}

fn is_taken_by(listener: &raw::Listener, acme: &raw::Acme) -> bool {
    let (one, other) = (listener.address, acme.http_address);
    listener.transport.is_stream() && (one.covers(other) || other.covers(one))
}

/// As many as public CAs put into one certificate.
const MAX_NAMES: usize = 100;

fn check_names(raw: &[String], findings: &mut Findings<'_>) -> Vec<String> {
    if raw.len() > MAX_NAMES {
        findings.problem("tls.acme.names", format!("a certificate has at most {MAX_NAMES} names"));
    }
    let mut names: Vec<String> = Vec::with_capacity(raw.len());
    for (at, written) in raw.iter().enumerate() {
        let key = format!("tls.acme.names[{at}]");
        let name = written.to_ascii_lowercase();
        if let Some(wrong) = wrong_with_name(&name) {
            findings.problem(&key, format!("{written:?} {wrong}"));
        } else if names.contains(&name) {
            findings.problem(&key, format!("{written:?} is listed twice"));
        }
        names.push(name);
    }
    names
}

/// What keeps a CA from certifying `name` with the challenges there are.
fn wrong_with_name(name: &str) -> Option<&'static str> {
    // RFC 1035 §2.3.4, and RFC 5890 §2.3.1 for the letters.
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let all_digits = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    if name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>().is_ok() {
        Some("is an address; a certificate is ordered for names only")
    } else if name.starts_with("*.") {
        Some("is a wildcard, which a CA certifies by DNS only; list the names that are used")
    } else if !name.is_ascii() {
        Some("has letters that are no ASCII; write it as browsers send it, with \"xn--\"")
    } else if name.ends_with('.') {
        Some("ends with a dot; leave that out")
    } else if name.len() > 253
        || !name.split('.').all(is_label)
        || name.rsplit('.').next().is_some_and(all_digits)
    {
        Some("is not a host name: expected one like \"turn.example.org\"")
    } else {
        None
    }
}

/// A bare address is a mail address.
fn check_contact(raw: &[String], findings: &mut Findings<'_>) -> Vec<String> {
    let mut contact = Vec::with_capacity(raw.len());
    for (at, written) in raw.iter().enumerate() {
        let address = written.strip_prefix("mailto:").unwrap_or(written);
        let is_plain = address.chars().all(|char| char.is_ascii_graphic() && !",?<>\"".contains(char));
        let parts = address.split_once('@').filter(|(user, host)| !user.is_empty() && !host.is_empty());
        if !is_plain || parts.is_none_or(|(_, host)| host.contains('@')) {
            let message =
                format!("{written:?} is not a mail address: expected one like \"admin@example.org\"");
            findings.problem(&format!("tls.acme.contact[{at}]"), message);
        }
        contact.push(format!("mailto:{address}"));
    }
    contact
}

fn check_directory(raw: &str, findings: &mut Findings<'_>) -> String {
    let rest = raw.strip_prefix("https://").filter(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if rest.is_none_or(|rest| !rest.bytes().all(|byte| byte.is_ascii_graphic())) {
        let message = format!(
            "{raw:?} is not the URL of an ACME directory: expected one like \"https://acme-v02.api.letsencrypt.org/directory\""
        );
        findings.problem("tls.acme.directory", message);
    }
    raw.to_owned()
}

fn check_ca_file(raw: &std::path::Path, findings: &mut Findings<'_>) -> PathBuf {
    const KEY: &str = "tls.acme.ca_file";
    let path = findings.beside_the_file(raw, KEY);
    let Some(path) = path else { return raw.to_owned() };
    let shown = path.display();
    match std::fs::read(&path) {
        Err(error) => findings.problem(KEY, format!("{shown} cannot be read: {error}")),
        Ok(pem) => match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
            Err(error) => findings.problem(KEY, format!("{shown} is not PEM: {error}")),
            Ok(certificates) if certificates.len() == 1 => {}
            Ok(certificates) => findings.problem(
                KEY,
                format!(
                    "{shown} has {} certificates; it must have the root of the CA's own server, alone",
                    certificates.len()
                ),
            ),
        },
    }
    path
}

fn check_external_account(raw: &raw::Acme, findings: &mut Findings<'_>) -> Option<ExternalAccount> {
    let key = raw.eab_hmac_key.0.expose();
    match (raw.eab_kid.is_empty(), key.is_empty()) {
        (true, true) => None,
        (false, true) => {
            findings.problem("tls.acme.eab_kid", "is the name of a key, which must be in eab_hmac_key");
            None
        }
        (true, false) => {
            findings.problem("tls.acme.eab_hmac_key", "is a key, whose name must be in eab_kid");
            None
        }
        (false, false) => {
            let decoded = encoding::base64url_decode(key).filter(|key| !key.is_empty());
            if decoded.is_none() {
                findings.problem("tls.acme.eab_hmac_key", "is not base64url, as CAs give such keys");
            }
            Some(ExternalAccount { kid: raw.eab_kid.clone(), hmac_key: decoded? })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_ca_would_certify_are_refused_with_the_reason() {
        let long = "a".repeat(64);
        let cases = [
            ("192.0.2.1", "is an address"),
            ("[2001:db8::1]", "is an address"),
            ("2001:db8::1", "is an address"),
            ("*.example.org", "is a wildcard"),
            ("bücher.example", "has letters that are no ASCII"),
            ("turn.example.org.", "ends with a dot"),
            ("", "is not a host name"),
            ("a..b", "is not a host name"),
            ("-a.example", "is not a host name"),
            ("a_b.example", "is not a host name"),
            ("turn.example.org:443", "is not a host name"),
            ("https://turn.example.org", "is not a host name"),
            ("1.2.3", "is not a host name"),
            (&long, "is not a host name"),
        ];
        for (name, expected) in cases {
            let wrong = wrong_with_name(name).unwrap_or_else(|| panic!("{name} was accepted"));
            assert!(wrong.starts_with(expected), "{name}: {wrong}");
        }
        for name in ["turn.example.org", "localhost", "xn--bcher-kva.example", "1.example", "a-b.c1"] {
            assert_eq!(wrong_with_name(name), None, "{name}");
        }
    }

    #[test]
    fn the_key_of_an_external_account_is_not_shown() {
        let account = ExternalAccount { kid: "kid-1".to_owned(), hmac_key: Zeroizing::new(vec![77; 3]) };
        let shown = format!("{account:?}");
        assert!(shown.contains("kid-1") && !shown.contains("77"), "{shown}");
    }
}
