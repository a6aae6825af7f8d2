//! Which certificate a client gets.

use super::Certificate;
use arc_swap::ArcSwap;
use rustls::{
    CipherSuite, SignatureScheme, SupportedCipherSuite,
    crypto::aws_lc_rs::ALL_CIPHER_SUITES,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{collections::HashMap, fmt, sync::Arc};

/// All certificates, by the names they are for.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// In the order of preference; the first serves whoever asks for no name, or for an unknown one.
    all: Vec<Arc<Certificate>>,
    exact: HashMap<String, Vec<usize>>,
    /// By what stands behind "*.".
    wildcard: HashMap<String, Vec<usize>>,
}

/// What a client says about itself, as far as it matters here.
pub(super) struct Wish<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) schemes: &'a [SignatureScheme],
    pub(super) suites: &'a [CipherSuite],
}

impl Choice {
    pub(super) fn new(all: Vec<Arc<Certificate>>) -> Self {
        let mut choice = Self { all, ..Self::default() };
        for (at, certificate) in choice.all.iter().enumerate() {
            for name in &certificate.identity().dns_names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(behind) => (&mut choice.wildcard, behind),
                    None => (&mut choice.exact, name.as_str()),
                };
                names.entry(name.to_owned()).or_default().push(at);
            }
        }
        choice
    }

    pub(super) fn all(&self) -> &[Arc<Certificate>] {
        &self.all
    }

    /// The exact name goes before a wildcard, both before the default (RFC 6066 §3 lets a server go on with an unknown
    /// name, and clients that were given an address instead of a name send none). Among certificates of one name the
    /// first goes whose kind of key the client can use.
    pub(super) fn choose(&self, wish: &Wish<'_>) -> Option<&Arc<Certificate>> {
        let name = wish.name.map(str::to_ascii_lowercase);
        let named = name.as_deref().and_then(|name| {
            let wildcard = || name.split_once('.').and_then(|(_, behind)| self.wildcard.get(behind));
            self.exact.get(name).or_else(wildcard)
        });
        let named = named.into_iter().flatten().filter_map(|at| self.all.get(*at));
        let usable = |certificate: &&Arc<Certificate>| wish.can_use(certificate.key());
        // Where nothing fits the handshake fails, which tells the client more than no certificate would.
        named.clone().chain(&self.all).find(usable).or_else(|| named.chain(&self.all).next())
    }
}

impl Wish<'_> {
    fn can_use(&self, certified: &CertifiedKey) -> bool {
        // In TLS 1.2 the suite names the kind of key as well.
        let kind = certified.key.algorithm();
        let fits = |ours: &SupportedCipherSuite| {
            ours.usable_for_signature_algorithm(kind) && self.suites.contains(&ours.suite())
        };
        certified.key.choose_scheme(self.schemes).is_some() && ALL_CIPHER_SUITES.iter().any(fits)
    }
}

/// The certificates that are served now; what is swapped in serves from the next handshake on.
#[derive(Debug, Default)]
pub(super) struct Served(ArcSwap<Choice>);

impl Served {
    pub(super) fn current(&self) -> Arc<Choice> {
        self.0.load_full()
    }

    /// Replaces those that `replaced` is true of by `new`.
    pub(super) fn replace(&self, replaced: impl Fn(&Certificate) -> bool, new: &[Arc<Certificate>]) {
        self.0.rcu(|choice| {
            let (first, second): (Vec<_>, Vec<_>) = {
                let kept = choice.all.iter().filter(|certificate| !replaced(certificate)).cloned();
                // Files go before what was obtained by ACME.
                new.iter().cloned().chain(kept).partition(|certificate| certificate.is_from_file())
            };
            Choice::new([first, second].concat())
        });
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let wish = Wish {
            name: hello.server_name(),
            schemes: hello.signature_schemes(),
            suites: hello.cipher_suites(),
        };
        self.0.load().choose(&wish).map(|certificate| certificate.key().clone())
    }
}

/// Certificates that prove to an ACME server that a name is ours (RFC 8737 §3), by name.
#[derive(Default)]
pub(super) struct Challenges(ArcSwap<HashMap<String, Arc<CertifiedKey>>>);

impl Challenges {
    pub(super) fn set(&self, name: &str, key: &Arc<CertifiedKey>) {
        self.0.rcu(|challenges| {
            let mut challenges = HashMap::clone(challenges);
            challenges.insert(name.to_ascii_lowercase(), key.clone());
            challenges
        });
    }

    pub(super) fn clear(&self, name: &str) {
        self.0.rcu(|challenges| {
            let mut challenges = HashMap::clone(challenges);
            challenges.remove(&name.to_ascii_lowercase());
            challenges
        });
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.load().keys()).finish()
    }
}

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        self.0.load().get(&name).cloned()
    }
}
