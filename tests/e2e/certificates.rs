//! Certificates as clients see them: which one, and what happens when its files change under load.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use turnbridge::wire::ChannelNumber;

use crate::authority::{Authority, BOTH, Issued, NAME};
use crate::home::Home;
use crate::server::Server;
use crate::site::{LOCAL_PEERS, Site, Way, peer};
use crate::stream_client::StreamClient;
use crate::tools::{find, run, skip_for_want_of};
use crate::wire::{Wire, connect};

/// The certificate that a client was shown.
fn seen(client: &StreamClient) -> Vec<u8> {
    let Wire::Tls(tls) = &client.wire else { unreachable!("it came by TLS") };
    tls.conn.peer_certificates().unwrap()[0].to_vec()
}

/// What a client that connects now is shown.
#[track_caller]
fn shown(site: &Site, way: Way) -> Vec<u8> {
    let mut client = site.client(way);
    assert_eq!(client.binding(), client.address());
    seen(&client)
}

/// Puts a new certificate in the place of the server's own, one file after the other; it also has `mark` as a name.
fn renew(site: &Site, mark: &str) {
    let made = site.authority.issue(KeyPair::generate().unwrap(), &[NAME, mark], |_| {});
    site.home.file("chain.pem", &made.chain);
    site.home.file("key.pem", &made.key);
}

/// Waits until the server has taken in the certificate with this mark.
#[track_caller]
fn await_loaded(server: &Server, mark: &str) {
    server
        .wait_for("certificate loaded", |line| line["names"].as_str().unwrap().contains(mark).then_some(()));
}

/// Sends back whatever comes, until it is told to stop.
fn echo(socket: UdpSocket, is_over: Arc<AtomicBool>) -> JoinHandle<()> {
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while !is_over.load(Ordering::Relaxed) {
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                socket.send_to(&buffer[..length], from).unwrap();
            }
        }
    })
}

/// Relays numbered messages to the echo and back until it is told to stop; every one must come back, in order.
fn keep_talking(
    mut client: StreamClient,
    to: SocketAddr,
    is_over: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
) -> JoinHandle<()> {
    const AHEAD: u64 = 8;
    let channel = ChannelNumber::FIRST;
    client.allocate().unwrap();
    client.bind(channel, to).unwrap();
    let first = seen(&client);
    std::thread::spawn(move || {
        let payload = |number: u64| [&number.to_be_bytes()[..], &[7; 152]].concat();
        let (mut sent, mut received) = (0, 0);
        while !is_over.load(Ordering::Relaxed) || received < sent {
            while sent < received + AHEAD && !is_over.load(Ordering::Relaxed) {
                client.send(channel, &payload(sent));
                sent += 1;
            }
            if received < sent {
                assert_eq!(client.receive(channel), payload(received));
                received += 1;
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        client.refresh(600).unwrap();
        assert_eq!(seen(&client), first);
    })
}

#[test]
fn certificates_are_swapped_under_load_and_nothing_is_lost() {
    let site = Arc::new(Site::start("swapped", LOCAL_PEERS));
    let [is_over, is_quiet] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let (socket, address) = peer();
    let echo = echo(socket, is_quiet.clone());
    let counts: Vec<Arc<AtomicU64>> = (0..6).map(|_| Arc::default()).collect();
    let talkers: Vec<_> = counts
        .iter()
        .enumerate()
        .map(|(at, count)| {
            let way = if at % 2 == 0 { Way::Tls } else { Way::AutoTls };
            keep_talking(site.client(way), address, is_over.clone(), count.clone())
        })
        .collect();
    // Connections come all the time, and each must be served, whichever certificate it meets.
    let newcomers = {
        let (site, is_over) = (site.clone(), is_over.clone());
        std::thread::spawn(move || {
            let mut served = 0_u32;
            while !is_over.load(Ordering::Relaxed) {
                shown(&site, if served.is_multiple_of(2) { Way::Tls } else { Way::AutoTls });
                served += 1;
            }
            served
        })
    };
    let mut earlier = vec![shown(&site, Way::Tls)];
    for round in 0..4 {
        let before: Vec<u64> = counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let mark = format!("round-{round}.example.org");
        renew(&site, &mark);
        if round % 2 == 1 {
            site.server.process.reload();
        }
        await_loaded(&site.server, &mark);
        for way in [Way::Tls, Way::AutoTls] {
            let now = shown(&site, way);
            assert!(!earlier[..earlier.len() - usize::from(way == Way::AutoTls)].contains(&now), "{way:?}");
            if way == Way::Tls {
                earlier.push(now);
            } else {
                assert_eq!(earlier.last(), Some(&now));
            }
        }
        // The old connections have gone on meanwhile.
        for (count, before) in counts.iter().zip(before) {
            let deadline = std::time::Instant::now() + Duration::from_secs(30);
            while count.load(Ordering::Relaxed) <= before {
                assert!(std::time::Instant::now() < deadline, "an old connection stands still");
                std::thread::yield_now();
            }
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for talker in talkers {
        talker.join().unwrap();
    }
    assert!(newcomers.join().unwrap() > 0);
    is_quiet.store(true, Ordering::Relaxed);
    echo.join().unwrap();
    assert!(
        site.server
            .logged("certificate files cannot be used; what was loaded before stays in use")
            .is_empty()
    );
}

#[test]
fn a_broken_pair_keeps_the_old_certificate_in_use_and_says_why() {
    let site = Site::start("broken-pair", "");
    let good = shown(&site, Way::Tls);
    let stranger = Authority::new().issue(KeyPair::generate().unwrap(), &[NAME], |_| {});
    site.home.file("key.pem", &stranger.key);
    let broken = "certificate files cannot be used; what was loaded before stays in use";
    let detail = |what: &'static str| {
        site.server
            .wait_for(broken, move |line| line["detail"].as_str().unwrap().contains(what).then_some(()));
    };
    // Nobody asks: it is told once the grace for files that are being written is over.
    detail("does not belong to the certificate");
    assert_eq!(shown(&site, Way::Tls), good);
    std::fs::remove_file(site.home.path().join("chain.pem")).unwrap();
    site.server.process.reload();
    detail("chain.pem does not exist");
    assert_eq!(shown(&site, Way::AutoTls), good);
    renew(&site, "mended.example.org");
    await_loaded(&site.server, "mended.example.org");
    assert_ne!(shown(&site, Way::Tls), good);
}

#[test]
fn a_client_that_refuses_the_certificate_is_logged_once_by_alert_and_name() {
    let site = Site::start("refused", "");
    let stranger = Authority::named("a stranger");
    for _ in 0..3 {
        for way in [Way::Tls, Way::AutoTls] {
            assert!(Wire::tls(connect(site.port(way)), stranger.client(BOTH, &[])).is_err());
        }
    }
    let line = site.server.wait_for("tls failed", |line| Some(line.clone()));
    assert_eq!((line["alert"].as_str(), line["sni"].as_str()), (Some("unknown_ca"), Some(NAME)));
    assert_eq!(line["level"], "info");
    assert!(line["reason"].as_str().unwrap().contains("does not trust our certificate"), "{line}");
    // Who trusts it is served, and its connection is the last that the log could speak of.
    shown(&site, Way::Tls);
    site.settle();
    assert_eq!(site.server.logged("tls failed").len(), 1);
}

#[test]
fn what_is_no_tls_or_no_protocol_of_ours_is_told_apart_in_the_log() {
    let site = Site::start("no-tls", "");
    let failed = |alert: &str, reason: &str| {
        site.server.wait_for("tls failed", |line| {
            let is_it = line["alert"] == alert && line["reason"].as_str().unwrap().contains(reason);
            is_it.then(|| line.clone())
        })
    };
    assert!(Wire::tls(connect(site.port(Way::Tls)), site.authority.client(BOTH, &["h2"])).is_err());
    // It was refused for its first message, and yet its name is known.
    let line = failed("no_application_protocol", "only protocols that are not served here");
    assert_eq!((line["sni"].as_str(), line["level"].as_str()), (Some(NAME), Some("info")));
    let cases: [(&[u8], &str, &str); 4] = [
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "not in proxy_protocol_from", "info"),
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP without TLS", "debug"),
        (&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42], "STUN without TLS", "debug"),
        (b"SSH-2.0-x\r\n", "are not TLS", "debug"),
    ];
    for (bytes, reason, level) in cases {
        connect(site.port(Way::Tls)).write_all(bytes).unwrap();
        assert_eq!(failed("not_tls", reason)["level"], level, "{reason}");
    }
}

/// A server with these certificates, and nothing but TLS.
struct Host {
    server: Server,
    home: Home,
}

impl Host {
    fn start(name: &str, certificates: &[Issued]) -> Self {
        let home = Home::new(name);
        let mut text = "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tls\"\n".to_owned();
        for (at, made) in certificates.iter().enumerate() {
            home.file(&format!("{at}.crt"), &made.chain);
            home.file(&format!("{at}.key"), &made.key);
            text.push_str(&format!("[[tls.certificate]]\nchain = \"{at}.crt\"\nkey = \"{at}.key\"\n"));
        }
        text.push_str("[relay]\naddresses = [\"127.0.0.1\"]\n");
        let file = home.file("t.toml", &text);
        let server = Server::start(&home, home.turnbridge(&["--config", file.to_str().unwrap()]));
        Self { server, home }
    }

    /// What `openssl s_client` says.
    fn s_client(&self, arguments: &[&str]) -> String {
        let address = self.server.listeners_over("tls")[0].to_string();
        let mut command: Command = self.home.command("openssl");
        command.args(["s_client", "-connect", &address]).args(arguments);
        run(command).1
    }
}

#[test]
fn openssl_gets_the_certificate_that_it_asks_for() {
    if find("openssl").is_none() {
        return skip_for_want_of("openssl");
    }
    let authority = Authority::new();
    let ecdsa = |names: &[&str]| authority.issue(KeyPair::generate().unwrap(), names, |_| {});
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let rsa = authority.issue(rsa, &["turn.example.org"], |_| {});
    let certificates = [ecdsa(&["turn.example.org"]), rsa, ecdsa(&["*.example.net"])];
    let host = Host::start("s-client", &certificates);
    let root = authority.trusted(&host.home).display().to_string();
    let trust = ["-CAfile", &root, "-verify_return_error"];
    let ask = |arguments: &[&str]| host.s_client(&[&trust[..], arguments].concat());
    let cases: &[(&[&str], &[&str], usize)] = &[
        (&["-servername", "turn.example.org", "-verify_hostname", "turn.example.org"], &["New, TLSv1.3"], 0),
        (&["-noservername"], &[], 0),
        (&["-servername", "nobody.example.com"], &[], 0),
        (&["-servername", "eu.example.net", "-verify_hostname", "eu.example.net"], &[], 2),
        (&["-servername", "turn.example.org", "-sigalgs", "RSA-PSS+SHA256"], &[], 1),
        (&["-noservername", "-sigalgs", "RSA-PSS+SHA256"], &[], 1),
        (&["-servername", "turn.example.org", "-tls1_2"], &["New, TLSv1.2"], 0),
        (&["-servername", "turn.example.org", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], &[], 1),
        (&["-noservername", "-alpn", "stun.turn"], &["ALPN protocol: stun.turn"], 0),
        (&["-noservername", "-alpn", "stun.nat-discovery"], &["ALPN protocol: stun.nat-discovery"], 0),
    ];
    for (arguments, said, expected) in cases {
        let heard = ask(arguments);
        assert!(heard.contains("Verify return code: 0 (ok)"), "{arguments:?}\n{heard}");
        for said in *said {
            assert!(heard.contains(said), "{arguments:?}: {said}\n{heard}");
        }
        // openssl prints the server's certificate as PEM.
        let shown = certificates.iter().position(|made| has(&heard, &made.chain));
        assert_eq!(shown, Some(*expected), "{arguments:?}\n{heard}");
    }
    // One that knows only what is broken is refused with the alert for it, and the log says so.
    let old = ask(&["-servername", "turn.example.org", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    assert!(old.contains("alert handshake failure"), "{old}");
    let alert = |name: &'static str| {
        host.server.wait_for("tls failed", move |line| (line["alert"] == name).then(|| line.clone()))
    };
    assert!(alert("handshake_failure")["reason"].as_str().unwrap().contains("only TLS 1.1 or older"));
    // No key exchange without forward secrecy (RFC 8489 §6.2.3), on a certificate that would allow it.
    let weak = ask(&["-servername", "turn.example.org", "-tls1_2", "-cipher", "AES128-GCM-SHA256"]);
    assert!(weak.contains("alert handshake failure"), "{weak}");
    let distrust = host.s_client(&["-verify_return_error", "-servername", "turn.example.org"]);
    assert!(distrust.contains("verify error"), "{distrust}");
    assert_eq!(alert("unknown_ca")["sni"], "turn.example.org");
}

/// Whether the text has the certificate, however its lines are ended.
fn has(text: &str, pem: &str) -> bool {
    pem.lines().filter(|line| !line.trim().is_empty()).all(|line| text.contains(line.trim()))
}

/// Lets a certificate end so many seconds from now.
fn ending(seconds: i64) -> impl FnOnce(&mut CertificateParams) {
    let now = SystemTime::now();
    let end = match seconds < 0 {
        true => now - Duration::from_secs(seconds.unsigned_abs()),
        false => now + Duration::from_secs(seconds.unsigned_abs()),
    };
    move |params| {
        params.not_before = (end - Duration::from_secs(90 * 86_400)).into();
        params.not_after = end.into();
    }
}

#[test]
fn the_end_of_a_certificate_is_warned_of_at_start() {
    let authority = Authority::new();
    let make = |name: &str, seconds| authority.issue(KeyPair::generate().unwrap(), &[name], ending(seconds));
    let certificates = [
        make("soon.example.org", 10 * 86_400 + 60),
        make("over.example.org", -60),
        make("fresh.example.org", 60 * 86_400),
    ];
    let host = Host::start("expiry", &certificates);
    let soon = host.server.logged("certificate expires soon");
    assert_eq!(soon.len(), 1, "{soon:?}");
    assert_eq!((soon[0]["names"].as_str(), soon[0]["days"].as_u64()), (Some("soon.example.org"), Some(10)));
    let over = host.server.logged("certificate has expired; clients refuse it");
    assert_eq!((over.len(), over[0]["names"].as_str()), (1, Some("over.example.org")));
    let (code, said) = run(host.home.turnbridge(&["check", "t.toml"]));
    assert_eq!(code, Some(0), "{said}");
    for expected in [
        "warning: the certificate for soon.example.org in 0.crt expires in 10 days",
        "warning: the certificate for over.example.org in 1.crt has expired on ",
        "#   certificate for fresh.example.org until ",
        "#   clients use turns:soon.example.org:0?transport=tcp",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
}

#[test]
fn a_certificate_that_cannot_be_served_stops_the_start_and_check_says_the_same() {
    let (home, authority) = (Home::new("unusable"), Authority::new());
    let one = authority.issue(KeyPair::generate().unwrap(), &[NAME], |_| {});
    let other = authority.issue(KeyPair::generate().unwrap(), &[NAME], |_| {});
    home.file("one.crt", &one.chain);
    home.file("other.key", &other.key);
    home.file(
        "t.toml",
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tls\"\n\
         [[tls.certificate]]\nchain = \"one.crt\"\nkey = \"other.key\"\n\
         [[tls.certificate]]\nchain = \"missing.crt\"\nkey = \"other.key\"\n",
    );
    for arguments in [&["check", "t.toml"][..], &["--config", "t.toml"]] {
        let (code, said) = run(home.turnbridge(arguments));
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains("the key in other.key does not belong to the certificate for"), "{said}");
        assert!(said.contains("missing.crt does not exist: correct its path"), "{said}");
    }
}

#[test]
fn clients_are_told_to_come_by_the_name_of_the_certificate() {
    let (home, authority) = (Home::new("told"), Authority::new());
    let made = authority.issue(KeyPair::generate().unwrap(), &["*.example.org", NAME], |_| {});
    let (chain, key) = (home.file("chain.pem", &made.chain), home.file("key.pem", &made.key));
    let certificate = format!("[{{ chain = {chain:?}, key = {key:?} }}]");
    // Without a configuration file, so that the first credential is printed.
    let mut command = home.turnbridge(&["--listen", "127.0.0.1:0", "--listen", "tls:127.0.0.1:0"]);
    command.env("TURNBRIDGE_TLS__CERTIFICATE", &certificate).env("TURNBRIDGE_RELAY__ADDRESSES", "127.0.0.1");
    let server = Server::start(&home, command);
    let at = |transport| server.listeners_over(transport)[0];
    let urls: Vec<String> =
        serde_json::from_value(server.ice_servers()["iceServers"][0]["urls"].clone()).unwrap();
    let expected = [
        format!("turn:{}?transport=udp", at("udp")),
        format!("turn:{}?transport=tcp", at("tcp")),
        format!("turns:{NAME}:{}?transport=tcp", at("tls").port()),
    ];
    assert_eq!(urls, expected);

    let listeners = "[{ address = \"127.0.0.1:443\", transport = \"auto\" }]";
    let credential = |environment: &[(&str, &str)]| {
        let mut command = home.turnbridge(&["credential", "--secret", "sixteen-bytes-it-is"]);
        command.env("TURNBRIDGE_LISTENER", listeners).envs(environment.iter().copied());
        run(command).1
    };
    let by_certificate = credential(&[("TURNBRIDGE_TLS__CERTIFICATE", &certificate)]);
    assert!(
        by_certificate.contains(&format!("url:      turns:{NAME}:443?transport=tcp")),
        "{by_certificate}"
    );
    assert!(by_certificate.contains("url:      turn:127.0.0.1:443?transport=tcp"), "{by_certificate}");
    // The key need not be readable for whoever makes credentials, where the name is configured.
    let unreadable = "[{ chain = \"none.pem\", key = \"none.pem\" }]";
    let by_name = credential(&[
        ("TURNBRIDGE_TLS__CERTIFICATE", unreadable),
        ("TURNBRIDGE_TLS__NAMES", "eu.example.org"),
    ]);
    assert!(by_name.contains("url:      turns:eu.example.org:443?transport=tcp"), "{by_name}");
}
