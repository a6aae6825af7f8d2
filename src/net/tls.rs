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

/// What somebody talks who does not talk TLS, by the first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// STUN or TURN without TLS.
    Stun,
    /// HTTP without TLS.
    Http,
    /// A load balancer's header, from one that is not known as one.
    Proxy,
    /// Anything else.
    Unknown,
}

impl Foreign {
    /// Tells by the beginning of a stream that is not TLS.
    pub fn of(bytes: &[u8]) -> Self {
        let begins_with = |words: &[&[u8]]| words.iter().any(|word| bytes.starts_with(word));
        if begins_with(&[b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"]) {
            Self::Proxy
        } else if begins_with(&[
            b"GET ",
            b"HEAD ",
            b"POST ",
            b"PUT ",
            b"OPTIONS ",
            b"CONNECT ",
            b"PRI * HTTP/2",
        ]) {
            Self::Http
        } else if matches!(bytes, [0..=3, ..]) {
            Self::Stun
        } else {
            Self::Unknown
        }
    }
}

/// Why a TLS connection failed.
#[derive(Clone, Copy, Debug)]
pub enum TlsFailure<'a> {
    /// One side broke it off; the error names the alert.
    Protocol(&'a rustls::Error),
    /// The client talks something else.
    NotTls(Foreign),
    /// The client did not finish the handshake in time.
    TimedOut,
    /// The client went away in the middle of the handshake.
    HungUp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_tls_is_told_by_its_first_bytes() {
        let cases: [(&[u8], Foreign); 7] = [
            (&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42], Foreign::Stun),
            (b"GET / HTTP/1.1\r\n", Foreign::Http),
            (b"PRI * HTTP/2.0\r\n", Foreign::Http),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", Foreign::Proxy),
            (b"\r\n\r\n\0\r\nQUIT\n\x21", Foreign::Proxy),
            (b"SSH-2.0-x\r\n", Foreign::Unknown),
            (b"", Foreign::Unknown),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Foreign::of(bytes), expected, "{bytes:?}");
        }
    }
}
