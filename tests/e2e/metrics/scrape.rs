//! What a server tells of itself, read as Prometheus reads it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::server::Server;

/// As Prometheus asks for it.
pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
     text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// An answer over HTTP.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Where a server tells its metrics.
#[track_caller]
pub(crate) fn place(server: &Server) -> SocketAddr {
    server.wait_for("metrics served", |line| line["address"].as_str()?.parse().ok())
}

#[track_caller]
pub(crate) fn get(server: SocketAddr, path: &str, accept: &str) -> Answer {
    ask(server, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"))
}

#[track_caller]
pub(crate) fn ask(server: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(crate::wire::PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// The figures of one scrape, by name and labels.
pub(crate) struct Figures {
    pub(crate) series: BTreeMap<String, f64>,
    /// What each metric is, by its name without an ending.
    pub(crate) kinds: BTreeMap<String, String>,
}

impl Figures {
    #[track_caller]
    pub(crate) fn of(server: SocketAddr) -> Self {
        let answer = get(server, "/metrics", OPEN_METRICS);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.head.contains("content-type: application/openmetrics-text; version=1.0.0"));
        assert!(answer.body.ends_with("# EOF\n"));
        Self::parse(&answer.body)
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut kinds = BTreeMap::new();
        let mut series = BTreeMap::new();
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is there twice");
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let earlier = series.insert(name.to_owned(), value.parse().unwrap());
                assert!(earlier.is_none(), "{name} is there twice");
            }
        }
        Self { series, kinds }
    }

    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> f64 {
        let found = self.series.get(name);
        *found.unwrap_or_else(|| panic!("no {name} in {:#?}", self.series))
    }

    /// Whether some sample has this name, and for each of these labels this value.
    pub(crate) fn has(&self, name: &str, labels: &[(String, String)]) -> bool {
        self.series.keys().any(|series| {
            let (own, rest) = series.split_once('{').unwrap_or((series, ""));
            own == name && labels.iter().all(|(label, value)| rest.contains(&format!("{label}=\"{value}\"")))
        })
    }

    /// Names and labels of all that only grows.
    pub(crate) fn growing(&self) -> impl Iterator<Item = (&String, f64)> {
        let is_growing = |name: &str| {
            let name = name.split('{').next().unwrap();
            ["_total", "_bucket", "_count", "_sum"].iter().any(|ending| name.ends_with(ending))
        };
        self.series.iter().filter(move |(name, _)| is_growing(name)).map(|(name, value)| (name, *value))
    }
}
