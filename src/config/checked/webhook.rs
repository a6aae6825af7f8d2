//! What all webhooks have: whom to ask or tell, and how both sides know each other.

use super::Findings;
use crate::{
    auth::Secret,
    auth::webhook_signature::Signer,
    config::{
        raw::MaskedSecret,
        units::{Invalid, Seconds},
        url::WebUrl,
    },
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// A web server of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where it is.
    pub url: WebUrl,
    /// What requests are signed with.
    pub secret: Option<Secret>,
    /// The authorities that may have certified it; `None` means those this host trusts.
    pub ca_file: Option<PathBuf>,
    /// How long a request may take.
    pub timeout: Duration,
}

/// The same as written, in the section `key`.
pub(super) struct Written<'a> {
    pub(super) key: &'a str,
    pub(super) url: &'a str,
    pub(super) secret: &'a MaskedSecret,
    pub(super) secret_file: &'a Path,
    pub(super) ca_file: &'a Path,
    pub(super) timeout: Seconds,
}

/// Longer than anybody waits.
const MAX_TIMEOUT: Seconds = Seconds(300);

/// `None` when no URL is given, which is how a webhook is left out.
pub(super) fn check(written: &Written<'_>, findings: &mut Findings<'_>) -> Option<Webhook> {
    let Written { key, url, ca_file, timeout, .. } = *written;
    if url.is_empty() {
        return None;
    }
    let timeout = check_timeout(timeout, key, findings);
    let secret = check_secret(written, findings);
    let ca_file = optional(ca_file, &format!("{key}.ca_file"), findings);
    let url = check_url(url, &format!("{key}.url"), findings)?;
    Some(Webhook { url, secret, ca_file, timeout })
}

/// How long requests may take, in the section `key`.
pub(super) fn check_timeout(timeout: Seconds, key: &str, findings: &mut Findings<'_>) -> Duration {
    if !(Seconds(1)..=MAX_TIMEOUT).contains(&timeout) {
        let message = format!("{timeout} is out of range: expected 1s to {MAX_TIMEOUT}");
        findings.problem(&format!("{key}.timeout"), message);
    }
    Duration::from_secs(timeout.0)
}

/// A URL that is written at `key`.
pub(super) fn check_url(written: &str, key: &str, findings: &mut Findings<'_>) -> Option<WebUrl> {
    let checked = written.parse();
    checked.map_err(|Invalid(message)| findings.problem(key, message)).ok()
}

/// A path, where there is one.
pub(super) fn optional(written: &Path, key: &str, findings: &mut Findings<'_>) -> Option<PathBuf> {
    if written.as_os_str().is_empty() { None } else { findings.beside_the_file(written, key) }
}

fn check_secret(written: &Written<'_>, findings: &mut Findings<'_>) -> Option<Secret> {
    const SHORT: usize = 16;
    let key = written.key;
    let inline = Some(&written.secret.0).filter(|secret| !secret.expose().is_empty());
    let file_key = format!("{key}.secret_file");
    let file = optional(written.secret_file, &file_key, findings);
    let (secret, key_of_it) = match (inline, file) {
        (None, None) => {
            findings.warning(format!(
                "{key} has no secret, so the server at {key}.url cannot tell this server's requests from forged ones"
            ));
            return None;
        }
        (Some(_), Some(_)) => {
            findings.problem(&file_key, "a webhook has `secret` or `secret_file`, not both");
            return None;
        }
        (Some(secret), None) => (secret.clone(), format!("{key}.secret")),
        (None, Some(path)) => (findings.read_secret(path, &file_key)?, file_key),
    };
    if Signer::new(&secret).is_none() {
        findings.problem(&key_of_it, "what stands behind \"whsec_\" is not base64");
    } else if secret.expose().is_empty() {
        findings.problem(&key_of_it, "the secret is empty");
    } else if secret.expose().len() < SHORT {
        findings.warning(format!("{key_of_it} is shorter than {SHORT} bytes and could be guessed"));
    }
    Some(secret)
}
