//! Asks a running server, over its Unix socket or over TCP.

use super::target::Target;
use crate::auth::Secret;
use crate::cli::exit::{Exit, Failure};
use axum::body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

pub(in crate::cli) use hyper::Method;

/// The way to a server.
pub(in crate::cli) struct Client {
    targets: Vec<Target>,
    key: Option<Secret>,
}

/// For a whole answer. A drain or a reload is answered when it has begun, or is done.
const PATIENCE: Duration = Duration::from_secs(30);
/// A thousand sessions are half a megabyte.
const LARGEST_ANSWER: usize = 64 << 20;

impl Client {
    pub(super) fn new(targets: Vec<Target>, key: Option<Secret>) -> Self {
        Self { targets, key }
    }

    /// The JSON that is answered to a request; null where there is none.
    pub(in crate::cli) fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answered = runtime.block_on(async {
            let exchange = async {
                let (target, line) = self.connect().await?;
                let request = self.request(target, method, path, query, body)?;
                exchange(line, request).await
            };
            tokio::time::timeout(PATIENCE, exchange).await
        });
        let late = |_| failed(format!("the server has not answered within {} s", PATIENCE.as_secs()));
        answered.map_err(late)?
    }

    async fn connect(&self) -> Result<(&Target, Line), Failure> {
        let mut tried = Vec::with_capacity(self.targets.len());
        let mut is_forbidden = false;
        for target in &self.targets {
            let connected = match target {
                Target::Unix(path) => UnixStream::connect(path).await.map(Line::Unix),
                Target::Tcp(host) => TcpStream::connect(host.as_str()).await.map(Line::Tcp),
            };
            match connected {
                Ok(line) => return Ok((target, line)),
                Err(error) => {
                    is_forbidden |= error.kind() == ErrorKind::PermissionDenied;
                    tried.push(format!("\n  {target}: {}", in_words(&error)));
                }
            }
        }
        let hint = match is_forbidden {
            true => "the socket is for the server's own user and root; try sudo",
            false => "is the server running? --config, --state-dir or --admin say where its socket is",
        };
        let exit = if is_forbidden { Exit::NoPermission } else { Exit::Failed };
        Err(Failure::new(exit, format!("no server can be reached:{}\n  {hint}", tried.concat())))
    }

    fn request(
        &self,
        target: &Target,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Request<Body>, Failure> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let host = match target {
            Target::Unix(_) => "localhost",
            Target::Tcp(host) => host,
        };
        let mut request = Request::builder().method(method).uri(uri).header(HOST, host);
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {}", key.expose()));
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        // Its text could have the key in it.
        request.body(body).map_err(|_| failed("the key cannot be sent: it is no line of visible characters"))
    }
}

/// Something as a part of a path.
pub(in crate::cli) fn path_segment(text: &str) -> String {
    let safe = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let encode = |byte: u8| match safe(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    // A dot alone would be taken for this or the upper directory.
    match text {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        text => text.bytes().map(encode).collect(),
    }
}

enum Line {
    Unix(UnixStream),
    Tcp(TcpStream),
}

async fn exchange(line: Line, request: Request<Body>) -> Result<Value, Failure> {
    match line {
        Line::Unix(stream) => exchange_over(stream, request).await,
        Line::Tcp(stream) => exchange_over(stream, request).await,
    }
}

async fn exchange_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Body>,
) -> Result<Value, Failure> {
    let broken =
        |error: hyper::Error| failed(format!("the server does not answer as an admin server does: {error}"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with the runtime; what goes wrong with it is seen by the request.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
    let body = body.map_err(|error| failed(format!("the answer ends too early: {error}")))?.to_bytes();
    let answer = match body.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&body).map_err(|_| {
            failed(format!(
                "this is no admin server of ours: it answers {status} with something else than JSON"
            ))
        })?,
    };
    match (status.is_success(), answer["detail"].as_str()) {
        (true, _) => Ok(answer),
        (false, Some(detail)) => Err(failed(detail)),
        (false, None) => Err(failed(format!("the server answers {status}"))),
    }
}

fn failed(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, message)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open, and the rest is told by the system")]
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such socket".to_owned(),
        ErrorKind::ConnectionRefused => "nobody answers there".to_owned(),
        ErrorKind::PermissionDenied => "no permission".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment_of_a_path() {
        let cases = [
            ("1760000000:alice", "1760000000%3Aalice"),
            ("a/b?c#d", "a%2Fb%3Fc%23d"),
            ("سارة", "%D8%B3%D8%A7%D8%B1%D8%A9"),
            ("..", "%2E%2E"),
            ("a.b", "a.b"),
        ];
        for (name, expected) in cases {
            assert_eq!(path_segment(name), expected);
        }
    }
}
