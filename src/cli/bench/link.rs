//! A client's way to its server: a UDP socket, or a connection with or without TLS, on which frames are messages again.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

use rustls::ClientConnection;

use super::io::{Inbox, Sender, is_full};
use crate::wire::stream::{Next, next_frame};

/// What a client speaks through.
pub(super) enum Link {
    /// Connected to the server.
    Udp(UdpSocket),
    Stream(Box<Stream>),
}

/// A connection. Bytes of one are never lost, so what the kernel does not take is kept and goes first the next time.
pub(super) struct Stream {
    socket: TcpStream,
    tls: Option<ClientConnection>,
    /// Without TLS, which keeps them itself: bytes that the kernel has not taken.
    unsent: Vec<u8>,
    /// The beginning of a frame.
    begun: Vec<u8>,
}

/// Memory that links share to receive and to send.
pub(super) struct Desk {
    pub(super) inbox: Inbox,
    pub(super) sender: Sender,
    scratch: Box<[u8]>,
}

impl Desk {
    /// `joined` is [`Inbox::new`]'s.
    pub(super) fn new(joined: bool) -> Self {
        Self { inbox: Inbox::new(joined), sender: Sender::new(), scratch: vec![0; SCRATCH].into() }
    }
}

impl Link {
    /// A new connection, which need not be established yet.
    pub(super) fn stream(socket: TcpStream, tls: Option<ClientConnection>) -> Self {
        Self::Stream(Box::new(Stream { socket, tls, unsent: Vec::new(), begun: Vec::new() }))
    }

    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Sends one message, or several frames of `segment` bytes. [`is_full`] tells of an error that nothing was sent.
    pub(super) fn send(
        &mut self,
        server: SocketAddr,
        desk: &mut Desk,
        bytes: &[u8],
        segment: usize,
    ) -> io::Result<()> {
        match self {
            // A connected socket knows the way; naming the server would have the kernel look it up again.
            Self::Udp(socket) if segment >= bytes.len() => socket.send(bytes).map(drop),
            Self::Udp(socket) => {
                desk.sender.send(socket, server, bytes, segment.try_into().unwrap_or(u16::MAX))
            }
            Self::Stream(stream) => stream.post(bytes).and_then(|()| stream.flush().map(drop)),
        }
    }

    /// The same, but what has to be encrypted is left to [`Self::flush`], so that the messages of many clients can go
    /// out one right after the other, as the server can serve them.
    pub(super) fn post(
        &mut self,
        server: SocketAddr,
        desk: &mut Desk,
        bytes: &[u8],
        segment: usize,
    ) -> io::Result<()> {
        match self {
            Self::Udp(_) => self.send(server, desk, bytes, segment),
            Self::Stream(stream) => stream.post(bytes),
        }
    }

    /// Sends what was kept from earlier.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Udp(_) => Ok(()),
            Self::Stream(stream) => stream.flush().map(drop),
        }
    }

    /// Hands all messages that wait to `each`, without their padding.
    pub(super) fn receive(&mut self, desk: &mut Desk, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        match self {
            Self::Udp(socket) => desk.inbox.empty(socket, |_, datagram| each(datagram)),
            Self::Stream(stream) => stream.receive(&mut desk.scratch, each),
        }
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Udp(socket) => socket.as_raw_fd(),
            Self::Stream(stream) => stream.socket.as_raw_fd(),
        }
    }
}

impl Stream {
    fn post(&mut self, bytes: &[u8]) -> io::Result<()> {
        // During a handshake TLS has things to send that are not messages; these may go behind.
        let is_open = self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking());
        if !self.flush()? && is_open {
            return Err(ErrorKind::WouldBlock.into());
        }
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes)?,
            None if !self.unsent.is_empty() => self.unsent.extend_from_slice(bytes),
            None => {
                let taken = taken(self.socket.write(bytes))?;
                self.unsent.extend_from_slice(&bytes[taken..]);
            }
        }
        Ok(())
    }

    /// Says whether all is sent.
    fn flush(&mut self) -> io::Result<bool> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                if taken(tls.write_tls(&mut self.socket))? == 0 {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        while !self.unsent.is_empty() {
            match taken(self.socket.write(&self.unsent))? {
                0 => return Ok(false),
                taken => drop(self.unsent.drain(..taken)),
            }
        }
        Ok(true)
    }

    fn receive(&mut self, scratch: &mut [u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let (cipher, clear) = scratch.split_at_mut(SCRATCH / 2);
        loop {
            let read = match self.socket.read(cipher) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if is_full(&error) => return Ok(()),
                Err(error) => return Err(error),
            };
            match &mut self.tls {
                None => frames(&mut self.begun, &cipher[..read], &mut each)?,
                Some(tls) => {
                    decrypt(tls, &cipher[..read], clear, |bytes| frames(&mut self.begun, bytes, &mut each))?;
                }
            }
            // Whatever has arrived since will be announced, or found in the next round.
            if read < cipher.len() {
                return if self.tls.is_some() { self.flush().map(drop) } else { Ok(()) };
            }
        }
    }
}

impl Drop for Stream {
    /// Says farewell as clients do. If it cannot be sent, the server learns of the end all the same.
    fn drop(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = self.flush();
        }
    }
}

/// Hands what was received to TLS, and what TLS makes of it to `each`.
fn decrypt(
    tls: &mut ClientConnection,
    mut cipher: &[u8],
    clear: &mut [u8],
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    while !cipher.is_empty() {
        tls.read_tls(&mut cipher)?;
        let state =
            tls.process_new_packets().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let mut left = state.plaintext_bytes_to_read();
        while left > 0 {
            let count = tls.reader().read(clear)?;
            each(&clear[..count])?;
            left -= count;
        }
        if state.peer_has_closed() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Hands the frames in `begun` and `bytes` to `each` and leaves the beginning of the next in `begun`.
fn frames(begun: &mut Vec<u8>, bytes: &[u8], each: &mut impl FnMut(&[u8])) -> io::Result<()> {
    if begun.is_empty() {
        let rest = whole_frames(bytes, each)?;
        begun.extend_from_slice(rest);
    } else {
        begun.extend_from_slice(bytes);
        let rest = whole_frames(begun, each)?.len();
        begun.drain(..begun.len() - rest);
    }
    Ok(())
}

/// Returns what is behind the last whole frame.
fn whole_frames<'a>(mut bytes: &'a [u8], each: &mut impl FnMut(&[u8])) -> io::Result<&'a [u8]> {
    loop {
        match next_frame(bytes) {
            Ok(Next::Frame(frame, rest)) => {
                each(frame);
                bytes = rest;
            }
            Ok(Next::Part(_)) => return Ok(bytes),
            Err(garbage) => {
                let text = format!("the server sent what is neither STUN nor ChannelData: {garbage:?}");
                return Err(io::Error::new(ErrorKind::InvalidData, text));
            }
        }
    }
}

/// How much the kernel took. A socket that is not connected yet takes as little as a full one.
fn taken(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if is_full(&error) => Ok(0),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(0),
        result => result,
    }
}

/// Half for what comes from the connection, half for what TLS makes of it.
const SCRATCH: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ChannelNumber, channel_head};

    #[test]
    fn frames_are_whole_wherever_reads_end() {
        let mut stream = Vec::new();
        for number in 0..5_u8 {
            stream.extend(channel_head(ChannelNumber::FIRST, 6));
            stream.extend([number; 6]);
            stream.extend([0; 2]);
        }
        for piece in 1..=stream.len() {
            let (mut begun, mut seen) = (Vec::new(), Vec::new());
            for bytes in stream.chunks(piece) {
                frames(&mut begun, bytes, &mut |frame| seen.push(frame[4..].to_vec())).unwrap();
            }
            assert_eq!(seen, (0..5).map(|number| vec![number; 6]).collect::<Vec<_>>(), "reads of {piece}");
            assert!(begun.is_empty());
        }
        let alert = [0x15, 3, 3, 0, 2, 2, 40];
        assert!(
            frames(&mut Vec::new(), &alert, &mut |_| {}).is_err(),
            "what a TLS server says to who does not"
        );
    }
}
