//! `[admin]`: who may ask the running server what, and over which sockets.

use super::Findings;
use crate::{
    auth::Secret,
    config::{
        admin::{AdminAddress, Scope},
        raw,
        units::Seconds,
    },
};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// `[admin]`, checked.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where to listen; nowhere when it is empty.
    pub listen: Vec<AdminAddress>,
    /// By which host names it may be asked over loopback, beside addresses and `localhost`.
    pub names: Vec<String>,
    /// How long a credential is good for when nobody says, in seconds.
    pub default_ttl: u64,
    /// Who may ask over TCP.
    pub keys: Vec<AdminKey>,
}

/// An `[[admin.key]]`, checked.
#[derive(Clone, Debug)]
pub struct AdminKey {
    /// For the log.
    pub name: String,
    digest: KeyDigest,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// The longest life of a credential made with it, in seconds.
    pub max_ttl: Option<u64>,
    /// Web pages that may use it.
    pub origins: Origins,
}

impl AdminKey {
    /// Whether this is the key that was presented. Takes the same time for each that is not.
    pub fn is(&self, presented: &str) -> bool {
        self.digest.0.ct_eq(&KeyDigest::of(presented).0).into()
    }

    /// Whether it may be used for this.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// The SHA-256 of a key, which is all that has to be remembered of it.
#[derive(Clone, PartialEq, Eq)]
struct KeyDigest([u8; 32]);

impl KeyDigest {
    fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

/// Web pages, by their origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Pages from everywhere.
    Any,
    /// These, or none.
    These(Vec<String>),
}

impl Origins {
    /// Whether a page of this origin is meant.
    pub fn contain(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(origins) => origins.iter().any(|known| known == origin),
        }
    }
}

/// What can be guessed by trying is no key.
const SHORTEST_KEY: usize = 24;
/// How long a credential may be good for that was made with a key that does not say.
const DEFAULT_MAX_TTL: Seconds = Seconds(86_400);

pub(super) fn check(raw: &raw::Admin, findings: &mut Findings<'_>) -> Admin {
    let mut keys: Vec<AdminKey> = Vec::new();
    for (at, key) in raw.key.iter().enumerate() {
        if let Some(key) = check_key(at, key, &keys, findings) {
            keys.push(key);
        }
    }
    check_listen(raw, findings);
    if raw.default_ttl.0 == 0 {
        findings.problem("admin.default_ttl", "a credential that is good for no time is of no use");
    }
    Admin {
        listen: raw.listen.clone(),
        names: raw.names.iter().map(|name| name.0.clone()).collect(),
        default_ttl: raw.default_ttl.0,
        keys,
    }
}

fn check_listen(raw: &raw::Admin, findings: &mut Findings<'_>) {
    for (at, address) in raw.listen.iter().enumerate() {
        let key = format!("admin.listen[{at}]");
        if raw.listen[..at].contains(address) && !matches!(address, AdminAddress::Tcp(tcp) if tcp.port() == 0)
        {
            findings.problem(&key, format!("\"{address}\" would be opened twice"));
        }
        if address.is_public() && raw.key.is_empty() {
            findings.problem(
                &key,
                format!(
                    "\"{address}\" can be reached from other hosts, and there is no [[admin.key]] that they would need; add \
                     one, or listen on 127.0.0.1 or a Unix socket"
                ),
            );
        } else if address.is_public() {
            findings.warning(format!(
                "admin.listen: keys and credentials go to {address} in clear; let a web server with TLS stand in front and \
                 listen on 127.0.0.1"
            ));
        }
    }
    let has_tcp = raw.listen.iter().any(|address| matches!(address, AdminAddress::Tcp(_)));
    if has_tcp && raw.key.is_empty() {
        findings.warning("admin.listen has a TCP address, and without an [[admin.key]] it answers nothing but health checks");
    }
}

fn check_key(
    at: usize,
    raw: &raw::AdminKey,
    earlier: &[AdminKey],
    findings: &mut Findings<'_>,
) -> Option<AdminKey> {
    let path = format!("admin.key[{at}]");
    if raw.name.is_empty() || raw.name.chars().any(char::is_control) {
        findings.problem(&format!("{path}.name"), "a key needs a name, by which the log calls it");
    } else if earlier.iter().any(|other| other.name == raw.name) {
        findings.problem(&format!("{path}.name"), format!("there is a key {:?} already", raw.name));
    }
    if raw.scopes.is_empty() {
        findings.problem(
            &format!("{path}.scopes"),
            "the key is good for nothing: expected one or more of \"mint\", \"read\" and \"control\"",
        );
    }
    let origins = check_origins(&raw.allowed_origins, &path, findings);
    let secret = find_key(raw, &path, findings)?;
    let digest = KeyDigest::of(secret.expose());
    if let Some(other) = earlier.iter().find(|other| other.digest == digest) {
        findings.problem(&path, format!("it is the same key as that of {:?}", other.name));
    }
    let max_ttl = match raw.max_ttl {
        Some(limit) => limit.bound(),
        None => Some(DEFAULT_MAX_TTL),
    };
    if max_ttl == Some(Seconds(0)) {
        findings.problem(&format!("{path}.max_ttl"), "a credential that is good for no time is of no use");
    }
    Some(AdminKey {
        name: raw.name.clone(),
        digest,
        scopes: raw.scopes.clone(),
        max_ttl: max_ttl.map(|ttl| ttl.0),
        origins,
    })
}

/// The key itself, wherever it is kept; `None` after a problem.
fn find_key(raw: &raw::AdminKey, path: &str, findings: &mut Findings<'_>) -> Option<Secret> {
    let (place, secret) = match (&raw.key, &raw.key_file) {
        (Some(key), None) => (format!("{path}.key"), key.0.clone()),
        (None, Some(file)) => {
            let place = format!("{path}.key_file");
            let file = findings.beside_the_file(file, &place)?;
            let secret = findings.read_secret(file, &place)?;
            (place, secret)
        }
        (None, None) | (Some(_), Some(_)) => {
            findings.problem(path, "expected either `key` or `key_file`");
            return None;
        }
    };
    let text = secret.expose();
    if text.len() < SHORTEST_KEY || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        findings.problem(
            &place,
            format!(
                "a key has at least {SHORTEST_KEY} visible ASCII characters, so that it cannot be guessed; \
                 `openssl rand -hex 32` makes one"
            ),
        );
    }
    Some(secret)
}

fn check_origins(origins: &[String], path: &str, findings: &mut Findings<'_>) -> Origins {
    if origins == ["*"] {
        return Origins::Any;
    }
    for origin in origins.iter().filter(|origin| !is_origin(origin)) {
        findings.problem(
            &format!("{path}.allowed_origins"),
            format!("{origin:?} is not an origin: expected \"https://host\" or \"https://host:port\" as browsers send it, or \"*\" alone"),
        );
    }
    Origins::These(origins.to_vec())
}

/// As browsers write it: no path, lower case.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty()
            && host.bytes().all(|byte| {
                byte.is_ascii_lowercase()
                    || byte.is_ascii_digit()
                    || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
            })
    })
}
