//! What is meant: the configuration with every value checked, alone and against the others.

mod accounting;
mod acme;
mod admin;
mod auth;
mod auth_webhook;
mod credentials_directory;
mod drain;
mod limits;
pub(super) mod listener;
mod metrics;
mod nat_discovery;
pub(super) mod relay;
mod tls;
mod webhook;

pub use accounting::{Accounting, AccountingWebhook, Batches};
pub use acme::{Acme, ExternalAccount};
pub use admin::{Admin, AdminKey, Origins};
pub use auth::{Auth, NamedSecret};
pub use auth_webhook::{AuthWebhook, CacheLimits, LONGEST_TTL};
pub use drain::Drain;
pub use limits::{Budget, Limits, StreamLimits};
pub use listener::Listener;
pub use metrics::Metrics;
pub use nat_discovery::{AddressPair, NatDiscovery};
pub use relay::{External, Relay};
pub use tls::{CertificateFiles, Tls};
pub use webhook::Webhook;

use super::{
    address::PortRange,
    choice::{ChannelNumbers, LogFormat, LogLevel, StateDir, Workers},
    error::{ConfigError, Place, Problem},
    raw, secret_file,
    source::Source,
    units::Bytes,
};
use crate::auth::{Secret, name};
use ipnet::IpNet;
use std::{
    num::NonZeroU16,
    path::{Path, PathBuf},
};

/// A configuration the server can be started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The process as a whole.
    pub server: Server,
    /// Where clients are heard; at least one, none covering another of its kind (datagrams or streams).
    pub listeners: Vec<Listener>,
    /// What clients of the TLS listeners see.
    pub tls: Tls,
    /// Where peers are reached from.
    pub relay: Relay,
    /// Who may use the relay.
    pub auth: Auth,
    /// How much of it.
    pub limits: Limits,
    /// Who may be relayed to, beside the built-in policy.
    pub peers: Peers,
    /// Where clients find out what their NAT does.
    pub nat_discovery: NatDiscovery,
    /// Where records of allocations go.
    pub accounting: Accounting,
    /// How the server takes its leave.
    pub drain: Drain,
    /// The channel numbers that may be bound.
    pub channel_numbers: ChannelNumbers,
    /// Who may ask the running server, and what.
    pub admin: Admin,
    /// Where the figures are told.
    pub metrics: Metrics,
    /// From which level on something is logged.
    pub log_level: LogLevel,
    /// How a log line looks.
    pub log_format: LogFormat,
}

/// `[server]`, checked.
#[derive(Clone, Debug)]
pub struct Server {
    /// Prepared as OpaqueString, 1 to 127 characters (RFC 8489 §14.9).
    pub realm: String,
    /// What the server is called in records and by webhooks; `None` means the host's name.
    pub name: Option<String>,
    /// What clients are told; what is found on the host when it is empty.
    pub urls: Vec<String>,
    /// Where the server keeps what it makes itself.
    pub state_dir: StateDir,
    /// Number of worker threads; `None` means one per usable core.
    pub workers: Option<NonZeroU16>,
    /// What to ask of the kernel for each listening socket, in bytes.
    pub receive_buffer: u32,
    /// The same for sending.
    pub send_buffer: u32,
    /// Whether a change of its files is taken into use by itself.
    pub reload_on_change: bool,
}

/// `[peers]`, checked. An address in `allow` is allowed, whatever `deny` or the built-in policy say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers {
    /// Ranges to relay to although they would be denied.
    pub allow: Vec<IpNet>,
    /// Ranges not to relay to.
    pub deny: Vec<IpNet>,
    /// Ports of peers to relay to.
    pub ports: PortRange,
}

/// Checks `raw`; all problems are found at once. Also returns warnings (what works but is probably not meant), and the
/// files that secrets were read from.
pub(super) fn check(
    raw: &raw::Config,
    source: &Source,
) -> Result<(Config, Vec<String>, Vec<PathBuf>), ConfigError> {
    let mut findings =
        Findings { source, problems: Vec::new(), warnings: Vec::new(), secret_files: Vec::new() };
    let realm = check_realm(&raw.server.realm, &mut findings);
    let config = Config {
        server: check_server(&raw.server, &realm, &mut findings),
        listeners: listener::check(&raw.listener, &mut findings),
        tls: tls::check(&raw.tls, &raw.listener, &mut findings),
        relay: relay::check(raw, &mut findings),
        auth: auth::check(&raw.auth, &realm, &mut findings),
        limits: limits::check(&raw.limits, raw.turn.channel_numbers, &mut findings),
        peers: Peers {
            allow: raw.peers.allow.iter().map(|cidr| cidr.0).collect(),
            deny: raw.peers.deny.iter().map(|cidr| cidr.0).collect(),
            ports: raw.peers.ports,
        },
        nat_discovery: nat_discovery::check(raw, &mut findings),
        accounting: accounting::check(&raw.accounting, &mut findings),
        drain: drain::check(&raw.drain, &mut findings),
        channel_numbers: raw.turn.channel_numbers,
        admin: admin::check(&raw.admin, &mut findings),
        metrics: metrics::check(raw, &mut findings),
        log_level: raw.log.level,
        log_format: raw.log.format,
    };
    let Findings { source: _, problems, warnings, secret_files } = findings;
    match problems.is_empty() {
        true => Ok((config, warnings, secret_files)),
        false => Err(ConfigError { problems, secret_files }),
    }
}

/// Collects what is found, with the place it was written at.
struct Findings<'a> {
    source: &'a Source,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    secret_files: Vec<PathBuf>,
}

impl Findings<'_> {
    fn problem(&mut self, key: &str, message: impl Into<String>) {
        let place = self.source.place_of(key);
        self.problems.push(Problem { place, key: key.to_owned(), message: message.into() });
    }

    fn warning(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    /// Reads the secret in the file that is named at `key`; `None` after a problem.
    fn read_secret(&mut self, path: PathBuf, key: &str) -> Option<Secret> {
        let read = secret_file::read(&path);
        if read.as_ref().is_ok_and(|file| file.world_readable) {
            self.warning(format!("{} can be read by every user of this host; chmod o-r it", path.display()));
        }
        self.secret_files.push(path);
        read.map_err(|message| self.problem(key, message)).ok().map(|file| file.secret)
    }

    /// A relative path in a file means beside that file, wherever the server was started from; one that begins with
    /// `${CREDENTIALS_DIRECTORY}` leads to what systemd hands over. `None` if it leads nowhere, which is a problem then.
    fn beside_the_file(&mut self, path: &Path, key: &str) -> Option<PathBuf> {
        match credentials_directory::expand(path, std::env::var_os(credentials_directory::VARIABLE)) {
            Some(Ok(path)) => return Some(path),
            Some(Err(message)) => {
                self.problem(key, message);
                return None;
            }
            None => {}
        }
        match (self.source.place_of(key), self.source.file_path().and_then(Path::parent)) {
            (Place::Line { .. }, Some(directory)) => Some(directory.join(path)),
            _ => Some(path.to_owned()),
        }
    }
}

/// RFC 8489 §14.9: fewer than 128 characters.
pub(super) const MAX_REALM_CHARS: usize = 127;
/// From here on the 401 answers to unauthenticated requests get so large that they amplify (row L10 of the threats).
const LONG_REALM_BYTES: usize = 24;

fn check_realm(realm: &str, findings: &mut Findings<'_>) -> String {
    let prepared = match name::opaque_string(realm) {
        Ok(prepared) => prepared.into_owned(),
        Err(bad) => {
            findings.problem("server.realm", format!("not a realm: {bad}"));
            return realm.to_owned();
        }
    };
    if prepared.chars().count() > MAX_REALM_CHARS {
        findings.problem("server.realm", format!("a realm has at most {MAX_REALM_CHARS} characters"));
    } else if prepared.len() > LONG_REALM_BYTES {
        findings.warning(format!(
            "server.realm has {} bytes and is sent in every answer to an unauthenticated request, so those can be used \
             to amplify traffic; a realm of up to {LONG_REALM_BYTES} bytes serves as well",
            prepared.len()
        ));
    }
    prepared
}

fn check_name(name: &str, findings: &mut Findings<'_>) -> Option<String> {
    const LONGEST: usize = 255;
    if name.len() > LONGEST || name.chars().any(char::is_control) {
        let message = format!("expected up to {LONGEST} bytes without control characters");
        findings.problem("server.name", message);
    }
    (!name.is_empty()).then(|| name.to_owned())
}

fn check_server(raw: &raw::Server, realm: &str, findings: &mut Findings<'_>) -> Server {
    Server {
        realm: realm.to_owned(),
        name: check_name(&raw.name, findings),
        urls: raw.urls.iter().map(ToString::to_string).collect(),
        state_dir: raw.state_dir.clone(),
        workers: match raw.workers {
            Workers::Auto => None,
            Workers::Exactly(number) => Some(number),
        },
        receive_buffer: check_buffer("server.receive_buffer", raw.receive_buffer, findings),
        send_buffer: check_buffer("server.send_buffer", raw.send_buffer, findings),
        reload_on_change: raw.reload_on_change,
    }
}

fn check_buffer(key: &str, size: Bytes, findings: &mut Findings<'_>) -> u32 {
    // One datagram of the largest size must fit; the kernel takes the size as a signed 32-bit number and doubles it.
    const SMALLEST: Bytes = Bytes(64 << 10);
    const LARGEST: Bytes = Bytes(512 << 20);
    if !(SMALLEST..=LARGEST).contains(&size) {
        findings.problem(key, format!("{size} is out of range: expected {SMALLEST} to {LARGEST}"));
    }
    u32::try_from(size.0).unwrap_or(u32::MAX)
}
