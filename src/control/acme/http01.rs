//! HTTP-01 (RFC 8555 §8.3): the CA fetches a file over plain HTTP from port 80 of the name it is to certify.
//!
//! The port is open only while an order is under way, so that for the rest of the months nobody can knock at it and
//! others on the host may have it.

use crate::config::address::ListenAddress;
use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What the CA must find, by the token it asks for.
type Answers = Arc<Mutex<HashMap<String, String>>>;

/// The open port. It closes with its owner.
pub(super) struct Responder {
    answers: Answers,
    accepting: JoinHandle<()>,
}

impl Responder {
    /// Opens the port. Must be called on a runtime, which then serves it.
    pub(super) fn open(address: ListenAddress) -> io::Result<Self> {
        let listener = TcpListener::from_std(listen(address)?.into())?;
        let answers = Answers::default();
        let accepting = tokio::spawn(accept(listener, answers.clone()));
        Ok(Self { answers, accepting })
    }

    /// From now on who asks for `token` gets `key_authorization`.
    pub(super) fn answer(&self, token: &str, key_authorization: &str) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(token.to_owned(), key_authorization.to_owned());
    }

    /// Closes the port, and returns when it is closed.
    pub(super) async fn close(&mut self) {
        self.accepting.abort();
        // That it was aborted is what is waited for.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // The connections go with the task that holds them.
        self.accepting.abort();
    }
}

/// Opens the listening socket, without serving it yet.
pub(in crate::control) fn listen(address: ListenAddress) -> io::Result<socket2::Socket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let all_v6 = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let all_v4 = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let (address, only_v6) = match address {
        // A host can be without IPv6.
        ListenAddress::All { port } => match Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)) {
            Ok(_) => (all_v6(port), false),
            Err(_) => (all_v4(port), false),
        },
        ListenAddress::AllV4 { port } => (all_v4(port), false),
        ListenAddress::AllV6 { port } => (all_v6(port), true),
        ListenAddress::One(address) => (address, true),
    };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    // Connections of the order before may still linger.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

const BACKLOG: i32 = 64;
/// Connections at once. A CA makes a handful, all of them short.
const MAX_CONNECTIONS: usize = 64;
/// For a whole connection.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// A request of a CA has some hundred bytes.
const MAX_HEAD: usize = 4096;

async fn accept(listener: TcpListener, answers: Answers) {
    let mut open: VecDeque<Connection> = VecDeque::with_capacity(MAX_CONNECTIONS);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                open.retain(|connection| !connection.0.is_finished());
                // The oldest goes, because a CA is quick and who fills the place is not.
                if open.len() == MAX_CONNECTIONS {
                    open.pop_front();
                }
                open.push_back(Connection(tokio::spawn(serve(stream, answers.clone()))));
            }
            Err(error) => {
                // Too many open files, most likely: trying at once would only burn the processor.
                tracing::debug!(%error, "http-01 connection not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A connection that ends with its owner.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(mut stream: TcpStream, answers: Answers) {
    let whole = async {
        let head = read_head(&mut stream).await?;
        let answer = {
            let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            respond(&head, &answers)
        };
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    // Who is slow or cuts the line gets nothing, and there is nobody to tell.
    let _ = tokio::time::timeout(TIME_LIMIT, whole).await;
}

/// All up to the empty line. What is behind it is nobody's business.
async fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(MAX_HEAD);
    while head.len() < MAX_HEAD {
        let mut part = [0; 1024];
        let length = stream.read(&mut part).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&part[..length]);
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(head);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

fn respond(head: &[u8], answers: &HashMap<String, String>) -> String {
    match requested_token(head).and_then(|token| answers.get(token)) {
        // RFC 8555 §8.3 wants the key authorization as it is, and recommends this type.
        Some(answer) => format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
            answer.len()
        ),
        None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
    }
}

fn requested_token(head: &[u8]) -> Option<&str> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (method, path, version) = (words.next()?, words.next()?, words.next()?);
    let is_get = method == "GET" && version.starts_with("HTTP/1.") && words.next().is_none();
    path.strip_prefix("/.well-known/acme-challenge/").filter(|_| is_get)
}

#[cfg(test)]
mod tests;
