//! Asks the admin server of a running server, over its Unix socket or over TCP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::home::Home;
use crate::server::Server;

/// Where an admin server listens.
#[derive(Clone)]
pub(crate) enum Door {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) text: String,
}

impl Door {
    /// The socket that a server has by default.
    pub(crate) fn default_of(home: &Home) -> Self {
        Self::Unix(home.path().join("turnbridge/admin.sock"))
    }

    /// The TCP port of a server that was told to have one.
    #[track_caller]
    pub(crate) fn tcp_of(server: &Server) -> Self {
        server
            .wait_for("admin server listening", |line| line["address"].as_str()?.parse().ok().map(Self::Tcp))
    }

    /// The host and port of a TCP door.
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Tcp(address) => *address,
            Self::Unix(path) => panic!("{} is no address", path.display()),
        }
    }

    /// Asks for something: `"GET /v1/status"`, with these header lines.
    #[track_caller]
    pub(crate) fn ask(&self, what: &str, headers: &[&str]) -> Answer {
        self.send(what, headers, "")
    }

    /// The same with a JSON body.
    #[track_caller]
    pub(crate) fn tell(&self, what: &str, headers: &[&str], body: &str) -> Answer {
        self.send(what, &[headers, &["Content-Type: application/json"]].concat(), body)
    }

    #[track_caller]
    pub(crate) fn send(&self, what: &str, headers: &[&str], body: &str) -> Answer {
        let has = |name: &str| headers.iter().any(|header| header.to_lowercase().starts_with(name));
        let mut lines = vec![format!("{what} HTTP/1.1"), "Connection: close".to_owned()];
        if !has("host:") {
            lines.push("Host: localhost".to_owned());
        }
        if !has("content-length:") {
            lines.push(format!("Content-Length: {}", body.len()));
        }
        lines.extend(headers.iter().map(ToString::to_string));
        Answer::parse(&self.raw(format!("{}\r\n\r\n{body}", lines.join("\r\n")).as_bytes()))
    }

    /// Sends these bytes, and reads until the server closes, which it does before it has read too much of them.
    #[track_caller]
    fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        const PATIENCE: Duration = Duration::from_secs(60);
        match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                exchange(stream, bytes)
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                exchange(stream, bytes)
            }
        }
    }
}

fn exchange(mut stream: impl Read + Write, bytes: &[u8]) -> Vec<u8> {
    let sent = stream.write_all(bytes);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    assert!(!answer.is_empty(), "no answer: {sent:?}, {read:?}");
    answer
}

impl Answer {
    #[track_caller]
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, text) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), text: text.to_owned() }
    }

    /// The JSON in it, whose status must be this.
    #[track_caller]
    pub(crate) fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found.to_lowercase() == name).then_some(value.trim())
        })
    }

    /// The sentence of a problem, with its status.
    #[track_caller]
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json(self.status);
        assert_eq!((&problem["status"], &problem["type"]), (&self.status.into(), &"about:blank".into()));
        assert!(problem["title"].is_string());
        (self.status, problem["detail"].as_str().unwrap().to_owned())
    }
}

/// A header with a key.
pub(crate) fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}
