//! What TLS listeners need to shake hands, and what can go wrong.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::ClientHello;

/// One configuration for each thing that a client can be after; which one is told by its ALPN offer. All of them
/// serve certificates from the same place.
#[derive(Clone, Debug)]
pub struct TlsConfigs {
    /// STUN and TURN, by name (RFC 7443).
    pub turn: Arc<ServerConfig>,
    /// STUN and TURN without a name, as browsers come.
    pub bare: Arc<ServerConfig>,
    /// HTTP, where there is somebody to pass it on to.
    pub web: Arc<ServerConfig>,
    /// A certificate authority that looks whether a name is ours (RFC 8737).
    pub acme: Arc<ServerConfig>,
}

/// What a TLS client wants to talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// STUN and TURN.
    Turn,
    /// It does not say, or nothing we know.
    Unnamed,
    /// HTTP.
    Web,
    /// Nothing: it only wants to see a certificate.
    Acme,
}

impl Purpose {
    /// Reads a client's ALPN offer. What is ours goes before what is somebody else's.
    pub fn of(hello: &ClientHello<'_>) -> Self {
        let offers = |names: &[&[u8]]| {
            hello.alpn().is_some_and(|mut offered| offered.any(|offered| names.contains(&offered)))
        };
        if offers(&[b"acme-tls/1"]) {
            Self::Acme
        } else if offers(&[b"stun.turn", b"stun.nat-discovery"]) {
            Self::Turn
        } else if offers(&[b"http/1.1", b"h2"]) {
            Self::Web
        } else {
            Self::Unnamed
        }
    }
}

/// Why a TLS connection failed.
#[derive(Clone, Copy, Debug)]
pub enum TlsFailure<'a> {
    /// One side broke it off; the error names the alert.
    Protocol(&'a rustls::Error),
    /// The client did not finish the handshake in time.
    TimedOut,
    /// The client went away in the middle of the handshake.
    HungUp,
}
