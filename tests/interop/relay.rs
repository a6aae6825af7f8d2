//! The server that a client is told of.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::authority::Authority;
use crate::home::Home;
use crate::server::{Credential, Server};

/// A server that clients can reach over one transport only, so that nothing else can have carried what they say.
pub(crate) struct Relay<'a> {
    home: &'a Home,
    pub(crate) server: Server,
    pub(crate) credential: Credential,
    /// The certificate to trust.
    pub(crate) authority: PathBuf,
    over: &'static str,
}

impl<'a> Relay<'a> {
    /// Starts it with a listener on 127.0.0.1 over "udp", "tcp" or "tls". `more` is added to its configuration, which
    /// ends in the section `[relay]`.
    #[track_caller]
    pub(crate) fn over(over: &'static str, home: &'a Home, more: &str) -> Self {
        let authority = Authority::new();
        authority.certify(home, &["127.0.0.1"]);
        let authority = authority.trusted(home);
        let certificate = "[[tls.certificate]]\nchain = \"chain.pem\"\nkey = \"key.pem\"\n";
        let configuration = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"{over}\"\n{}\
             [relay]\naddresses = [\"127.0.0.1\"]\n{more}",
            if over == "tls" { certificate } else { "" }
        );
        let mut command = home.turnbridge(&["--config"]);
        command.arg(home.file("turnbridge.toml", &configuration));
        let server = Server::start(home, command);
        let credential = Credential::minted(&home.secret().unwrap(), "anybody", 3600);
        Self { home, server, credential, authority, over }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.listeners_over(self.over)[0]
    }

    /// As clients are told of it (RFC 7065).
    pub(crate) fn url(&self) -> String {
        let address = self.address();
        match self.over {
            "tls" => format!("turns:{address}?transport=tcp"),
            over => format!("turn:{address}?transport={over}"),
        }
    }

    /// A client that trusts the server's certificate, if it is one of Python's or Node's.
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut command = self.home.command(program);
        command.env("SSL_CERT_FILE", &self.authority).env("NODE_EXTRA_CA_CERTS", &self.authority);
        command
    }

    /// Stops the server, which ends what clients have left open, and asserts that its allocations have carried at least
    /// so many bytes from their clients.
    #[track_caller]
    pub(crate) fn has_carried(&mut self, bytes: u64) {
        self.server.stop();
        let ended = self.server.logged("allocation ended");
        let carried: u64 = ended.iter().map(|line| line["up_bytes"].as_u64().unwrap()).sum();
        assert!(carried >= bytes, "{carried} bytes");
    }
}
