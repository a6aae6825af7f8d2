//! A server with a listener of every kind, and what a test has to know of it.

use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};

use crate::authority::{Authority, BOTH, NAME};
use crate::client::Client;
use crate::home::Home;
use crate::login::Login;
use crate::server::{Credential, Server};
use crate::stream_client::StreamClient;
use crate::wire::{Wire, connect};

pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) authority: Authority,
    /// Gone with the site.
    pub(crate) home: Home,
}

const USER: &str = "alice";
const PASSWORD: &str = "in wonderland";

/// The ways to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Tcp,
    Tls,
    /// Plain, on the port that does both.
    AutoTcp,
    /// TLS, on the port that does both.
    AutoTls,
}

pub(crate) const WAYS: [Way; 4] = [Way::Tcp, Way::Tls, Way::AutoTcp, Way::AutoTls];

impl Way {
    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::AutoTls)
    }

    fn transport(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::AutoTcp | Self::AutoTls => "auto",
        }
    }
}

impl Site {
    /// Starts a server with one worker, so that what a test does happens in the order it does it. `more` is added to
    /// its configuration, which ends in the section `[relay]`.
    #[track_caller]
    pub(crate) fn start(name: &str, more: &str) -> Self {
        Self::start_with(name, |_| String::new(), more)
    }

    /// One whose listeners have more keys, by their transport.
    #[track_caller]
    pub(crate) fn start_with(name: &str, keys: impl Fn(&str) -> String, more: &str) -> Self {
        Self::start_by(name, keys, more, |home, file| home.turnbridge(&["--config", file]))
    }

    /// One that is started in a way of its own.
    #[track_caller]
    pub(crate) fn start_by(
        name: &str,
        keys: impl Fn(&str) -> String,
        more: &str,
        command: impl FnOnce(&Home, &str) -> std::process::Command,
    ) -> Self {
        let home = Home::new(name);
        let authority = Authority::new();
        let (chain, key) = authority.certify(&home, &[NAME]);
        let listeners: String = ["udp", "tcp", "tls", "auto"]
            .map(|transport| {
                let keys = keys(transport);
                format!("[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"{transport}\"\n{keys}\n")
            })
            .concat();
        let file = home.file(
            "turnbridge.toml",
            &format!(
                "[server]\nworkers = 1\n{listeners}[[tls.certificate]]\nchain = {chain:?}\nkey = {key:?}\n\
                 [[auth.user]]\nname = \"{USER}\"\npassword = \"{PASSWORD}\"\n\
                 [log]\nlevel = \"debug\"\n[relay]\naddresses = [\"127.0.0.1\"]\n{more}"
            ),
        );
        let mut server = Server::start(&home, command(&home, file.to_str().unwrap()));
        server.hide(PASSWORD);
        Self { server, authority, home }
    }

    /// Where it listens for this transport.
    pub(crate) fn at(&self, transport: &str) -> SocketAddr {
        self.server.listeners_over(transport)[0]
    }

    pub(crate) fn port(&self, way: Way) -> SocketAddr {
        self.at(way.transport())
    }

    pub(crate) fn credential(&self) -> Credential {
        Credential::plain(USER, PASSWORD)
    }

    /// A client that has connected this way.
    #[track_caller]
    pub(crate) fn client(&self, way: Way) -> StreamClient {
        self.client_on(way, connect(self.port(way)))
    }

    /// One on this connection.
    #[track_caller]
    pub(crate) fn client_on(&self, way: Way, stream: TcpStream) -> StreamClient {
        let wire = if way.is_tls() {
            Wire::tls(stream, self.authority.client(BOTH, &[])).unwrap()
        } else {
            Wire::Tcp(stream)
        };
        StreamClient::new(wire, self.credential())
    }

    pub(crate) fn udp_client(&self) -> Client {
        Client::new(self.at("udp"), self.credential())
    }

    /// A request for later, of somebody who is nobody yet.
    pub(crate) fn login(&self) -> Login {
        Login::new(self.credential())
    }

    /// Returns when the worker has seen all that was sent to it before: it has gone round twice since.
    pub(crate) fn settle(&self) {
        let mut client = self.udp_client();
        client.binding();
        client.binding();
    }

    /// Waits until a connection has ended, and says why it did.
    #[track_caller]
    pub(crate) fn end_of(&self, client: SocketAddr) -> String {
        let client = client.to_string();
        self.server.wait_for("connection ended", |line| {
            (line["client"] == client.as_str()).then(|| line["reason"].as_str().unwrap().to_owned())
        })
    }

    /// Waits until the allocation of this client has ended, and says why it did.
    #[track_caller]
    pub(crate) fn end_of_allocation(&self, client: SocketAddr) -> String {
        let client = client.to_string();
        self.server.wait_for("allocation ended", |line| {
            (line["client"] == client.as_str()).then(|| line["reason"].as_str().unwrap().to_owned())
        })
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.server.process.id())).unwrap()
    }

    /// Files it has open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.server.process.id())).unwrap().count()
    }

    /// Memory it uses, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Processor time it has used, in hundredths of a second.
    pub(crate) fn processor_time(&self) -> u64 {
        let stat = self.proc("stat");
        // Behind the name, which is in parentheses, the fields are counted from the third.
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

/// A peer for allocations to send to, which `[peers]` has to allow.
pub(crate) fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(crate::wire::PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Lets peers be on this host.
pub(crate) const LOCAL_PEERS: &str = "[peers]\nallow = [\"127.0.0.0/8\"]\n";
