//! A real ACME server: Pebble, which looks at each challenge as a public CA does, and a DNS in which all names are
//! this host.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::home::Home;
use crate::process::Process;
use crate::tools::{find, free_ports, skip_for_want_of};

/// The running CA. It keeps nothing: each has roots, accounts and orders of its own.
pub(crate) struct Pebble {
    pub(crate) process: Process,
    dns: Process,
    ports: [u16; 6],
    /// The root that its own server is trusted by, not that of the certificates it issues.
    pub(crate) ca_file: PathBuf,
    port: u16,
    management_port: u16,
    /// Where it looks for HTTP-01 challenges.
    pub(crate) http_port: u16,
    /// Where it looks for TLS-ALPN-01 challenges.
    pub(crate) tls_port: u16,
}

/// What a test wants to be different.
pub(crate) struct Options {
    /// How long its certificates are good for.
    pub(crate) validity_s: u32,
    /// Names it will not certify.
    pub(crate) denied: &'static [&'static str],
    /// A key by which it knows its customers.
    pub(crate) external_account: Option<(&'static str, &'static str)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { validity_s: 90 * 86_400, denied: &[], external_account: None }
    }
}

impl Pebble {
    /// Starts it, if it is installed; if not, that is said.
    pub(crate) fn start(home: &Home, options: &Options) -> Option<Self> {
        for tool in ["pebble", "pebble-challtestsrv"] {
            if find(tool).is_none() {
                skip_for_want_of(tool);
                return None;
            }
        }
        let (_, mut ports) = free_ports(6);
        let mut port = || ports.next().unwrap();
        Some(Self::start_on([port(), port(), port(), port(), port(), port()], home, options))
    }

    /// Another one in its place, which knows nothing of what was.
    pub(crate) fn start_anew(mut self, home: &Home) -> Self {
        self.process.kill();
        self.dns.kill();
        Self::start_on(self.ports, home, &Options::default())
    }

    fn start_on(ports: [u16; 6], home: &Home, options: &Options) -> Self {
        let [port, management_port, http_port, tls_port, dns_port, dns_management_port] = ports;
        let dns_address = format!("127.0.0.1:{dns_port}");
        let mut dns = home.command("pebble-challtestsrv");
        dns.args(["-dns01", &dns_address, "-management", &format!("127.0.0.1:{dns_management_port}")]);
        dns.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
        let dns = Process::start(dns);

        let (ca_file, certificate, key) = make_own_certificate(home);
        let external = options.external_account.map(|(kid, key)| serde_json::json!({ kid: key }));
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management_port}"),
            "certificate": certificate,
            "privateKey": key,
            "httpPort": http_port,
            "tlsPort": tls_port,
            "externalAccountBindingRequired": external.is_some(),
            "externalAccountMACKeys": external.unwrap_or_default(),
            "domainBlocklist": options.denied,
            "certificateValidityPeriod": options.validity_s,
        }});
        let config = home.file("pebble.json", &config.to_string());
        let mut command = home.command("pebble");
        command.args(["-config", config.to_str().unwrap(), "-dnsserver", &dns_address]);
        // Every name has to be proved for every order; and what Pebble does by chance stays away.
        let at_once =
            [("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0"), ("PEBBLE_WFE_NONCEREJECT", "0")];
        command.envs(at_once);
        let process = Process::start(command);
        let pebble = Self { process, dns, ports, ca_file, port, management_port, http_port, tls_port };
        pebble
            .process
            .out
            .wait_for("line that it listens", |line| line.contains("ACME directory available").then_some(()));
        wait_until_it_listens(port);
        wait_until_it_listens(dns_port);
        pebble
    }

    /// What the configuration of the server must say to use it.
    pub(crate) fn acme_section(&self, names: &[&str], challenge: &str) -> String {
        let mut section = "[tls.acme]\nagree_to_terms = true\n".to_owned();
        let (ca_file, port, http) = (self.ca_file.display(), self.port, self.http_port);
        writeln!(section, "names = {names:?}\nchallenge = {challenge:?}").unwrap();
        writeln!(section, "directory = \"https://localhost:{port}/dir\"\nca_file = \"{ca_file}\"").unwrap();
        writeln!(section, "http_address = \"127.0.0.1:{http}\"").unwrap();
        section
    }

    /// How many requests to this path of its API it has had, as its log tells.
    pub(crate) fn requests(&self, path: &str) -> usize {
        let wanted = format!("POST /{path} ->");
        self.process.out.lines().iter().filter(|line| line.contains(&wanted)).count()
    }

    pub(crate) fn orders(&self) -> usize {
        self.requests("order-plz")
    }

    pub(crate) fn accounts(&self) -> usize {
        self.requests("sign-me-up")
    }

    /// The root of the certificates it issues.
    pub(crate) fn root(&self) -> CertificateDer<'static> {
        let own = CertificateDer::from_pem_file(&self.ca_file).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], self.management_port));
        let mut stream = connect(address, "localhost", own, &[]);
        stream.write_all(b"GET /roots/0 HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, pem) = answer.split_once("\r\n\r\n").unwrap();
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }
}

/// A TLS connection to a server of that name, trusting one root.
pub(crate) fn connect(
    address: SocketAddr,
    name: &'static str,
    root: CertificateDer<'static>,
    alpn: &[&str],
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
    StreamOwned::new(connection, TcpStream::connect(address).unwrap())
}

/// Pebble's API is HTTPS: a root, and a certificate of it for localhost with its key.
fn make_own_certificate(home: &Home) -> (PathBuf, PathBuf, PathBuf) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate().unwrap();
    let root = params.self_signed(&root_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let params_of_leaf = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let leaf = params_of_leaf.signed_by(&key, &Issuer::new(params, root_key)).unwrap();
    (
        home.file("pebble-root.pem", &root.pem()),
        home.file("pebble.pem", &leaf.pem()),
        home.file("pebble-key.pem", &key.serialize_pem()),
    )
}

/// What it prints comes a moment before that.
fn wait_until_it_listens(port: u16) {
    for _ in 0..600 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
    panic!("nobody listens on port {port}");
}
