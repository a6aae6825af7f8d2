//! Starting the server without a configuration, and using what it prints.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use turnbridge::wire::ChannelNumber;

use crate::client::Client;
use crate::home::Home;
use crate::process::Process;
use crate::server::Server;

#[test]
fn the_first_start_makes_a_secret_that_the_second_one_keeps() {
    let home = Home::new("secret");
    let file = home.secret_file();
    let start = || Server::start(&home, home.turnbridge(&["--listen", "127.0.0.1:0"]));

    let mut server = start();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    let secret = home.secret().unwrap();
    assert!(server.log()[0]["event"] == "secret made", "{:?}", server.log());
    assert_eq!(server.stop().code(), Some(0));

    let server = start();
    assert_eq!(server.log()[0]["event"], "secret kept from an earlier start");
    assert_eq!(home.secret().unwrap(), secret);
    Client::new(server.at("127.0.0.1"), server.credential()).allocate(|writer| writer).unwrap();
}

#[test]
fn people_are_told_what_it_listens_on_and_where_the_secret_is() {
    let home = Home::new("told");
    let mut command = home.turnbridge(&["--listen", "127.0.0.1:0", "--log-format", "text"]);
    command.env("TURNBRIDGE_RELAY__ADDRESSES", "127.0.0.1");
    let mut server = Process::start(command);
    server.out.wait_for("iceServers", |line| line.starts_with("{\"iceServers\":[{").then_some(()));
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    let (out, err) = (server.out.lines(), server.err.text());
    let secret = home.secret().unwrap();
    assert_eq!(out.len(), 1, "one line for programs");
    for words in [
        "listens on  127.0.0.1:",
        "relays from 127.0.0.1, ports 49152-65535",
        &format!("secret      {}", home.secret_file().display()),
        "good for a day",
    ] {
        assert!(err.contains(words), "{words} in {err}");
    }
    assert!(!err.contains(&secret) && !out[0].contains(&secret));
}

#[test]
fn the_printed_credential_is_good_for_relaying_between_two_clients() {
    let home = Home::new("printed");
    let server = Server::on_loopback(&home, &[]);
    let mut urls: Vec<String> =
        serde_json::from_value(server.ice_servers()["iceServers"][0]["urls"].clone()).unwrap();
    urls.retain(|url| url.ends_with("?transport=udp"));
    assert_eq!(urls.len(), 2, "{urls:?}");
    for url in urls {
        let address: SocketAddr =
            url.strip_prefix("turn:").unwrap().strip_suffix("?transport=udp").unwrap().parse().unwrap();
        let mut clients = [0; 2].map(|_| Client::new(address, server.credential()));
        let relays = clients.each_mut().map(|client| {
            assert_eq!(client.binding(), client.address());
            client.allocate(|writer| writer).unwrap()
        });
        let channel = ChannelNumber::FIRST;
        let [alice, bob] = &mut clients;
        // IPv4 is what a client gets that does not ask (RFC 8656 §7.2).
        assert!(relays.iter().all(SocketAddr::is_ipv4));
        alice.bind(channel, relays[1]).unwrap();
        bob.bind(channel, relays[0]).unwrap();
        alice.send(channel, b"from alice");
        assert_eq!(bob.receive(channel), b"from alice");
        bob.send(channel, b"from bob");
        assert_eq!(alice.receive(channel), b"from bob");
    }
}
