//! The server that the browsers are told of.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use turnbridge::auth::Secret;
use turnbridge::auth::rest::{RestSecret, Separator};

use crate::authority::Authority;
use crate::home::Home;
use crate::server::{Credential, Server};

const SECRET: &str = "what the server and the test share";

/// A way to the server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Udp,
    UdpOverIpv6,
    Tcp,
    Tls,
    /// To the port that takes both TCP and TLS.
    SharedTcp,
    SharedTls,
}

impl Way {
    /// As browsers call it in the statistics of a relay candidate.
    pub(super) fn relay_protocol(self) -> &'static str {
        match self {
            Self::Udp | Self::UdpOverIpv6 => "udp",
            Self::Tcp | Self::SharedTcp => "tcp",
            Self::Tls | Self::SharedTls => "tls",
        }
    }
}

/// The running server, which relays from both loopback addresses.
pub(super) struct Turn {
    server: Server,
    ip: String,
    authority: PathBuf,
}

impl Turn {
    pub(super) fn start(home: &Home) -> Self {
        Self::start_at(home, "127.0.0.1", &[])
    }

    /// Its IPv4 address is this one; while it drains it sends clients to `alternates`.
    pub(super) fn start_at(home: &Home, ip: &str, alternates: &[String]) -> Self {
        let authority = Authority::new();
        authority.certify(home, &["localhost"]);
        // The log tells of an allocation's beginning at this level.
        let configuration = format!(
            r#"
            [[listener]]
            address = "{ip}:0"
            [[listener]]
            address = "[::1]:0"
            [[listener]]
            address = "{ip}:0"
            transport = "tcp"
            [[listener]]
            address = "{ip}:0"
            transport = "tls"
            [[listener]]
            address = "{ip}:0"
            transport = "auto"
            [[tls.certificate]]
            chain = "chain.pem"
            key = "key.pem"
            [relay]
            addresses = ["{ip}", "::1"]
            [peers]
            allow = ["{ip}"]
            [auth]
            secrets = ["{SECRET}"]
            [drain]
            alternates = {alternates:?}
            [log]
            level = "debug"
            "#
        );
        let configuration = home.file("turnbridge.toml", &configuration);
        let mut command = home.turnbridge(&["--config"]);
        command.arg(configuration);
        let mut server = Server::start(home, command);
        server.hide(SECRET);
        Self { server, ip: ip.to_owned(), authority: authority.trusted(home) }
    }

    /// The certificate that browsers have to trust.
    pub(super) fn authority(&self) -> &Path {
        &self.authority
    }

    pub(super) fn url(&self, way: Way) -> String {
        let stream = |transport| self.server.listeners_over(transport)[0];
        // Firefox takes no address for TLS, only a name.
        let named = |listener: SocketAddr| format!("turns:localhost:{}?transport=tcp", listener.port());
        match way {
            Way::Udp => format!("turn:{}?transport=udp", self.server.at(&self.ip)),
            Way::UdpOverIpv6 => format!("turn:{}?transport=udp", self.server.at("::1")),
            Way::Tcp => format!("turn:{}?transport=tcp", stream("tcp")),
            Way::SharedTcp => format!("turn:{}?transport=tcp", stream("auto")),
            Way::Tls => named(stream("tls")),
            Way::SharedTls => named(stream("auto")),
        }
    }

    /// What another server is told of this one.
    pub(super) fn as_alternates(&self) -> [String; 3] {
        let stream = |transport| self.server.listeners_over(transport)[0];
        [
            format!("udp:{}", self.server.at(&self.ip)),
            format!("tcp:{}", stream("tcp")),
            format!("tls:{}/localhost", stream("tls")),
        ]
    }

    /// From now on it takes no new allocations.
    pub(super) fn drain(&self, home: &Home) {
        assert!(home.turnbridge(&["drain"]).output().unwrap().status.success());
        self.server.wait_for("draining: no new allocations are taken", |_| Some(()));
    }

    /// How many allocations it has made so far.
    pub(super) fn allocations(&self) -> usize {
        self.server.logged("allocation created").len()
    }

    /// Waits for the log line of a TLS handshake that failed.
    #[track_caller]
    pub(super) fn tls_failure(&self) -> Value {
        self.server.wait_for("tls failed", |line| Some(line.clone()))
    }

    /// Waits until all allocations have ended, while their owners live.
    #[track_caller]
    pub(super) fn is_left_clean(&self) {
        let (created, ended) = (self.allocations(), Cell::new(0));
        self.server.wait_for("allocation ended", |line| {
            // Firefox just closes its connection.
            assert!(line["reason"] == "released" || line["reason"] == "disconnected", "{line}");
            ended.set(ended.get() + 1);
            (ended.get() == created).then_some(())
        });
    }
}

/// One that is good for an hour from now.
pub(super) fn good_credential() -> Credential {
    mint(unix_now() + 3600)
}

/// One that was good until an hour ago.
pub(super) fn expired_credential() -> Credential {
    mint(unix_now() - 3600)
}

fn mint(expiry: u64) -> Credential {
    let (username, password) =
        RestSecret::new(&Secret::new(SECRET)).mint("browser", expiry, Separator::default());
    Credential { username, password: password.expose().to_owned() }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
