//! The HTTP server of `metrics.listen`: `/metrics` and `/healthz`, for whoever can reach it.
//!
//! It has a thread of its own, so that no load on the workers starves it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::Metrics;
use super::page::respond;
use super::sockets::Sockets;

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
        match TcpListener::from_std(socket) {
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

async fn accept(listener: TcpListener, metrics: Arc<Metrics>) {
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
