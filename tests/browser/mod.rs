//! WebRTC peers in headless Chromium and Firefox that may use nothing but relay candidates. `call.py` drives the
//! browsers, `page.js` is what they run; here stands what must come of it, and what the server must say of it.

mod call;
mod turn;

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::home::Home;
use crate::server::Credential;
use crate::tools::{is_root, run, skip};
use call::Browser::{self, Chromium, Firefox};
use call::{Call, Peer, Task, is_possible};
use turn::Way::{self, SharedTcp, SharedTls, Tcp, Tls, Udp, UdpOverIpv6};
use turn::{Turn, expired_credential, good_credential};

#[test]
fn chromium_talks_over_udp() {
    talk([(Chromium, Udp), (Chromium, Udp)]);
}

#[test]
fn chromium_talks_over_tcp() {
    talk([(Chromium, Tcp), (Chromium, Tcp)]);
}

#[test]
fn chromium_talks_over_tls() {
    talk([(Chromium, Tls), (Chromium, Tls)]);
}

#[test]
fn chromium_talks_from_udp_over_ipv6_to_tls() {
    talk([(Chromium, UdpOverIpv6), (Chromium, Tls)]);
}

#[test]
fn chromium_talks_over_tcp_and_tls_on_one_port() {
    talk([(Chromium, SharedTcp), (Chromium, SharedTls)]);
}

#[test]
fn firefox_talks_over_udp() {
    talk([(Firefox, Udp), (Firefox, Udp)]);
}

#[test]
fn firefox_talks_over_tcp() {
    talk([(Firefox, Tcp), (Firefox, Tcp)]);
}

#[test]
fn firefox_talks_over_tls() {
    talk([(Firefox, Tls), (Firefox, Tls)]);
}

#[test]
fn firefox_talks_from_udp_over_ipv6_to_tls() {
    talk([(Firefox, UdpOverIpv6), (Firefox, Tls)]);
}

#[test]
fn firefox_talks_over_tcp_and_tls_on_one_port() {
    talk([(Firefox, SharedTcp), (Firefox, SharedTls)]);
}

#[test]
fn chromium_over_tls_calls_firefox_over_udp() {
    talk([(Chromium, Tls), (Firefox, Udp)]);
}

#[test]
fn firefox_over_tls_calls_chromium_over_tcp() {
    talk([(Firefox, Tls), (Chromium, Tcp)]);
}

#[test]
fn chromium_learns_that_its_credential_is_refused() {
    refuse(Chromium);
}

#[test]
fn firefox_learns_that_its_credential_is_refused() {
    refuse(Firefox);
}

#[test]
fn chromium_follows_to_another_server() {
    follow([(Chromium, Udp), (Chromium, Tcp)]);
}

#[test]
fn firefox_follows_to_another_server() {
    follow([(Firefox, Udp), (Firefox, Tcp)]);
}

#[test]
fn what_firefox_does_not_like_of_a_certificate_is_logged() {
    distrust(Firefox, "unknown_ca");
}

#[test]
fn what_chromium_does_not_like_of_a_certificate_is_logged() {
    distrust(Chromium, "certificate_unknown");
}

#[test]
fn the_page_of_the_documentation_works_in_chromium() {
    show(Chromium);
}

#[test]
fn the_page_of_the_documentation_works_in_firefox() {
    show(Firefox);
}

/// Two peers who reach each other by relay candidates only. Messages, a long transfer and moving pictures arrive at
/// both, and when they close nothing of them stays on the server.
fn talk(parties: [(Browser, Way); 2]) {
    with_browsers(&parties.map(|(browser, _)| browser), |home| {
        let turn = Turn::start(home);
        let mut call = meet(home, &turn, parties);
        turn.is_left_clean();
        call.end();
    });
}

/// The server that the page knows drains, and sends its clients to another one: there they talk.
fn follow(parties: [(Browser, Way); 2]) {
    with_browsers(&parties.map(|(browser, _)| browser), |home| {
        // Chromium lets nobody send it to a loopback address.
        let Some(ip) = own_address_in_a_network_of_its_own() else { return };
        let other_home = Home::new(&format!("{}-other", home.path().file_name().unwrap().display()));
        let other = Turn::start_at(&other_home, ip, &[]);
        let turn = Turn::start_at(home, "127.0.0.1", &other.as_alternates());
        turn.drain(home);
        let mut call = meet(home, &turn, parties);
        assert_eq!(turn.allocations(), 0);
        other.is_left_clean();
        call.end();
    });
}

/// Runs the test that calls this once more, in a network namespace with an interface besides loopback. There it is given
/// the address of that; out here it is given nothing, and has nothing left to do.
fn own_address_in_a_network_of_its_own() -> Option<&'static str> {
    const INSIDE: &str = "TURNBRIDGE_TESTS_INSIDE";
    const ADDRESS: &str = "198.51.100.7";
    if std::env::var_os(INSIDE).is_some() {
        return Some(ADDRESS);
    }
    if !is_root() {
        skip("only root can make a network namespace");
        return None;
    }
    let script = format!(
        "ip link set lo up
        ip link add uplink type veth peer name other-end
        ip address add {ADDRESS}/24 dev uplink
        ip link set uplink up
        ip link set other-end up
        ip route add default via 198.51.100.1
        exec \"$0\" --exact \"$1\" --nocapture"
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "sh", "-e", "-c", &script]);
    command
        .arg(std::env::current_exe().unwrap())
        .arg(std::thread::current().name().unwrap())
        .env(INSIDE, "1");
    let (code, said) = run(command);
    assert_eq!(code, Some(0), "{said}");
    None
}

/// Two peers who know this server talk by relay candidates.
fn meet(home: &Home, turn: &Turn, parties: [(Browser, Way); 2]) -> Call {
    let peer = |(browser, way)| Peer { browser, url: turn.url(way), credential: good_credential() };
    let call = Call::start(home, Some(turn.authority()), &Task::Talk, &parties.map(peer));
    for (seen, (_, way)) in call.seen().into_iter().zip(parties) {
        let pair = &seen["pair"];
        assert!(pair["local"] == "relay" && pair["remote"] == "relay", "{seen}");
        assert_eq!(pair["relayProtocol"], way.relay_protocol(), "{seen}");
        assert_eq!(seen["messages"], 1000, "{seen}");
        assert_eq!(seen["hashSent"].as_str().unwrap().len(), 64, "{seen}");
        assert_eq!(seen["hashSent"], seen["hashReceived"], "{seen}");
        assert!(seen["framesDecoded"].as_u64() >= Some(10), "{seen}");
    }
    call
}

/// A wrong password, and a user name that has expired: the page is told 401, and gets no candidate.
fn refuse(browser: Browser) {
    with_browsers(&[browser], |home| {
        let turn = Turn::start(home);
        let wrong = Credential { password: "guessed".to_owned(), ..good_credential() };
        let mut peers = Vec::new();
        for way in [Udp, Tcp] {
            for credential in [wrong.clone(), expired_credential()] {
                peers.push(Peer { browser, url: turn.url(way), credential });
            }
        }
        let mut call = Call::start(home, Some(turn.authority()), &Task::Fail, &peers);
        let seen = call.seen();
        assert_eq!(seen.len(), peers.len());
        for (seen, Peer { url, .. }) in seen.iter().zip(&peers) {
            assert_eq!(seen["candidates"].as_array().unwrap().len(), 0, "{url}: {seen}");
            let errors = seen["errors"].as_array().unwrap();
            assert!(
                !errors.is_empty() && errors.iter().all(|error| error["errorCode"] == 401),
                "{url}: {seen}"
            );
        }
        assert_eq!(turn.allocations(), 0);
        call.end();
    });
}

/// `docs/examples/relay_candidate.html` tells of each URL what came of it.
fn show(browser: Browser) {
    with_browsers(&[browser], |home| {
        let turn = Turn::start(home);
        let wrong = Credential { password: "guessed".to_owned(), ..good_credential() };
        let peers = [(Udp, good_credential()), (Tcp, wrong)].map(|(way, credential)| Peer {
            browser,
            url: turn.url(way),
            credential,
        });
        let mut call = Call::start(home, Some(turn.authority()), &Task::Show, &peers);
        let seen = call.seen();
        let expected =
            [format!("{}: relays from ", peers[0].url), format!("{}: no relay candidate. 401", peers[1].url)];
        let told: Vec<_> = seen[0].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        for line in &expected {
            assert!(told.len() == 2 && told.iter().any(|told| told.starts_with(line)), "{line} in {told:?}");
        }
        call.end();
    });
}

/// A certificate of an authority that the browser does not know: the page gets no candidate, and the operator is told.
fn distrust(browser: Browser, alert: &str) {
    with_browsers(&[browser], |home| {
        let turn = Turn::start(home);
        let peers = [Peer { browser, url: turn.url(Tls), credential: good_credential() }];
        let mut call = Call::start(home, None, &Task::Fail, &peers);
        assert_eq!(call.seen()[0]["candidates"].as_array().unwrap().len(), 0);
        let failure = turn.tls_failure();
        assert_eq!(failure["sni"], "localhost", "{failure}");
        assert_eq!(failure["alert"], alert, "{failure}");
        assert_eq!(turn.allocations(), 0);
        call.end();
    });
}

/// Runs a test if these browsers are here. One test at a time: each has work for all of a small machine.
fn with_browsers(browsers: &[Browser], test: impl FnOnce(&Home)) {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that fails does not spoil the others.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if is_possible(browsers) {
        let path = std::thread::current().name().unwrap().to_owned();
        test(&Home::new(path.rsplit("::").next().unwrap()));
    }
}
