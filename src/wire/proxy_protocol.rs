//! The PROXY protocol of HAProxy, versions 1 and 2: what a load balancer says in front of a connection's first byte,
//! so that the server behind it sees whose connection it is.

mod binary;
mod line;

use std::net::SocketAddr;

/// More bytes than this are no header. The specification ends version 1 at 107 and lets version 2 announce 64 KiB;
/// with all registered fields but certificates it has a few hundred.
pub const HEADER_MAX: usize = 4096;

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The bytes may become a header, and are none yet.
    NeedMore,
    /// The header is whole; what is behind it belongs to the connection.
    Header(ProxyHeader),
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Both ends of the connection that the load balancer has accepted. Without any, the addresses of the connection
    /// itself count: the load balancer speaks for itself (a health check), or cannot tell.
    pub ends: Option<Ends>,
    /// The bytes the header takes.
    pub length: usize,
}

/// The addresses in a header. An IPv4 address in IPv6 clothes, as sockets for both versions have, is an IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// Where it has connected to.
    pub destination: SocketAddr,
}

/// Why bytes are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// They do not begin like one: the connection does not come through a load balancer that sends headers.
    NotAHeader,
    /// It does not end where every header has ended.
    TooLong,
    /// A version, command, family or transport that is not defined, and must be refused.
    Undefined,
    /// An address or a port is none.
    BadAddress,
    /// It announces fewer bytes than what it says it has.
    TooShort,
    /// Its checksum is another.
    BadChecksum,
}

impl ProxyError {
    /// In words.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotAHeader => "there is none",
            Self::TooLong => "it is too long",
            Self::Undefined => "its version, command or family is not defined",
            Self::BadAddress => "an address in it is none",
            Self::TooShort => "it is shorter than what it has",
            Self::BadChecksum => "its checksum is wrong",
        }
    }
}

/// Reads a header from the first bytes of a connection.
///
/// It is asked again with all bytes so far whenever more have come. The verdict does not depend on how they come, and
/// once it is not [`Parsed::NeedMore`] it stays the same, whatever follows.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    match bytes.first() {
        None => Ok(Parsed::NeedMore),
        Some(b'P') => line::parse(bytes),
        Some(_) => binary::parse(bytes),
    }
}

/// Whether the bytes begin with the mark; `false` when they end within it.
fn begins_with(bytes: &[u8], mark: &[u8]) -> Result<bool, ProxyError> {
    let seen = bytes.len().min(mark.len());
    if bytes[..seen] != mark[..seen] {
        return Err(ProxyError::NotAHeader);
    }
    Ok(seen == mark.len())
}

impl Ends {
    fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Self { source: plain(source), destination: plain(destination) }
    }
}
