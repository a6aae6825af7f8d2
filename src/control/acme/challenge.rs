//! The challenges of one order, as long as it is under way.

use super::{
    failure::{Failure, Kind},
    http01::Responder,
    tls_alpn01::challenge_certificate,
};
use crate::config::{checked::Acme, choice::AcmeChallenge};
use crate::control::certs::CertStore;
use instant_acme::{ChallengeType, KeyAuthorization};
use std::sync::Arc;

/// Where the CA finds what it looks for. All of it is gone with its owner.
pub(super) enum Challenges {
    /// On the TLS listeners, in a handshake of its own kind.
    TlsAlpn01 {
        /// What the listeners take their certificates from.
        store: Arc<CertStore>,
        /// The names with a challenge there.
        names: Vec<String>,
    },
    /// On a port of its own.
    Http01(Responder),
}

impl Challenges {
    /// Gets ready for an order.
    pub(super) fn start(settings: &Acme, store: &Arc<CertStore>) -> Result<Self, Failure> {
        match settings.challenge {
            AcmeChallenge::TlsAlpn01 => Ok(Self::TlsAlpn01 { store: store.clone(), names: Vec::new() }),
            AcmeChallenge::Http01 => Responder::open(settings.http_address).map(Self::Http01).map_err(|error| {
                let reason = format!("cannot listen on {}: {error}", settings.http_address);
                let failure = Failure::here("answer http-01 challenges", reason).advise(
                    "tls.acme.http_address must be free while an order is under way, and ports below 1024 need \
                     CAP_NET_BIND_SERVICE",
                );
                Failure { kind: Kind::NotReached, ..failure }
            }),
        }
    }

    /// Shows the CA what it will look for.
    pub(super) fn present(&mut self, name: &str, token: &str, key: &KeyAuthorization) -> Result<(), Failure> {
        match self {
            Self::TlsAlpn01 { store, names } => {
                let digest = key.digest();
                let digest = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
                let certificate = challenge_certificate(name, digest)
                    .map_err(|error| Failure::here("prove a name", error))?;
                store.set_challenge(name, certificate);
                names.push(name.to_owned());
            }
            Self::Http01(responder) => responder.answer(token, key.as_str()),
        }
        Ok(())
    }

    /// The order is over, and its end is told of only when nothing of it is left to be seen.
    pub(super) async fn end(mut self) {
        if let Self::Http01(responder) = &mut self {
            responder.close().await;
        }
    }

    /// Which one it is, to the CA.
    pub(super) fn kind(&self) -> ChallengeType {
        match self {
            Self::TlsAlpn01 { .. } => ChallengeType::TlsAlpn01,
            Self::Http01(_) => ChallengeType::Http01,
        }
    }

    /// Which one it is, to people.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::TlsAlpn01 { .. } => "tls-alpn-01",
            Self::Http01(_) => "http-01",
        }
    }

    /// What must be so for the CA to see what it looks for.
    pub(super) fn advice(&self, names: &str) -> String {
        match self {
            Self::TlsAlpn01 { .. } => format!(
                "the CA must reach a TLS listener of this server on TCP port 443 of every address that {names} has in \
                 the DNS, with nothing in between that ends TLS"
            ),
            Self::Http01(_) => format!(
                "the CA must reach this server (tls.acme.http_address) on TCP port 80 of every address that {names} \
                 has in the DNS"
            ),
        }
    }
}

impl Drop for Challenges {
    fn drop(&mut self) {
        if let Self::TlsAlpn01 { store, names } = self {
            for name in names {
                store.clear_challenge(name);
            }
        }
    }
}
