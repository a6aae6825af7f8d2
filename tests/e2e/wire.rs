//! A connection to the server, plain or with TLS, that a test may use as badly as it likes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

/// Longer than anything takes that is going to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) enum Wire {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// How the other side has ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It has said so: by TLS, or by TCP where there is no TLS.
    Closed,
    /// By TCP, without a word in TLS.
    CutOff,
    /// By a reset.
    Reset,
}

/// A plain connection.
pub(crate) fn connect(server: SocketAddr) -> TcpStream {
    let any = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    connect_from(any.parse().unwrap(), server)
}

/// A plain connection from this address.
pub(crate) fn connect_from(source: SocketAddr, server: SocketAddr) -> TcpStream {
    connect_with(source, server, None).unwrap()
}

/// A plain connection on which the kernel takes no more than it must of what is not read.
pub(crate) fn connect_narrow(server: SocketAddr) -> TcpStream {
    connect_with("127.0.0.1:0".parse().unwrap(), server, Some(4096)).unwrap()
}

fn connect_with(source: SocketAddr, server: SocketAddr, window: Option<usize>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    if let Some(window) = window {
        socket.set_recv_buffer_size(window)?;
    }
    // Two connections may have one address, as long as they lead to different ones.
    socket.set_reuse_address(true)?;
    socket.bind(&source.into())?;
    socket.connect_timeout(&server.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

impl Wire {
    /// Shakes hands.
    pub(crate) fn tls(mut stream: TcpStream, mut client: ClientConnection) -> io::Result<Self> {
        while client.is_handshaking() {
            client.complete_io(&mut stream)?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(client, stream))))
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(tls) => &tls.sock,
        }
    }

    /// Sends bytes in a segment of their own, in a TLS record of their own.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Tls(tls) => {
                tls.write_all(bytes)?;
                tls.flush()
            }
        }
    }

    /// Reads what comes next; how it ended if nothing more comes.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Ending> {
        let read = match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        };
        match read {
            Ok(0) => Err(Ending::Closed),
            Ok(count) => Ok(count),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Ending::CutOff),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(Ending::Reset),
            Err(error) => panic!("the server is silent: {error}"),
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) {
        if let Self::Tls(tls) = self {
            tls.conn.send_close_notify();
            tls.flush().unwrap();
        }
        self.stream().shutdown(Shutdown::Write).unwrap();
    }
}
