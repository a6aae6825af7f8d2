//! What clients get to see.

use super::pki::{Authority, Directory};
use crate::{
    config::choice::TlsVersion,
    control::certs::{
        CertStore, Certificate,
        choice::{Choice, Wish},
        load::load,
    },
};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    sign::CertifiedKey,
};
use std::{collections::HashMap, io, sync::Arc};

/// A store with one certificate for each list of names, and who issued them.
struct Rig {
    directory: Directory,
    root: Authority,
    store: Arc<CertStore>,
}

impl Rig {
    fn new(name: &str, certificates: &[&[&str]]) -> Self {
        let rig = Self {
            directory: Directory::new(name),
            root: Authority::root("Root"),
            store: CertStore::new(TlsVersion::Tls12).unwrap(),
        };
        rig.install(certificates);
        rig
    }

    fn install(&self, certificates: &[&[&str]]) {
        let made: Vec<_> = certificates.iter().map(|names| self.make(names)).collect();
        self.store.install_files(&made);
    }

    fn make(&self, names: &[&str]) -> Arc<Certificate> {
        let made = self.root.issue(names);
        Arc::new(load(&self.directory.pair(&[&made.certificate], &made.key)).unwrap().0)
    }

    fn client_roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.root.pem.as_bytes()).unwrap()).unwrap();
        roots
    }

    fn client(&self) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.client_roots())
            .with_no_client_auth()
    }
}

/// Both ends of a connection whose handshake is done.
struct Connected {
    client: ClientConnection,
    server: ServerConnection,
}

fn connect(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> Result<Connected, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.clone(), name)?;
    let mut server = ServerConnection::new(server.clone())?;
    // More rounds than any handshake has.
    for _ in 0..8 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        pass(&bytes, |from| server.read_tls(from))?;
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        pass(&bytes, |from| client.read_tls(from))?;
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(Connected { client, server })
}

fn pass(
    mut bytes: &[u8],
    mut read: impl FnMut(&mut dyn io::Read) -> io::Result<usize>,
) -> Result<(), rustls::Error> {
    while !bytes.is_empty() {
        read(&mut bytes).unwrap();
    }
    Ok(())
}

/// The certificate that a client sees who asks for `name`, without a look at its name.
fn seen(rig: &Rig, name: Option<&str>) -> Vec<String> {
    let choice = Choice::new(rig.store.served.current().all().to_vec());
    let wish = Wish {
        name,
        schemes: &[SignatureScheme::ECDSA_NISTP256_SHA256],
        suites: &[CipherSuite::TLS13_AES_128_GCM_SHA256],
    };
    choice.choose(&wish).map(|certificate| certificate.status().names).unwrap_or_default()
}

#[test]
fn a_client_gets_the_certificate_of_the_name_it_asks_for() {
    let rig = Rig::new(
        "sni",
        &[&["first.example.org"], &["*.example.org"], &["turn.example.org", "x.example.net"]],
    );
    let cases = [
        (Some("first.example.org"), "first.example.org"),
        (Some("FIRST.example.org"), "first.example.org"),
        (Some("turn.example.org"), "turn.example.org"),
        (Some("x.example.net"), "turn.example.org"),
        (Some("other.example.org"), "*.example.org"),
        (Some("a.b.example.org"), "first.example.org"),
        (Some("example.org"), "first.example.org"),
        (Some("unknown"), "first.example.org"),
        (None, "first.example.org"),
    ];
    for (name, expected) in cases {
        assert_eq!(seen(&rig, name)[0], expected, "{name:?}");
    }
    let configs = rig.store.tls_configs();
    let client = Arc::new(rig.client());
    for name in ["first.example.org", "turn.example.org", "other.example.org"] {
        assert!(connect(&client, &configs.bare, name).is_ok(), "{name}");
    }
    assert!(connect(&client, &configs.bare, "example.net").is_err(), "a name nobody has");
    assert_eq!(Rig::new("sni-none", &[]).store.status(), []);
}

#[test]
fn of_two_kinds_of_keys_a_client_gets_the_one_it_can_use() {
    let directory = Directory::new("kinds");
    let root = Authority::root("Root");
    let load =
        |made: super::pki::Made| Arc::new(load(&directory.pair(&[&made.certificate], &made.key)).unwrap().0);
    let (ecdsa, rsa) = (load(root.issue(&["a"])), load(root.issue_rsa(&["a"])));
    let choice = Choice::new(vec![ecdsa.clone(), rsa.clone()]);
    let (for_rsa, for_ecdsa) = (SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256);
    let tls13 = CipherSuite::TLS13_AES_128_GCM_SHA256;
    let only_rsa = CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;
    let cases: &[(&[SignatureScheme], &[CipherSuite], &Arc<Certificate>)] = &[
        (&[for_rsa, for_ecdsa], &[tls13], &ecdsa),
        (&[for_rsa], &[tls13], &rsa),
        (&[for_ecdsa], &[tls13], &ecdsa),
        (&[for_rsa, for_ecdsa], &[only_rsa], &rsa),
        (&[], &[], &ecdsa),
    ];
    for (schemes, suites, expected) in cases {
        for name in [Some("a"), Some("unknown"), None] {
            let chosen = choice.choose(&Wish { name, schemes, suites }).unwrap();
            assert!(Arc::ptr_eq(chosen, expected), "{schemes:?} {suites:?} {name:?}");
        }
    }
}

#[test]
fn new_connections_see_the_new_certificate_and_old_ones_live_on() {
    let rig = Rig::new("swap", &[&["turn.example.org"]]);
    let configs = rig.store.tls_configs();
    let client = Arc::new(rig.client());
    let mut old = connect(&client, &configs.turn, "turn.example.org").unwrap();
    let fingerprint = |connected: &Connected| connected.client.peer_certificates().unwrap()[0].to_vec();
    let before = fingerprint(&old);
    rig.install(&[&["turn.example.org"]]);
    // A client that resumes its session sees no certificate, so this is another one.
    let new = connect(&Arc::new(rig.client()), &configs.turn, "turn.example.org").unwrap();
    assert_ne!(fingerprint(&new), before);
    io::Write::write_all(&mut old.client.writer(), b"still here").unwrap();
    let mut bytes = Vec::new();
    old.client.write_tls(&mut bytes).unwrap();
    old.server.read_tls(&mut bytes.as_slice()).unwrap();
    assert_eq!(old.server.process_new_packets().unwrap().plaintext_bytes_to_read(), 10);
}

#[test]
fn sessions_are_resumed_whatever_the_protocol_and_early_data_is_off() {
    let rig = Rig::new("tickets", &[&["turn.example.org"]]);
    let configs = rig.store.tls_configs();
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let mut client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(rig.client_roots())
            .with_no_client_auth();
        client.enable_early_data = true;
        let client = Arc::new(client);
        let first = connect(&client, &configs.bare, "turn.example.org").unwrap();
        assert_eq!(first.client.handshake_kind(), Some(HandshakeKind::Full));
        let second = connect(&client, &configs.turn, "turn.example.org").unwrap();
        assert_eq!(second.client.handshake_kind(), Some(HandshakeKind::Resumed));
        assert!(!second.client.is_early_data_accepted());
    }
}

#[test]
fn the_protocol_and_the_oldest_version_are_as_configured() {
    let rig = Rig::new("alpn", &[&["turn.example.org"]]);
    let configs = rig.store.tls_configs();
    let alpn = |server: &Arc<ServerConfig>, offered: &[&str]| {
        let mut client = rig.client();
        client.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let connected = connect(&Arc::new(client), server, "turn.example.org")?;
        Ok::<_, rustls::Error>(
            connected.server.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap()),
        )
    };
    assert_eq!(alpn(&configs.turn, &["stun.turn"]).unwrap().as_deref(), Some("stun.turn"));
    assert_eq!(alpn(&configs.turn, &["stun.nat-discovery"]).unwrap().as_deref(), Some("stun.nat-discovery"));
    assert_eq!(alpn(&configs.bare, &[]).unwrap(), None);
    assert_eq!(alpn(&configs.web, &["h2", "http/1.1"]).unwrap().as_deref(), Some("http/1.1"));
    assert_eq!(alpn(&configs.web, &["h2"]).unwrap().as_deref(), Some("h2"));

    let strict = CertStore::new(TlsVersion::Tls13).unwrap();
    strict.install_files(&[rig.make(&["turn.example.org"])]);
    let client = Arc::new(rig.client());
    let connected = connect(&client, &strict.tls_configs().bare, "turn.example.org").unwrap();
    assert_eq!(connected.server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let old = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(rig.client_roots())
        .with_no_client_auth();
    let old = Arc::new(old);
    assert!(connect(&old, &strict.tls_configs().bare, "turn.example.org").is_err());
    assert!(connect(&old, &configs.bare, "turn.example.org").is_ok());
    // A store can change its mind, and its clients still resume.
    let lenient = strict.tls_configs_from(TlsVersion::Tls12).unwrap();
    assert!(connect(&old, &lenient.bare, "turn.example.org").is_ok());
    let resumed = connect(&client, &lenient.bare, "turn.example.org").unwrap();
    assert_eq!(resumed.server.handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(connect(&old, &lenient.turn, "turn.example.org").is_ok());
    let strict = strict.tls_configs_from(TlsVersion::Tls13).unwrap();
    assert!(connect(&old, &strict.bare, "turn.example.org").is_err());
}

#[test]
fn challenges_are_shown_to_acme_alone_and_only_while_they_last() {
    let rig = Rig::new("acme", &[&["turn.example.org"]]);
    let configs = rig.store.tls_configs();
    let mut client = rig.client();
    client.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let client = Arc::new(client);
    assert!(connect(&client, &configs.acme, "new.example.org").is_err());
    let challenge = rig.make(&["new.example.org"]);
    rig.store.set_challenge("new.example.org", challenge.key().clone());
    let connected = connect(&client, &configs.acme, "new.example.org").unwrap();
    assert_eq!(connected.server.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    assert!(connect(&client, &configs.acme, "turn.example.org").is_err());
    assert_eq!(seen(&rig, Some("new.example.org"))[0], "turn.example.org", "not to others");
    rig.store.clear_challenge("NEW.example.org");
    assert!(connect(&client, &configs.acme, "new.example.org").is_err());
}

#[test]
fn what_acme_obtains_stands_beside_the_files() {
    let rig = Rig::new("acme-install", &[]);
    let key = |names: &[&str]| -> Arc<CertifiedKey> { rig.make(names).key().clone() };
    let names = vec!["A.example.org".to_owned()];
    rig.store.install_acme(&names, key(&["a.example.org"]));
    assert_eq!(seen(&rig, None), ["a.example.org"]);
    rig.install(&[&["b.example.org"]]);
    let expected = HashMap::from([(None, "b.example.org"), (Some("a.example.org"), "a.example.org")]);
    for (name, expected) in &expected {
        assert_eq!(seen(&rig, *name)[0], *expected);
    }
    rig.store.install_acme(&names, key(&["a.example.org"]));
    rig.install(&[&["b.example.org"]]);
    let origins: Vec<_> = rig.store.status().iter().map(|it| it.origin.to_string() == "acme").collect();
    assert_eq!(origins, [false, true]);
}
