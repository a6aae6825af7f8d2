//! Between the bytes on a connection and the stream of messages: nothing, or TLS.

use std::io::{self, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::server::{AcceptedAlert, Acceptor, ClientHello};
use rustls::{Error, InvalidMessage, ProtocolVersion, ServerConfig, ServerConnection};

use super::caps::CapReached;
use crate::net::outbox::Outbox;
use crate::net::tls::{Foreign, Purpose, TlsConfigs, TlsFailure};
use crate::wire::proxy_protocol::ProxyError;
use crate::wire::stream::{Next, next_frame};

/// How a connection's bytes become a stream.
pub(crate) enum Session {
    /// As they are.
    Plain,
    /// TLS, of which the first message has not arrived.
    Hello(Box<Acceptor>),
    /// TLS.
    Tls(Box<ServerConnection>),
}

/// What came of reading.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Bytes of the stream.
    pub(crate) length: usize,
    /// Nothing more is there at the moment.
    pub(crate) is_drained: bool,
    /// The stream ends behind these bytes.
    pub(crate) end: Option<ReadEnd>,
}

/// Why nothing more will come.
#[derive(Debug)]
pub(crate) enum ReadEnd {
    /// The client has closed its side.
    Closed,
    /// The connection is broken.
    Broken,
    /// TLS failed; an alert for the client waits to be sent.
    Tls(Box<TlsEnd>),
    /// A load balancer has not said whose connection it is.
    Announcement(ProxyError),
    /// A client that a load balancer has named has too many connections.
    Refused(CapReached),
}

/// How TLS failed.
#[derive(Debug)]
pub(crate) struct TlsEnd {
    error: Error,
    /// The name that the client asked for, where it was refused for its first message.
    sni: Option<Box<str>>,
    /// What it talks instead of TLS.
    foreign: Option<Foreign>,
}

impl TlsEnd {
    pub(crate) fn failure(&self) -> TlsFailure<'_> {
        self.foreign.map_or(TlsFailure::Protocol(&self.error), TlsFailure::NotTls)
    }

    pub(crate) fn sni(&self) -> Option<&str> {
        self.sni.as_deref()
    }
}

impl From<Error> for Box<TlsEnd> {
    fn from(error: Error) -> Self {
        Self::new(TlsEnd { error, sni: None, foreign: None })
    }
}

/// Bytes read from a connection in one turn, so that none holds up the others.
pub(crate) const READ_MAX: usize = 32 << 10;
/// What TLS may have kept from earlier reads: less than one record.
const RECORD_MAX: usize = 17 << 10;
/// Room that one turn of reading needs.
pub(crate) const READ_ROOM: usize = READ_MAX + RECORD_MAX;

/// What an outbox holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Whole messages.
    Messages,
    /// Anything.
    Bytes,
}

/// How much is encrypted before it is sent: a send call takes that much, and a connection that takes nothing does not
/// keep more.
const ENCRYPTED_AT_ONCE: usize = 64 << 10;

impl Session {
    pub(crate) fn tls() -> Self {
        Self::Hello(Box::default())
    }

    /// Whether messages can pass.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Hello(_) => false,
            Self::Tls(tls) => !tls.is_handshaking(),
        }
    }

    /// The name that a TLS client asked for.
    pub(crate) fn sni(&self) -> Option<&str> {
        match self {
            Self::Plain | Self::Hello(_) => None,
            Self::Tls(tls) => tls.server_name(),
        }
    }

    /// The version of TLS that was agreed on.
    pub(crate) fn tls_version(&self) -> Option<ProtocolVersion> {
        match self {
            Self::Plain | Self::Hello(_) => None,
            Self::Tls(tls) => tls.protocol_version(),
        }
    }

    /// Whether HTTP is what was agreed on.
    pub(crate) fn is_web(&self) -> bool {
        match self {
            Self::Plain | Self::Hello(_) => false,
            Self::Tls(tls) => matches!(tls.alpn_protocol(), Some(b"http/1.1" | b"h2")),
        }
    }

    /// Whether TLS has something of its own to send: a handshake does, and so do new keys.
    pub(crate) fn wants_write(&self) -> bool {
        match self {
            Self::Plain | Self::Hello(_) => false,
            Self::Tls(tls) => tls.wants_write(),
        }
    }

    /// Reads once from the connection, into `into`, which has [`READ_ROOM`]. `cipher` is memory for what is encrypted.
    pub(crate) fn read(
        &mut self,
        mut socket: &TcpStream,
        greeter: Greeter<'_>,
        cipher: &mut [u8; READ_MAX],
        into: &mut [u8],
    ) -> Reading {
        let is_plain = matches!(self, Self::Plain);
        let space = if is_plain { into.get_mut(..READ_MAX).unwrap_or_default() } else { &mut cipher[..] };
        let asked = space.len();
        let count = loop {
            match socket.read(space) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Reading { length: 0, is_drained: true, end: None };
                }
                Err(_) => return Reading { length: 0, is_drained: true, end: Some(ReadEnd::Broken) },
            }
        };
        let closed = (count == 0).then_some(ReadEnd::Closed);
        let is_drained = count < asked;
        if is_plain || count == 0 {
            return Reading { length: count, is_drained, end: closed };
        }
        match self.decrypt(socket, greeter, cipher.get(..count).unwrap_or_default(), into) {
            Ok((length, is_closed)) => {
                Reading { length, is_drained, end: is_closed.then_some(ReadEnd::Closed) }
            }
            Err((length, end)) => Reading { length, is_drained, end: Some(ReadEnd::Tls(end)) },
        }
    }

    /// Sends what TLS has to say and what waits in the outbox. Whether the connection takes no more at the moment.
    pub(crate) fn write(
        &mut self,
        mut socket: &TcpStream,
        outbox: &mut Outbox,
        contents: Contents,
    ) -> io::Result<bool> {
        loop {
            match self {
                Self::Hello(_) => return Ok(false),
                Self::Plain if outbox.is_empty() => return Ok(false),
                Self::Plain => match take(socket.write(outbox.pending()))? {
                    Some(count) => outbox.advance(count),
                    None => return Ok(true),
                },
                Self::Tls(tls) => {
                    if !tls.wants_write() && !tls.is_handshaking() {
                        encrypt(tls, outbox, contents)?;
                    }
                    if !tls.wants_write() {
                        return Ok(false);
                    }
                    if take(tls.write_tls(&mut socket))?.is_none() {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Tells a TLS client that this was all.
    pub(crate) fn close(&mut self) {
        if let Self::Tls(tls) = self {
            tls.send_close_notify();
        }
    }

    /// Returns how many bytes of the stream came of it, and whether the client has said that these were the last.
    fn decrypt(
        &mut self,
        socket: &TcpStream,
        greeter: Greeter<'_>,
        mut cipher: &[u8],
        into: &mut [u8],
    ) -> Result<(usize, bool), (usize, Box<TlsEnd>)> {
        let mut length = 0;
        if let Self::Hello(acceptor) = self {
            let first = cipher;
            match greeter.accept(socket, acceptor, &mut cipher) {
                Ok(Some(tls)) => *self = Self::Tls(tls),
                Ok(None) => return Ok((0, false)),
                Err(mut end) => {
                    let is_foreign =
                        matches!(end.error, Error::InvalidMessage(InvalidMessage::InvalidContentType));
                    end.foreign = is_foreign.then(|| Foreign::of(first));
                    return Err((0, end));
                }
            }
        }
        let Self::Tls(tls) = self else { return Ok((0, false)) };
        loop {
            let state = tls.process_new_packets().map_err(|error| (length, error.into()))?;
            let mut reader = tls.reader();
            while let Some(free) = into.get_mut(length..).filter(|free| !free.is_empty()) {
                match reader.read(free) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => length += count,
                }
            }
            if state.peer_has_closed() {
                return Ok((length, true));
            }
            if cipher.is_empty() {
                return Ok((length, false));
            }
            // Takes up to 4 KiB at a time; fails only when what it took before was not processed.
            let took = tls.read_tls(&mut cipher).unwrap_or_default();
            if took == 0 {
                return Err((length, Error::General("a record is too long".to_owned()).into()));
            }
        }
    }
}

/// Who TLS clients are met by.
#[derive(Clone, Copy)]
pub(crate) struct Greeter<'c> {
    /// How to go on, by what the client is after.
    pub(crate) configs: Option<&'c TlsConfigs>,
    /// Whether there is somebody to pass HTTP on to.
    pub(crate) has_fallback: bool,
}

impl Greeter<'_> {
    /// For connections that have nobody to meet any more.
    pub(crate) const NOBODY: Self = Self { configs: None, has_fallback: false };

    /// Collects the client's first message; once it is there, chooses by it how to go on.
    fn accept(
        self,
        mut socket: &TcpStream,
        acceptor: &mut Acceptor,
        cipher: &mut &[u8],
    ) -> Result<Option<Box<ServerConnection>>, Box<TlsEnd>> {
        let mut alert = |(error, mut alert): (Error, AcceptedAlert)| -> Box<TlsEnd> {
            // Nothing was sent before it, so there is room for these seven bytes.
            let _ = alert.write_all(&mut socket);
            error.into()
        };
        while !cipher.is_empty() {
            let took = acceptor.read_tls(cipher).unwrap_or_default();
            if took == 0 {
                return Err(Error::General("the first message is too long".to_owned()).into());
            }
            if let Some(accepted) = acceptor.accept().map_err(&mut alert)? {
                let hello = accepted.client_hello();
                let (config, sni) = (self.config(&hello), hello.server_name().map(Into::into));
                let begun = config
                    .map_err(Into::into)
                    .and_then(|config| accepted.into_connection(config).map_err(&mut alert));
                let mut tls = begun.map_err(|end| Box::new(TlsEnd { sni, ..*end }))?;
                // What waits is bounded where it is encrypted.
                tls.set_buffer_limit(None);
                return Ok(Some(Box::new(tls)));
            }
        }
        Ok(None)
    }

    fn config(self, hello: &ClientHello<'_>) -> Result<Arc<ServerConfig>, Error> {
        let configs = self.configs.ok_or_else(|| Error::General("no certificate".to_owned()))?;
        Ok(match Purpose::of(hello) {
            // Refused there, with the alert that says why (RFC 7301 §3.2).
            Purpose::Web if !self.has_fallback => &configs.turn,
            Purpose::Web => &configs.web,
            Purpose::Turn => &configs.turn,
            Purpose::Unnamed => &configs.bare,
            Purpose::Acme => &configs.acme,
        }
        .clone())
    }
}

/// Makes records of what waits, as many as go out in one call. Each message gets a record of its own: coturn's client,
/// for one, takes a record for a message.
fn encrypt(tls: &mut ServerConnection, outbox: &mut Outbox, contents: Contents) -> io::Result<()> {
    let mut encrypted = 0;
    while !outbox.is_empty() && encrypted < ENCRYPTED_AT_ONCE {
        let pending = outbox.pending();
        let piece = match (contents, next_frame(pending)) {
            (Contents::Messages, Ok(Next::Frame(_, behind))) => pending.len() - behind.len(),
            (Contents::Messages, _) | (Contents::Bytes, _) => pending.len().min(ENCRYPTED_AT_ONCE),
        };
        let count = tls.writer().write(pending.get(..piece).unwrap_or(pending))?;
        outbox.advance(count);
        encrypted += count;
    }
    Ok(())
}

/// `None` when the connection takes nothing at the moment.
fn take(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Some(0)),
        Err(error) => Err(error),
    }
}
