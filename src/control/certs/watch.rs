//! Keeps what is served in step with the files.

use super::{CertStore, Certificate, Notice, advice, expiry::Expiry, load::load, pem, roots::Roots};
use crate::config::checked::{CertificateFiles, Tls};
use crate::config::choice::TlsVersion;
use crate::net::tls::TlsConfigs;
use sha2::{Digest, Sha256};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The certificates of the configuration, and what became of their files.
#[derive(Debug)]
pub struct Watch {
    store: Arc<CertStore>,
    pairs: Vec<Pair>,
    /// Those that clients use.
    names: Vec<String>,
    /// Those that certificates will come for by themselves.
    ordered: Vec<String>,
    min_version: TlsVersion,
    expiry: Expiry,
    looked: Option<Instant>,
}

/// The files of a configuration, read and found good.
#[derive(Debug)]
pub(in crate::control) struct Prepared {
    pairs: Vec<Pair>,
    names: Vec<String>,
    ordered: Vec<String>,
    min_version: TlsVersion,
    configs: TlsConfigs,
    notices: Vec<Notice>,
}

/// A chain file and a key file.
#[derive(Debug)]
struct Pair {
    files: CertificateFiles,
    /// What is served, and the hash of the files it was read from.
    certificate: Arc<Certificate>,
    hash: Option<Hash>,
    broken: Option<Broken>,
}

/// Files that cannot be used.
#[derive(Debug)]
struct Broken {
    since: Instant,
    is_told: bool,
}

type Hash = [u8; 32];

/// How often the files are looked at. Their content is compared, which is a few kilobytes: times and inodes miss what
/// happens behind a link, as Kubernetes and certbot have it.
const LOOK: Duration = Duration::from_secs(2);
/// Whoever renews a certificate writes two files, and for a moment they do not belong together.
const GRACE: Duration = Duration::from_secs(10);

impl Watch {
    /// Reads all files of `tls` and serves them from a store. Where one cannot be used there is nothing to fall back to,
    /// and all problems are told; otherwise what should be mended.
    pub fn start(tls: &Tls, unix_now: u64) -> Result<(Self, Vec<Notice>), Vec<String>> {
        let store = CertStore::new(tls.min_version).map_err(|error| vec![format!("TLS: {error}")])?;
        let prepared = Prepared::read(tls, (&store, &[]), None, unix_now)?;
        let (pairs, names, ordered) = (Vec::new(), Vec::new(), Vec::new());
        let min_version = tls.min_version;
        let mut watch =
            Self { store, pairs, names, ordered, min_version, expiry: Expiry::default(), looked: None };
        let notices = watch.take(prepared, unix_now);
        Ok((watch, notices))
    }

    /// Reads the files of another configuration, without serving them yet.
    pub(in crate::control) fn prepare(&self, tls: &Tls, unix_now: u64) -> Result<Prepared, Vec<String>> {
        Prepared::read(tls, (&self.store, &self.pairs), Some(self.min_version), unix_now)
    }

    /// Serves what was prepared, in place of all that came from files before. What stays the same is not told again.
    pub(in crate::control) fn take(&mut self, prepared: Prepared, unix_now: u64) -> Vec<Notice> {
        let Prepared { pairs, names, ordered, min_version, configs, mut notices } = prepared;
        let is_known =
            |pair: &Pair| self.pairs.iter().any(|known| known.files == pair.files && known.hash == pair.hash);
        if !pairs.is_empty() && pairs.iter().all(is_known) {
            notices.retain(|notice| !matches!(notice, Notice::Loaded(_)));
        }
        self.store.set_tls_configs(configs);
        self.min_version = min_version;
        (self.pairs, self.names, self.ordered) = (pairs, names, ordered);
        self.install();
        notices.extend(self.on_names());
        notices.extend(self.expiry.check(&self.store.status(), unix_now));
        notices
    }

    /// What is served.
    pub fn store(&self) -> &Arc<CertStore> {
        &self.store
    }

    /// By which name clients are told to connect: the first configured one, or the first of the certificates.
    pub fn name(&self) -> Option<String> {
        let of_certificates = || {
            let mut names = self.pairs.iter().flat_map(|pair| &pair.certificate.identity().dns_names);
            names.find(|name| !name.starts_with("*.")).cloned()
        };
        self.names.first().cloned().or_else(of_certificates).or_else(|| self.ordered.first().cloned())
    }

    /// Takes in what has changed. To be called often; most calls do nothing.
    pub fn look(&mut self, now: Instant, unix_now: u64) -> Vec<Notice> {
        if self.looked.is_some_and(|looked| now.duration_since(looked) < LOOK) {
            return Vec::new();
        }
        self.read_again(now, unix_now, GRACE)
    }

    /// Takes in what has changed at the wish of an operator, who is told at once what is wrong.
    pub fn reload(&mut self, now: Instant, unix_now: u64) -> Vec<Notice> {
        for broken in self.pairs.iter_mut().filter_map(|pair| pair.broken.as_mut()) {
            broken.is_told = false;
        }
        self.read_again(now, unix_now, Duration::ZERO)
    }

    fn read_again(&mut self, now: Instant, unix_now: u64, grace: Duration) -> Vec<Notice> {
        self.looked = Some(now);
        let mut notices: Vec<Notice> = Vec::new();
        for pair in &mut self.pairs {
            notices.extend(pair.look(now, unix_now, grace));
        }
        if notices.iter().any(|notice| matches!(notice, Notice::Loaded(_))) {
            self.install();
            notices.extend(self.on_names());
        }
        notices.extend(self.expiry.check(&self.store.status(), unix_now));
        notices
    }

    fn install(&self) {
        let certificates: Vec<_> = self.pairs.iter().map(|pair| pair.certificate.clone()).collect();
        self.store.install_files(&certificates);
    }

    fn on_names(&self) -> Vec<Notice> {
        let certificates: Vec<_> = self.pairs.iter().map(|pair| pair.certificate.clone()).collect();
        let names = self.names.iter().filter(|name| !self.ordered.contains(name)).map(String::as_str);
        advice::on_names(names, &certificates).into_iter().map(Notice::Advice).collect()
    }
}

impl Prepared {
    /// What listeners will need.
    pub(in crate::control) fn tls_configs(&self) -> TlsConfigs {
        self.configs.clone()
    }

    /// Reads all files of `tls`. All problems are told; otherwise what should be mended. `current` is the oldest version
    /// of TLS that the store's configurations are for, `known` what is served already.
    fn read(
        tls: &Tls,
        (store, known): (&CertStore, &[Pair]),
        current: Option<TlsVersion>,
        unix_now: u64,
    ) -> Result<Self, Vec<String>> {
        let configs = match current {
            Some(current) if current != tls.min_version => store.tls_configs_from(tls.min_version),
            _ => Ok(store.tls_configs()),
        };
        let configs = configs.map_err(|error| vec![format!("TLS: {error}")])?;
        let (mut pairs, mut notices, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        let roots = if tls.certificates.is_empty() { Roots::default() } else { Roots::of_this_host() };
        for files in &tls.certificates {
            let hash = hash(files);
            match load(files) {
                Ok((certificate, warnings)) => {
                    let certificate = Arc::new(certificate);
                    notices.push(Notice::Loaded(certificate.status()));
                    notices.extend(advise(&certificate, files, &roots, unix_now, warnings));
                    pairs.push(Pair { files: files.clone(), certificate, hash, broken: None });
                }
                // What is served of it goes on; the next look says what is wrong.
                Err(problem) => match known.iter().find(|pair| pair.files == *files) {
                    Some(Pair { certificate, hash, .. }) => {
                        let (certificate, hash) = (certificate.clone(), *hash);
                        pairs.push(Pair { files: files.clone(), certificate, hash, broken: None });
                    }
                    None => problems.push(problem),
                },
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let ordered = tls.acme.as_ref().map(|acme| acme.names.clone()).unwrap_or_default();
        let (names, min_version) = (tls.names.clone(), tls.min_version);
        Ok(Self { pairs, names, ordered, min_version, configs, notices })
    }
}

impl Pair {
    fn look(&mut self, now: Instant, unix_now: u64, grace: Duration) -> Vec<Notice> {
        let hash = hash(&self.files);
        if hash.is_some() && hash == self.hash {
            let was_told = self.broken.take().is_some_and(|broken| broken.is_told);
            return was_told.then(|| Notice::Mended(self.files.chain.clone())).into_iter().collect();
        }
        match load(&self.files) {
            Ok((certificate, warnings)) => {
                self.certificate = Arc::new(certificate);
                (self.hash, self.broken) = (hash, None);
                let mut notices = vec![Notice::Loaded(self.certificate.status())];
                let roots = Roots::of_this_host();
                notices.extend(advise(&self.certificate, &self.files, &roots, unix_now, warnings));
                notices
            }
            Err(detail) => {
                let broken = self.broken.get_or_insert(Broken { since: now, is_told: false });
                if broken.is_told || now.duration_since(broken.since) < grace {
                    return Vec::new();
                }
                broken.is_told = true;
                vec![Notice::Broken { path: self.files.chain.clone(), detail }]
            }
        }
    }
}

fn advise(
    certificate: &Certificate,
    files: &CertificateFiles,
    roots: &Roots,
    unix_now: u64,
    warnings: Vec<String>,
) -> impl Iterator<Item = Notice> {
    let chain = advice::on_chain(&certificate.chain, &files.chain, roots, unix_now);
    warnings.into_iter().chain(chain).map(Notice::Advice)
}

/// `None` while one of them cannot be read.
fn hash(files: &CertificateFiles) -> Option<Hash> {
    let mut hash = Sha256::new();
    for path in [&files.chain, &files.key] {
        let (bytes, _) = pem::read(path).ok()?;
        hash.update(bytes.len().to_be_bytes());
        hash.update(&bytes);
    }
    Some(hash.finalize().into())
}
