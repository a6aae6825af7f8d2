//! Certificates: read, checked, chosen by the client's wish, replaced while connections go on.

mod advice;
mod choice;
mod expiry;
mod identity;
mod load;
mod notice;
mod pem;
mod roots;
#[cfg(test)]
mod tests;
mod watch;

use crate::{config::choice::TlsVersion, net::tls::TlsConfigs};
use arc_swap::ArcSwap;
use choice::{Challenges, Served};
use identity::Identity;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{
        NoServerSessionStorage, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache,
        StoresServerSessions,
    },
    sign::CertifiedKey,
};
use std::{fmt, path::PathBuf, sync::Arc};

pub use notice::Notice;
pub(super) use watch::Prepared;
pub use watch::Watch;

/// A certificate with its key and its chain.
pub struct Certificate {
    key: Arc<CertifiedKey>,
    /// The server's own first; never empty.
    chain: Vec<Identity>,
    origin: Origin,
}

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The chain in this file.
    File(PathBuf),
    /// It was obtained by ACME.
    Acme,
}

/// What operators want to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateStatus {
    /// The names and addresses it is for.
    pub names: Vec<String>,
    /// When it begins to be valid, in Unix seconds.
    pub not_before: u64,
    /// When it expires, in Unix seconds.
    pub not_after: u64,
    /// Where it comes from.
    pub origin: Origin,
}

/// The certificates that are served. They can be replaced at any time; connections that stand do not notice.
#[derive(Debug)]
pub struct CertStore {
    served: Arc<Served>,
    challenges: Arc<Challenges>,
    sessions: Sessions,
    configs: ArcSwap<TlsConfigs>,
}

/// What lets clients resume their sessions. All configurations share it: a session begun under one may go on under
/// another, because all are the same server.
#[derive(Clone, Debug)]
struct Sessions {
    kept: Arc<ServerSessionMemoryCache>,
    tickets: Arc<dyn ProducesTickets>,
}

impl CertStore {
    /// An empty store for clients of `min_version` or newer.
    pub fn new(min_version: TlsVersion) -> Result<Arc<Self>, rustls::Error> {
        let (served, challenges) = (Arc::new(Served::default()), Arc::new(Challenges::default()));
        let sessions =
            Sessions { kept: ServerSessionMemoryCache::new(SESSIONS), tickets: aws_lc_rs::Ticketer::new()? };
        let configs = ArcSwap::from_pointee(configs(min_version, &served, &challenges, &sessions)?);
        Ok(Arc::new(Self { served, challenges, sessions, configs }))
    }

    /// From the next handshake of a new listener on these are in force, made by [`Self::tls_configs_from`].
    pub(super) fn set_tls_configs(&self, configs: TlsConfigs) {
        self.configs.store(Arc::new(configs));
    }

    /// Serves these instead of all that came from files before. The first is for clients that ask for no name.
    pub fn install_files(&self, certificates: &[Arc<Certificate>]) {
        self.served.replace(Certificate::is_from_file, certificates);
    }

    /// Serves this one for `names` instead of the one obtained by ACME before.
    pub fn install_acme(&self, names: &[String], key: Arc<CertifiedKey>) {
        let mut chain: Vec<Identity> = key.cert.iter().filter_map(|der| Identity::of(der)).collect();
        let Some(own) = chain.first_mut() else {
            tracing::error!(names = names.join(","), "certificate obtained by ACME cannot be read");
            return;
        };
        own.dns_names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let certificate = Arc::new(Certificate::new(key, chain, Origin::Acme));
        self.served.replace(|old| !old.is_from_file(), &[certificate]);
    }

    /// Shows `key` to an ACME server that asks for `name`.
    pub fn set_challenge(&self, name: &str, key: Arc<CertifiedKey>) {
        self.challenges.set(name, &key);
    }

    /// Ends that.
    pub fn clear_challenge(&self, name: &str) {
        self.challenges.clear(name);
    }

    /// What listeners need. All of it serves whatever is in this store at the time of a handshake.
    pub fn tls_configs(&self) -> TlsConfigs {
        TlsConfigs::clone(&self.configs.load())
    }

    /// The same for clients of another version or newer.
    pub fn tls_configs_from(&self, min_version: TlsVersion) -> Result<TlsConfigs, rustls::Error> {
        configs(min_version, &self.served, &self.challenges, &self.sessions)
    }

    /// All that is served.
    pub fn status(&self) -> Vec<CertificateStatus> {
        self.served.current().all().iter().map(|certificate| certificate.status()).collect()
    }
}

impl Certificate {
    fn new(key: Arc<CertifiedKey>, chain: Vec<Identity>, origin: Origin) -> Self {
        Self { key, chain, origin }
    }

    fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    fn identity(&self) -> &Identity {
        &self.chain[0]
    }

    fn is_from_file(&self) -> bool {
        matches!(self.origin, Origin::File(_))
    }

    /// What operators want to know of it.
    pub fn status(&self) -> CertificateStatus {
        let own = self.identity();
        CertificateStatus {
            names: own.names(),
            not_before: own.not_before,
            not_after: own.not_after,
            origin: self.origin.clone(),
        }
    }
}

impl AsRef<Self> for Certificate {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// Without the key.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Acme => f.write_str("acme"),
        }
    }
}

/// ALPN of STUN and TURN (RFC 7443 §3), which a client may also leave out.
const TURN_PROTOCOLS: &[&str] = &["stun.turn", "stun.nat-discovery"];
/// What a web server behind us certainly talks goes first.
const WEB_PROTOCOLS: &[&str] = &["http/1.1", "h2"];
/// ALPN of the TLS-ALPN-01 challenge (RFC 8737 §3).
const ACME_PROTOCOLS: &[&str] = &["acme-tls/1"];
/// Sessions to resume of clients that do not know tickets; each takes about a kilobyte.
const SESSIONS: usize = 1024;

fn configs(
    min_version: TlsVersion,
    served: &Arc<Served>,
    challenges: &Arc<Challenges>,
    sessions: &Sessions,
) -> Result<TlsConfigs, rustls::Error> {
    let Sessions { kept, tickets } = sessions;
    let make =
        |protocols| config(min_version, served.clone(), protocols, kept.clone(), Some(tickets.clone()));
    Ok(TlsConfigs {
        turn: make(TURN_PROTOCOLS)?,
        bare: make(&[])?,
        web: make(WEB_PROTOCOLS)?,
        acme: config(
            TlsVersion::Tls12,
            challenges.clone(),
            ACME_PROTOCOLS,
            Arc::new(NoServerSessionStorage {}),
            None,
        )?,
    })
}

fn config(
    min_version: TlsVersion,
    resolver: Arc<dyn ResolvesServerCert>,
    protocols: &[&str],
    sessions: Arc<dyn StoresServerSessions>,
    tickets: Option<Arc<dyn ProducesTickets>>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let versions: &[&rustls::SupportedProtocolVersion] = match min_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config.session_storage = sessions;
    config.send_tls13_tickets = usize::from(tickets.is_some());
    if let Some(tickets) = tickets {
        config.ticketer = tickets;
    }
    // A replayed Allocate would be a new allocation (RFC 8446 §8), so early data stays off.
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}
