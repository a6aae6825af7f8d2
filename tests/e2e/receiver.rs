//! A web server of the test's own, which can be as bad as a test wants it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::authority::Issued;

/// A request, with the names of its headers in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// The connection it came over, counted from 0.
    pub(crate) connection: usize,
}

impl Request {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What it gets.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// This status, with more headers and this body.
    Status(u16, String, String),
    /// These bytes, which need not be HTTP.
    Raw(Vec<u8>),
    /// Nothing, until the connection is closed.
    Silence,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::Status(status, String::new(), String::new())
    }

    pub(crate) fn json(value: &serde_json::Value) -> Self {
        Self::Status(200, "content-type: application/json\r\n".to_owned(), value.to_string())
    }
}

type Answering = dyn Fn(&Request) -> Reply + Send + Sync;

/// It ends with the test's process.
#[derive(Clone)]
pub(crate) struct WebServer {
    pub(crate) address: SocketAddr,
    seen: Arc<(Mutex<Vec<Request>>, Condvar)>,
    answering: Arc<Mutex<Arc<Answering>>>,
}

impl WebServer {
    pub(crate) fn plain(answering: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(answering))
    }

    pub(crate) fn tls(
        issued: &Issued,
        answering: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        Self::start(Some(Arc::new(config)), Arc::new(answering))
    }

    fn start(tls: Option<Arc<ServerConfig>>, answering: Arc<Answering>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            answering: Arc::new(Mutex::new(answering)),
        };
        let shared = server.clone();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (shared, tls, stream) = (shared.clone(), tls.clone(), stream.unwrap());
                thread::spawn(move || match tls {
                    Some(config) => {
                        let connection = ServerConnection::new(config).unwrap();
                        shared.serve(StreamOwned::new(connection, stream), number);
                    }
                    None => shared.serve(stream, number),
                });
            }
        });
        server
    }

    /// Answers like this from now on.
    pub(crate) fn answer(&self, answering: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *self.answering.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(answering);
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what was asked so far makes `wanted` happy.
    #[track_caller]
    pub(crate) fn wait_for<T>(&self, wanted: impl Fn(&[Request]) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = wanted(&seen) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "in vain; there were {} requests", seen.len());
            seen = self.seen.1.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A client that hangs up is no reason to panic.
    fn serve(&self, stream: impl Read + Write, connection: usize) {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read_request(&mut stream, connection) {
            self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
            self.seen.1.notify_all();
            let answering = self.answering.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let bytes = match answering(&request) {
                Reply::Status(status, headers, body) => {
                    let length = body.len();
                    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}")
                        .into_bytes()
                }
                Reply::Raw(bytes) => bytes,
                Reply::Silence => {
                    let _ = stream.read(&mut [0]);
                    return;
                }
            };
            if stream.get_mut().write_all(&bytes).and_then(|()| stream.get_mut().flush()).is_err() {
                return;
            }
        }
    }
}

fn read_request(stream: &mut impl BufRead, connection: usize) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length: &String| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body, connection })
}

/// A port that nobody listens on.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
