//! Debian's clients: coturn's `turnutils_*` and the classic `stun`.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use super::relay::Relay;
use crate::authority::Authority;
use crate::home::Home;
use crate::process::Process;
use crate::server::Server;
use crate::tools::{find, free_ports, run, skip_for_want_of};

/// A command, unless the tool is missing.
fn tool(home: &Home, program: &str) -> Option<Command> {
    match find(program) {
        Some(path) => Some(home.command(path.to_str().unwrap())),
        None => {
            skip_for_want_of(program);
            None
        }
    }
}

#[test]
fn turnutils_stunclient_learns_its_address() {
    let home = Home::new("stunclient");
    let server = Server::on_loopback(&home, &[]);
    for ip in ["127.0.0.1", "::1"] {
        let Some(mut command) = tool(&home, "turnutils_stunclient") else { return };
        command.args(["-p", &server.at(ip).port().to_string(), ip]);
        let (code, said) = run(command);
        assert!(code == Some(0) && said.contains(&format!("UDP reflexive addr: {ip}:")), "{said}");
    }
}

#[test]
fn the_stun_client_of_rfc_3489_finds_itself_in_the_open() {
    let home = Home::new("stun");
    let server = Server::on_loopback(&home, &[]);
    let Some(mut command) = tool(&home, "stun") else { return };
    command.arg(server.at("127.0.0.1").to_string());
    // Its exit code is the kind of NAT it has found.
    let (_, said) = run(command);
    assert!(said.contains("Primary: Open"), "{said}");
}

/// How `turnutils_uclient` is asked to send.
struct Run {
    /// Tells runs apart.
    name: &'static str,
    ip: &'static str,
    flags: &'static [&'static str],
}

/// Its clients come in pairs that talk to each other.
const CLIENTS: usize = 50;
const MESSAGES: usize = 20;

/// Clients talk to each other through relay addresses of the same server; all that was sent must have arrived.
fn talk(run: &Run) {
    let home = Home::new(run.name);
    // Debian's version binds channels from before RFC 8656.
    // A port that is reserved is not open yet, and another test's server could take it.
    let (ports, _) = free_ports(500);
    let environment = [("TURNBRIDGE_TURN__CHANNEL_NUMBERS", "rfc5766"), ("TURNBRIDGE_RELAY__PORTS", &ports)];
    let server = Server::on_loopback(&home, &environment);
    let Some(mut command) = uclient(&home, &server, run.ip) else { return };
    command.args(["-y", "-m", &CLIENTS.to_string(), "-n", &MESSAGES.to_string()]).args(run.flags).arg(run.ip);
    expect_no_loss(command, CLIENTS * MESSAGES);
}

fn uclient(home: &Home, server: &Server, ip: &str) -> Option<Command> {
    let mut command = tool(home, "turnutils_uclient")?;
    let credential = server.credential();
    command.args(["-u", &credential.username, "-w", &credential.password]);
    command.args(["-p", &server.at(ip).port().to_string(), "-l", "160"]);
    Some(command)
}

#[track_caller]
fn expect_no_loss(command: Command, at_least: usize) {
    let (code, said) = run(command);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Total lost packets 0 (0.000000%), total send dropped 0"), "{said}");
    let (sent, received) = messages(&said);
    assert!(sent >= at_least && sent == received, "{said}");
}

/// How many messages were sent and received, by its own count.
#[track_caller]
fn messages(said: &str) -> (usize, usize) {
    let total = said.lines().find(|line| line.contains("start_mclient: tot_send_msgs=")).unwrap();
    let count = |name: &str| {
        let rest = total.split_once(name).unwrap().1;
        rest.split(',').next().unwrap().trim().parse().unwrap()
    };
    (count("tot_send_msgs="), count("tot_recv_msgs="))
}

#[test]
fn uclient_loses_nothing_through_channels_over_ipv4() {
    talk(&Run { name: "channels-4", ip: "127.0.0.1", flags: &["-c"] });
}

#[test]
fn uclient_loses_nothing_through_channels_over_ipv6() {
    talk(&Run { name: "channels-6", ip: "::1", flags: &["-c"] });
}

#[test]
fn uclient_loses_nothing_through_indications_over_ipv4() {
    talk(&Run { name: "send-4", ip: "127.0.0.1", flags: &["-c", "-s"] });
}

#[test]
fn uclient_loses_nothing_through_indications_over_ipv6() {
    talk(&Run { name: "send-6", ip: "::1", flags: &["-c", "-s"] });
}

#[test]
fn uclient_loses_nothing_between_ipv6_relays_over_ipv4() {
    talk(&Run { name: "relay6-4", ip: "127.0.0.1", flags: &["-c", "-x"] });
}

#[test]
fn uclient_loses_nothing_between_ipv6_relays_over_ipv6() {
    talk(&Run { name: "relay6-6", ip: "::1", flags: &["-c", "-x", "-s"] });
}

/// RTP and RTCP: EVEN-PORT, and the next port by its reservation token.
#[test]
fn uclient_loses_nothing_through_reserved_pairs_of_ports() {
    talk(&Run { name: "pairs", ip: "127.0.0.1", flags: &[] });
}

/// The same over one transport only.
struct Link<'a> {
    relay: Relay<'a>,
    length: &'static str,
}

impl<'a> Link<'a> {
    fn new(over: &'static str, length: &'static str, home: &'a Home) -> Self {
        let (ports, _) = free_ports(500);
        let more = format!("ports = \"{ports}\"\n[turn]\nchannel_numbers = \"rfc5766\"\n");
        Self { relay: Relay::over(over, home, &more), length }
    }

    /// A client without RTCP, so that each allocation is used.
    fn client(&self, home: &Home, flags: &[&str]) -> Option<Command> {
        let mut command = tool(home, "turnutils_uclient")?;
        let relay = &self.relay;
        command.args(["-u", &relay.credential.username, "-w", &relay.credential.password]);
        command.args(["-p", &relay.address().port().to_string(), "-l", self.length, "-y", "-c"]).args(flags);
        command.arg("127.0.0.1");
        Some(command)
    }
}

fn talk_over(over: &'static str, name: &str, length: &'static str, flags: &[&str]) {
    let home = Home::new(name);
    let mut link = Link::new(over, length, &home);
    let Some(mut command) = link.client(&home, flags) else { return };
    command.args(["-m", &CLIENTS.to_string(), "-n", &MESSAGES.to_string()]);
    expect_no_loss(command, CLIENTS * MESSAGES);
    let bytes = CLIENTS * MESSAGES * length.parse::<usize>().unwrap();
    link.relay.has_carried(bytes.try_into().unwrap());
}

/// This client takes a TLS record for a message, so each must have one of its own.
fn talk_over_tls(name: &str, flags: &[&str]) {
    let home = Home::new(name);
    let mut link = Link::new("tls", "1400", &home);
    let Some(mut command) = link.client(&home, flags) else { return };
    command.args(["-t", "-S", "-E"]).arg(&link.relay.authority);
    command.args(["-m", &CLIENTS.to_string(), "-n", &MESSAGES.to_string()]);
    expect_no_loss(command, CLIENTS * MESSAGES);
    link.relay.has_carried((CLIENTS * MESSAGES * 1400).try_into().unwrap());
}

#[test]
fn uclient_loses_no_long_messages_over_udp() {
    talk_over("udp", "uclient-long-udp", "1400", &[]);
}

#[test]
fn uclient_loses_nothing_through_channels_over_tcp() {
    talk_over("tcp", "uclient-tcp", "1400", &["-t"]);
}

/// Of a length that ChannelData has to be padded for (RFC 8656 §12.5).
#[test]
fn uclient_loses_no_messages_of_odd_length_over_tcp() {
    talk_over("tcp", "uclient-tcp-odd", "101", &["-t"]);
}

#[test]
fn uclient_loses_nothing_through_indications_over_tcp() {
    talk_over("tcp", "uclient-tcp-send", "1400", &["-t", "-s"]);
}

#[test]
fn uclient_loses_nothing_through_channels_over_tls() {
    talk_over_tls("uclient-tls", &[]);
}

#[test]
fn uclient_loses_nothing_through_indications_over_tls() {
    talk_over_tls("uclient-tls-send", &["-s"]);
}

#[test]
fn uclient_hears_an_echo_from_a_peer_that_is_allowed() {
    let home = Home::new("peer");
    let environment =
        [("TURNBRIDGE_TURN__CHANNEL_NUMBERS", "rfc5766"), ("TURNBRIDGE_PEERS__ALLOW", "127.0.0.1/32")];
    let server = Server::on_loopback(&home, &environment);
    let Some((_peer, address)) = echo_peer(&home) else { return };
    for flags in [&["-c"][..], &["-c", "-s"]] {
        let Some(mut command) = uclient(&home, &server, "127.0.0.1") else { return };
        command.args(["-e", "127.0.0.1", "-r", &address.port().to_string()]);
        command.args(["-m", &CLIENTS.to_string(), "-n", &MESSAGES.to_string()]).args(flags).arg("127.0.0.1");
        expect_no_loss(command, CLIENTS * MESSAGES);
    }
}

/// A `turnutils_peer` that already answers.
fn echo_peer(home: &Home) -> Option<(PeerProcess, SocketAddr)> {
    let mut command = tool(home, "turnutils_peer")?;
    // It has to be told a port; one that is free now is not asked for by anybody else so soon.
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    command.args(["-L", "127.0.0.1", "-p", &free.port().to_string()]);
    let peer = PeerProcess(Process::start(command));
    let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
    probe.connect(free).unwrap();
    probe.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let begun = Instant::now();
    // Until it listens, sending reports that nobody does.
    while probe.send(b"there?").and_then(|_| probe.recv(&mut [0; 16])).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", peer.0.err.text());
        std::thread::park_timeout(Duration::from_millis(10));
    }
    Some((peer, free))
}

/// Ends with the test.
struct PeerProcess(Process);

impl Drop for PeerProcess {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// RFC 6062: clients connect to each other's relay addresses, and all messages pass through data connections.
fn talk_over_tcp_relays(name: &'static str, flags: &[&str], at_least: usize) {
    const CLIENTS: usize = 10;
    let home = Home::new(name);
    let authority = Authority::new();
    authority.certify(&home, &["127.0.0.1"]);
    let authority = authority.trusted(&home);
    let (ports, _) = free_ports(100);
    let file = home.file(
        "turnbridge.toml",
        &format!(
            "[server]\nworkers = 3\n[relay]\naddresses = [\"127.0.0.1\"]\nports = \"{ports}\"\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"auto\"\n\
             [[tls.certificate]]\nchain = \"chain.pem\"\nkey = \"key.pem\"\n\
             [[auth.user]]\nname = \"alice\"\npassword = \"wonderland\"\n"
        ),
    );
    let server = Server::start(&home, home.turnbridge(&["--config", file.to_str().unwrap()]));
    let Some(mut command) = tool(&home, "turnutils_uclient") else { return };
    command.args(["-u", "alice", "-w", "wonderland", "-l", "160", "-T"]);
    command.args(["-p", &server.listeners_over("auto")[0].port().to_string()]);
    command.args(["-E", authority.to_str().unwrap(), "-m", &CLIENTS.to_string(), "-n", "20"]).args(flags);
    command.arg("127.0.0.1");
    expect_no_loss(command, at_least);
}

#[test]
fn uclient_loses_nothing_through_tcp_relays_over_tcp() {
    talk_over_tcp_relays("tcp-relays", &[], 200);
}

/// It tries TLS 1.0 and 1.1 in turn, and goes without the connections that get neither.
#[test]
fn uclient_loses_nothing_through_tcp_relays_over_tls() {
    talk_over_tcp_relays("tcp-relays-tls", &["-S"], 20);
}
