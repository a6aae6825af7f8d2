//! The HTTP server of `metrics.listen`: `/metrics` and `/healthz`, for whoever can reach it.
//!
//! It has a thread of its own, so that no load on the workers starves it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io, thread};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::{Format, Metrics};
use crate::config::address::ListenAddress;
use crate::control::acme;
use crate::net::listener::{ListenError, ListenFailure};
use crate::turn::Transport;

/// Sockets that are open and not served yet.
#[derive(Debug, Default)]
pub(in crate::control) struct Sockets(Vec<TcpListener>);

/// Why there can be no such socket.
#[derive(Debug)]
pub struct MetricsListenError(ListenError);

impl Sockets {
    /// Opens these.
    pub(in crate::control) fn open(addresses: &[ListenAddress]) -> Result<Self, MetricsListenError> {
        let open = |address: &ListenAddress| {
            acme::listen(*address).map(TcpListener::from).map_err(|error| {
                MetricsListenError(ListenError::new(Transport::Tcp, one_of(*address), error))
            })
        };
        addresses.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// Their addresses, which clients must not reach through the relay. A wildcard is each of the host's addresses.
    pub(in crate::control) fn services(&self, host: &[IpAddr]) -> Vec<SocketAddr> {
        let addresses = self.0.iter().filter_map(|listener| listener.local_addr().ok());
        let all = addresses.flat_map(|address| match address.ip().is_unspecified() {
            true => host.iter().map(|ip| SocketAddr::new(*ip, address.port())).collect(),
            false => vec![address],
        });
        all.collect()
    }
}

/// For messages.
fn one_of(address: ListenAddress) -> SocketAddr {
    match address {
        ListenAddress::One(address) => address,
        ListenAddress::All { port } | ListenAddress::AllV6 { port } => ([0; 16], port).into(),
        ListenAddress::AllV4 { port } => ([0; 4], port).into(),
    }
}

impl MetricsListenError {
    /// What is in the way.
    pub fn reason(&self) -> ListenFailure {
        self.0.reason
    }
}

impl fmt::Display for MetricsListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metrics.listen: {}", self.0)
    }
}

impl std::error::Error for MetricsListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// The running server. It stops with its owner.
#[derive(Debug)]
pub(in crate::control) struct MetricsServer {
    /// Dropping it tells the thread to stop.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl MetricsServer {
    /// Serves at these sockets, if there are any.
    pub(in crate::control) fn start(sockets: Sockets, metrics: Arc<Metrics>) -> io::Result<Option<Self>> {
        if sockets.0.is_empty() {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || runtime.block_on(serve(sockets, metrics, stopped));
        let thread = thread::Builder::new().name("metrics".to_owned()).spawn(serve)?;
        Ok(Some(Self { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic of that thread has been reported by itself.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(sockets: Sockets, metrics: Arc<Metrics>, stopped: oneshot::Receiver<()>) {
    let mut accepting = JoinSet::new();
    for socket in sockets.0 {
        match tokio::net::TcpListener::from_std(socket) {
            Ok(listener) => {
                if let Ok(address) = listener.local_addr() {
                    tracing::info!(%address, "metrics served");
                }
                accepting.spawn(accept(listener, metrics.clone()));
            }
            Err(error) => tracing::error!(%error, "metrics cannot be served"),
        }
    }
    // An error says that the owner is gone, which is the word to stop as well. Connections go with the runtime.
    let _ = stopped.await;
}

/// Connections at once, of each socket.
const CONNECTIONS: usize = 64;
/// For the head of a request, and for the next one to come: longer than a scrape interval is usual to be.
const HEAD_PATIENCE: Duration = Duration::from_secs(90);
/// The longest head of a request.
const HEAD_SIZE: usize = 16 << 10;

async fn accept(listener: tokio::net::TcpListener, metrics: Arc<Metrics>) {
    let mut open: VecDeque<JoinHandle<()>> = VecDeque::with_capacity(CONNECTIONS);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                open.retain(|connection| !connection.is_finished());
                // Whoever fills all places must not keep Prometheus out, which comes again by itself.
                if open.len() == CONNECTIONS
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.abort();
                }
                open.push_back(tokio::spawn(converse(stream, metrics.clone())));
            }
            Err(error) => {
                // Too many open files, most likely: trying at once would only burn the processor.
                tracing::debug!(%error, "connection for metrics not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, metrics: Arc<Metrics>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let metrics = metrics.clone();
        async move { Ok::<_, Infallible>(respond(&request, &metrics).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(HEAD_SIZE);
    // What goes wrong on a connection is its client's business, who sees it end.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let is_known = matches!(request.uri().path(), "/metrics" | "/healthz");
    if is_known && !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
            let format = Format::accepted(accept);
            match metrics.scrape(format).await {
                Some(text) => answer(StatusCode::OK, format.content_type(), text),
                None => plain(StatusCode::NOT_FOUND, "switched off: metrics.enabled = false\n".to_owned()),
            }
        }
        "/healthz" => match metrics.silent_workers().await[..] {
            [] => plain(StatusCode::OK, "ok\n".to_owned()),
            [first, ..] => {
                plain(StatusCode::SERVICE_UNAVAILABLE, format!("worker {first} does not answer\n"))
            }
        },
        _ => plain(StatusCode::NOT_FOUND, "there are /metrics and /healthz\n".to_owned()),
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", text)
}

fn answer(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    response
}
