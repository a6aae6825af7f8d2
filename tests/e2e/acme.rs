//! Certificates from a real ACME server, which validates for real.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Client;
use crate::home::Home;
use crate::pebble::{Options, Pebble, connect};
use crate::server::{Credential, Server};
use crate::tools::free_ports;

const NAME: &str = "turn.example.org";

/// A server that orders from `pebble`.
fn configure(home: &Home, pebble: &Pebble, names: &[&str], challenge: &str) -> String {
    let (_, mut ports) = free_ports(1);
    let tls_port = if challenge == "tls-alpn-01" { pebble.tls_port } else { ports.next().unwrap() };
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:{tls_port}\"\ntransport = \"tls\"\n\
         [relay]\naddresses = [\"127.0.0.1\"]\n{}",
        pebble.acme_section(names, challenge)
    );
    home.file("t.toml", &text).to_str().unwrap().to_owned()
}

fn start(home: &Home, config: &str) -> Server {
    Server::start(home, home.turnbridge(&["--config", config]))
}

fn issued(server: &Server) -> Value {
    server.wait_for("certificate issued", |line| Some(line.clone()))
}

fn refused(server: &Server) -> Value {
    server.wait_for("no certificate was issued", |line| Some(line.clone()))
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn state_files(home: &Home) -> Vec<PathBuf> {
    files(&home.path().join("turnbridge/acme"))
}

fn state_file(home: &Home, name: &str) -> PathBuf {
    let found = state_files(home).into_iter().find(|path| path.file_name().unwrap() == name);
    found.unwrap_or_else(|| panic!("there is no {name}"))
}

#[test]
fn http_01_gets_a_certificate_that_is_kept_and_used_again_after_a_restart() {
    const BOTH: &str = "turn.example.org,other.example.org";
    let home = Home::new("acme-http");
    let Some(pebble) = Pebble::start(&home, &Options::default()) else { return };
    let config = configure(&home, &pebble, &[NAME, "other.example.org"], "http-01");
    let mut server = start(&home, &config);
    assert_eq!(issued(&server)["names"], BOTH);
    assert_eq!(server.logged("no certificate yet; TLS fails until it is issued").len(), 1);
    let mut names: Vec<_> =
        state_files(&home).into_iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["account.json", "certificate.pem"], "nothing else is left behind");
    for file in state_files(&home) {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    let port = (std::net::Ipv4Addr::LOCALHOST, pebble.http_port);
    assert!(std::net::TcpStream::connect(port).is_err(), "the port is open only while an order is under way");
    let key = fs::read_to_string(state_file(&home, "certificate.pem")).unwrap();
    assert!(server.stop().success());

    let mut server = start(&home, &config);
    server.hide(key.lines().nth(1).unwrap());
    let kept = server.wait_for("certificate kept from an earlier start", |line| Some(line.clone()));
    assert_eq!(kept["names"], BOTH);
    assert!(server.stop().success());
    assert_eq!((pebble.orders(), pebble.accounts()), (1, 1), "{}", pebble.process.out.text());
}

/// The certificate that a client meets who trusts the CA.
fn met(server: &Server, pebble: &Pebble, alpn: &[&str]) -> std::io::Result<Vec<u8>> {
    let mut stream = connect(server.listeners_over("tls")[0], NAME, pebble.root(), alpn);
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(stream.conn.peer_certificates().unwrap()[0].to_vec())
}

#[test]
fn tls_alpn_01_gets_a_certificate_that_is_served_at_once_and_after_a_restart() {
    let home = Home::new("acme-tls");
    let Some(pebble) = Pebble::start(&home, &Options::default()) else { return };
    let config = configure(&home, &pebble, &[NAME], "tls-alpn-01");
    let mut server = start(&home, &config);
    issued(&server);
    let first = met(&server, &pebble, &["stun.turn"]).unwrap();
    assert_eq!(met(&server, &pebble, &[]).unwrap(), first);
    let error = met(&server, &pebble, &["acme-tls/1"]).unwrap_err().to_string();
    assert!(error.contains("received fatal alert"), "the challenge is gone with its order: {error}");
    assert!(server.stop().success());

    let server = start(&home, &config);
    server.wait_for("certificate kept from an earlier start", |_| Some(()));
    assert_eq!(met(&server, &pebble, &["stun.turn"]).unwrap(), first);
    assert_eq!((pebble.orders(), pebble.accounts()), (1, 1));
}

#[test]
fn before_the_first_certificate_tls_is_refused_and_all_else_is_served() {
    let home = Home::new("acme-none-yet");
    let options = Options { denied: &[NAME], ..Options::default() };
    let Some(pebble) = Pebble::start(&home, &options) else { return };
    let server = start(&home, &configure(&home, &pebble, &[NAME], "tls-alpn-01"));
    refused(&server);
    for alpn in [&["stun.turn"][..], &[], &["acme-tls/1"]] {
        let error = met(&server, &pebble, alpn).unwrap_err().to_string();
        assert!(error.contains("received fatal alert"), "{alpn:?}: {error}");
    }
    let credential = Credential::minted(&home.secret().unwrap(), "alice", 600);
    Client::new(server.at("127.0.0.1"), credential).allocate(|writer| writer).unwrap();
}

#[test]
fn a_certificate_is_renewed_before_it_ends() {
    let home = Home::new("acme-renewal");
    let Some(pebble) = Pebble::start(&home, &Options { validity_s: 24, ..Options::default() }) else {
        return;
    };
    let server = start(&home, &configure(&home, &pebble, &[NAME], "http-01"));
    let first = issued(&server)["not_after"].as_str().unwrap().to_owned();
    let first_met = met(&server, &pebble, &[]).unwrap();
    let kept = fs::read_to_string(state_file(&home, "certificate.pem")).unwrap();
    let second = server.wait_for("certificate issued", |line| {
        let ends = line["not_after"].as_str()?;
        (ends != first).then(|| (ends.to_owned(), line["ts"].as_str().unwrap().to_owned()))
    });
    assert!(second.1 < first, "renewed at {}, which is after {first}", second.1);
    assert!(second.0 > first);
    assert_ne!(met(&server, &pebble, &[]).unwrap(), first_met);
    assert_ne!(fs::read_to_string(state_file(&home, "certificate.pem")).unwrap(), kept);
    assert_eq!(pebble.accounts(), 1);
}

#[test]
fn a_name_that_cannot_be_verified_is_told_in_words_and_not_tried_again_at_once() {
    let home = Home::new("acme-unverified");
    let Some(pebble) = Pebble::start(&home, &Options::default()) else { return };
    // Answered on another port than the one that the CA comes to.
    let config = configure(&home, &pebble, &[NAME], "http-01");
    let (_, mut ports) = free_ports(1);
    let text = fs::read_to_string(&config).unwrap();
    let elsewhere = format!("127.0.0.1:{}", ports.next().unwrap());
    home.file("t.toml", &text.replace(&format!("127.0.0.1:{}", pebble.http_port), &elsewhere));
    let mut server = start(&home, &config);
    let failed = refused(&server);
    assert_eq!(failed["reason"], "the CA could not verify turn.example.org");
    assert!(failed["advice"].as_str().unwrap().contains("TCP port 80"), "{failed}");
    let name = &server.logged("the CA could not verify a name")[0];
    assert_eq!((&name["name"], &name["challenge"]), (&NAME.into(), &"http-01".into()));
    assert!(name["reason"].as_str().unwrap().contains("connection refused"), "{name}");
    assert!(server.stop().success());

    // A crash loop does not wear out the CA; with another order there is a new chance.
    let mut server = start(&home, &config);
    let waiting = server.wait_for("earlier orders have failed; the CA is left alone for a while", |line| {
        Some((line["failures"].as_u64()?, line["next_try"].as_str()?.to_owned()))
    });
    assert_eq!(waiting, (1, failed["next_try"].as_str().unwrap().to_owned()));
    assert!(server.stop().success());
    assert_eq!(pebble.orders(), 1);
    home.file("t.toml", &text);
    let server = start(&home, &config);
    issued(&server);
    assert_eq!((pebble.orders(), pebble.accounts()), (2, 1));
}

#[test]
fn a_name_that_the_ca_denies_is_told_in_words() {
    let home = Home::new("acme-denied");
    let options = Options { denied: &["denied.example.org"], ..Options::default() };
    let Some(pebble) = Pebble::start(&home, &options) else { return };
    let server = start(&home, &configure(&home, &pebble, &[NAME, "denied.example.org"], "http-01"));
    let failed = refused(&server);
    assert_eq!(failed["step"], "place an order");
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("denied.example.org") && reason.ends_with("(rejectedIdentifier)"), "{reason}");
    assert!(failed["advice"].as_str().unwrap().contains("take it out of tls.acme.names"), "{failed}");
}

/// A server that orders from what listens on this port, whatever that is.
fn start_with_ca_on(home: &Home, port: u16) -> Server {
    let (_, mut ports) = free_ports(1);
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tls\"\n\
         [relay]\naddresses = [\"127.0.0.1\"]\n[tls.acme]\nnames = [{NAME:?}]\nagree_to_terms = true\nchallenge = \"http-01\"\n\
         http_address = \"127.0.0.1:{}\"\ndirectory = \"https://localhost:{port}/dir\"\n",
        ports.next().unwrap()
    );
    let config = home.file("t.toml", &text);
    start(home, config.to_str().unwrap())
}

#[test]
fn a_ca_that_cannot_be_reached_is_told_in_words_and_all_else_is_served() {
    let home = Home::new("acme-unreachable");
    let (_, mut ports) = free_ports(1);
    let server = start_with_ca_on(&home, ports.next().unwrap());
    let failed = refused(&server);
    let reason = failed["reason"].as_str().unwrap().to_lowercase();
    assert!(reason.contains("connection refused"), "{reason}");
    let credential = Credential::minted(&home.secret().unwrap(), "alice", 600);
    Client::new(server.at("127.0.0.1"), credential).allocate(|writer| writer).unwrap();
}

#[test]
fn a_ca_that_says_nothing_does_not_hold_up_the_end_of_the_server() {
    let home = Home::new("acme-silent");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = start_with_ca_on(&home, silent.local_addr().unwrap().port());
    // It hangs in the handshake from here on.
    let _connection = silent.accept().unwrap();
    let begun = Instant::now();
    assert!(server.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let attempts: Value =
        serde_json::from_str(&fs::read_to_string(state_file(&home, "attempts.json")).unwrap()).unwrap();
    assert_eq!(attempts["failures"], 1, "an attempt counts before it is made");
}

#[test]
fn a_ca_that_nobody_trusts_is_told_in_words() {
    let home = Home::new("acme-untrusted");
    let Some(pebble) = Pebble::start(&home, &Options::default()) else { return };
    let config = configure(&home, &pebble, &[NAME], "tls-alpn-01");
    let text = fs::read_to_string(&config).unwrap();
    let without: String =
        text.lines().filter(|line| !line.starts_with("ca_file")).map(|line| format!("{line}\n")).collect();
    home.file("t.toml", &without);
    let failed = refused(&start(&home, &config));
    assert!(failed["reason"].as_str().unwrap().contains("invalid peer certificate"), "{failed}");
    assert!(failed["advice"].as_str().unwrap().contains("set tls.acme.ca_file"), "{failed}");
    assert_eq!((pebble.accounts(), pebble.orders()), (0, 0));
}

#[test]
fn an_account_can_be_bound_to_a_customer_of_the_ca() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let home = Home::new("acme-eab");
    let options = Options { external_account: Some(("kid-1", KEY)), ..Options::default() };
    let Some(pebble) = Pebble::start(&home, &options) else { return };
    let config = configure(&home, &pebble, &[NAME], "http-01");
    let mut server = start(&home, &config);
    let failed = refused(&server);
    assert_eq!(failed["step"], "make an account");
    assert!(failed["advice"].as_str().unwrap().contains("set eab_kid and eab_hmac_key"), "{failed}");
    assert!(server.stop().success());

    fs::remove_file(state_file(&home, "attempts.json")).unwrap();
    let text = fs::read_to_string(&config).unwrap();
    home.file("t.toml", &format!("{text}eab_kid = \"kid-1\"\neab_hmac_key = \"{KEY}\"\n"));
    let mut server = start(&home, &config);
    server.hide(KEY);
    issued(&server);
}

#[test]
fn what_was_torn_or_forgotten_is_made_anew() {
    let home = Home::new("acme-torn");
    let Some(pebble) = Pebble::start(&home, &Options::default()) else { return };
    let config = configure(&home, &pebble, &[NAME], "http-01");
    let mut server = start(&home, &config);
    issued(&server);
    assert!(server.stop().success());
    for (name, event) in [
        ("certificate.pem", "a file of the acme client is of no use"),
        ("account.json", "not an account; making a new one"),
    ] {
        let path = state_file(&home, name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        // Nothing is ordered without need, so the certificate has to go for the account to be looked at.
        fs::write(state_file(&home, "certificate.pem"), "torn").unwrap();
        let mut server = start(&home, &config);
        issued(&server);
        assert_eq!(server.logged(event).len(), 1, "{event}");
        assert!(server.stop().success());
    }
    assert_eq!((pebble.orders(), pebble.accounts()), (3, 2));
    // A CA that was set up anew, under its old address, with no accounts.
    fs::write(state_file(&home, "certificate.pem"), "torn").unwrap();
    let pebble = pebble.start_anew(&home);
    let server = start(&home, &config);
    issued(&server);
    assert_eq!(server.logged("the CA does not know the account any more; making a new one").len(), 1);
    assert_eq!(pebble.accounts(), 1);
}
