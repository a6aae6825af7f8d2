//! Connections to the admin server: how many, how long, and what of HTTP they may use.

use super::Office;
use super::caller::{Acquaintance, Line};
use super::door::{Door, Doors};
use super::router::router;
use super::socket_file::SocketFile;
use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::pin::pin;
use std::{io, sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tower_service::Service;

/// Connections at once, of each socket: a crowd at the TCP port does not keep the operator from the Unix socket.
const CONNECTIONS: usize = 128;
/// For the head of a request, and for the next one to come.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// The longest head of a request, which hyper answers with 431 beyond this.
const HEAD_SIZE: usize = 16 << 10;
/// After this long a connection is closed behind the answer that is under way.
const AGE: Duration = Duration::from_secs(600);
/// How long that answer may take then.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// How long answers that are under way may take when the server stops: whoever asked for that wants to hear of it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves until `stopped`.
pub(super) async fn serve(doors: Doors, office: Arc<Office>, stopped: oneshot::Receiver<()>) {
    let router = router(office);
    let mut accepting = JoinSet::new();
    let (close, closing) = watch::channel(());
    let mut files: Vec<SocketFile> = Vec::new();
    for door in doors.doors {
        let name = door.to_string();
        let opened = match door {
            Door::Tcp(listener) => TcpListener::from_std(listener).map(Listener::Tcp),
            Door::Unix(listener, file) => {
                files.push(file);
                UnixListener::from_std(listener).map(Listener::Unix)
            }
        };
        match opened {
            Ok(listener) => {
                tracing::info!(address = name, "admin server listening");
                accepting.spawn(accept(listener, router.clone(), closing.clone()));
            }
            Err(error) => tracing::error!(address = name, %error, "admin server cannot listen"),
        }
    }
    // An error says that the owner is gone, which is the word to stop as well.
    let _ = stopped.await;
    drop((close, closing));
    let finish = async { while accepting.join_next().await.is_some() {} };
    // What is not finished then goes with its task.
    let _ = tokio::time::timeout(LAST_WORDS, finish).await;
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Until all that could say something else is gone, whose word it is to close.
type Closing = watch::Receiver<()>;

async fn accept(listener: Listener, router: Router, mut closing: Closing) {
    let mut connections = JoinSet::new();
    let theirs = closing.clone();
    tokio::select! {
        _ = closing.changed() => {}
        () = accept_all(&listener, &router, &theirs, &mut connections) => {}
    }
    while connections.join_next().await.is_some() {}
}

async fn accept_all(listener: &Listener, router: &Router, closing: &Closing, connections: &mut JoinSet<()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut guests = Guests::default();
    loop {
        let accepted = match listener {
            Listener::Unix(listener) => {
                listener.accept().await.map(|(stream, _)| (Stream::Unix(stream), Line::Unix))
            }
            Listener::Tcp(listener) => listener.accept().await.and_then(|(stream, from)| {
                let to = stream.local_addr()?.ip().to_canonical();
                Ok((Stream::Tcp(stream), Line::Tcp { from: from.ip().to_canonical(), to }))
            }),
        };
        let (stream, line) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        if places.available_permits() == 0 {
            guests.dismiss_a_stranger();
        }
        // The semaphore is never closed. Where all have shown a key, the next one waits.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let visit = Visit { line, acquaintance: Acquaintance::default(), _place: place };
        let acquaintance = visit.acquaintance.clone();
        let (router, closing) = (router.clone(), closing.clone());
        let task = match stream {
            Stream::Unix(stream) => connections.spawn(converse(stream, visit, router, closing)),
            Stream::Tcp(stream) => connections.spawn(converse(stream, visit, router, closing)),
        };
        guests.admit(task, acquaintance);
    }
}

/// Open connections, the oldest first.
#[derive(Default)]
struct Guests(VecDeque<(AbortHandle, Acquaintance)>);

impl Guests {
    fn admit(&mut self, task: AbortHandle, acquaintance: Acquaintance) {
        if self.0.len() >= 2 * CONNECTIONS {
            self.0.retain(|(task, _)| !task.is_finished());
        }
        self.0.push_back((task, acquaintance));
    }

    /// Ends the oldest connection without a key, so that a crowd of them keeps out nobody who has one.
    fn dismiss_a_stranger(&mut self) {
        self.0.retain(|(task, _)| !task.is_finished());
        let stranger = self.0.iter().position(|(_, acquaintance)| !acquaintance.is_made());
        if let Some((task, _)) = stranger.and_then(|place| self.0.remove(place)) {
            task.abort();
        }
    }
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// What lasts as long as a connection.
struct Visit {
    line: Line,
    acquaintance: Acquaintance,
    _place: OwnedSemaphorePermit,
}

/// Too many open files, most likely: trying at once would only burn the processor.
async fn pause_after(error: &io::Error) {
    tracing::debug!(%error, "admin connection not accepted");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    visit: Visit,
    router: Router,
    mut closing: Closing,
) {
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(visit.line);
        request.extensions_mut().insert(visit.acquaintance.clone());
        router.clone().call(request.map(Body::new))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(HEAD_SIZE);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // What goes wrong on a connection is its client's business, who sees it end.
        _ = connection.as_mut() => return,
        _ = closing.changed() => {}
        () = tokio::time::sleep(AGE) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_ANSWER, connection).await;
}
