//! The figures that the server tells (THREATS P12 and A10), and what is made for reading them: the dashboard, the alert
//! rules, the documentation.

mod promtool;
mod queries;
pub(crate) mod scrape;

use std::io::Read;

use turnbridge::wire::{AttributeType, ChannelNumber, Method};

use crate::client::Client;
use crate::home::Home;
use crate::server::{Credential, Server};
use crate::site::{Site, Way, peer};
use crate::stream_client::StreamClient;
use crate::wire::{Wire, connect};
use scrape::{Figures, ask, get, place};

/// A server with all kinds of listeners, whose peers may be on this host.
fn site(name: &str, more: &str) -> Site {
    let config = "[peers]\nallow = [\"127.0.0.0/8\"]\n[metrics]\nlisten = [\"127.0.0.1:0\"]\n";
    Site::start(name, &format!("{config}{more}"))
}

/// A client over TCP, whose requests are sent once however slow the machine is.
fn client(site: &Site, credential: Credential) -> StreamClient {
    StreamClient::new(Wire::Tcp(connect(site.port(Way::Tcp))), credential)
}

#[track_caller]
fn permit(client: &mut StreamClient, peer: &str) -> Result<(), u16> {
    let peer = peer.parse().unwrap();
    let granted = client.request(Method::CREATE_PERMISSION, |writer| {
        writer.xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
    });
    granted.map(drop)
}

#[test]
fn figures_are_exact_and_live() {
    let site = site("figures", "");
    let (address, channel) = (place(&site.server), ChannelNumber::FIRST);
    let mut clients = [Way::Tcp, Way::Tls, Way::AutoTls].map(|way| site.client(way));
    for client in &mut clients {
        client.allocate().unwrap();
    }
    for _ in 0..4 {
        let wrong = Credential::plain("alice", "not in wonderland");
        assert_eq!(client(&site, wrong).allocate(), Err(401));
    }
    assert_eq!(client(&site, Credential::plain("mallory", "x")).allocate(), Err(401));
    for peer in ["10.0.0.1:9", "192.168.0.1:9", "[::ffff:10.0.0.1]:9"] {
        assert!(permit(&mut clients[0], peer).is_err(), "{peer}");
    }
    let (socket, peer) = peer();
    clients[1].bind(channel, peer).unwrap();
    for size in [100, 20] {
        clients[1].send(channel, &vec![7; size]);
        let mut buffer = [0; 200];
        let (length, relay) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!(length, size);
        socket.send_to(&buffer[..50], relay).unwrap();
        assert_eq!(clients[1].receive(channel).len(), 50);
    }

    let live = Figures::of(address);
    for (name, expected) in [
        (r#"turnbridge_allocations_active{transport="tcp",family="ipv4"}"#, 1.0),
        (r#"turnbridge_allocations_active{transport="tls",family="ipv4"}"#, 2.0),
        (r#"turnbridge_allocations_active{transport="udp",family="ipv4"}"#, 0.0),
        (r#"turnbridge_allocations_created_total{result="success"}"#, 3.0),
        // Each login begins with one, and each of five came to nothing.
        (r#"turnbridge_allocations_created_total{result="unauthenticated"}"#, 13.0),
        (r#"turnbridge_requests_total{method="allocate",code="success"}"#, 3.0),
        (r#"turnbridge_requests_total{method="allocate",code="401"}"#, 13.0),
        (r#"turnbridge_requests_total{method="channel-bind",code="success"}"#, 1.0),
        (r#"turnbridge_requests_total{method="create-permission",code="403"}"#, 2.0),
        (r#"turnbridge_auth_failures_total{reason="wrong-password"}"#, 4.0),
        (r#"turnbridge_auth_failures_total{reason="unknown-user"}"#, 1.0),
        (r#"turnbridge_auth_failures_total{reason="expired"}"#, 0.0),
        (r#"turnbridge_peers_denied_total{rule="private"}"#, 2.0),
        (r#"turnbridge_refusals_total{reason="peer"}"#, 2.0),
        (r#"turnbridge_relay_bytes_total{side="client",direction="received"}"#, 120.0),
        (r#"turnbridge_relay_bytes_total{side="peer",direction="sent"}"#, 120.0),
        (r#"turnbridge_relay_bytes_total{side="peer",direction="received"}"#, 100.0),
        (r#"turnbridge_relay_bytes_total{side="client",direction="sent"}"#, 100.0),
        (r#"turnbridge_relay_packets_total{side="client",direction="received"}"#, 2.0),
        (r#"turnbridge_unauth_replies_sent_total{kind="challenge"}"#, 13.0),
        (r#"turnbridge_unauth_replies_suppressed_total{kind="challenge"}"#, 0.0),
        (r#"turnbridge_tls_handshakes_total{version="1.3",result="success"}"#, 2.0),
        (r#"turnbridge_connections_accepted_total"#, 8.0),
        (r#"turnbridge_ports_used{address="127.0.0.1"}"#, 3.0),
        (r#"turnbridge_users_active"#, 1.0),
        (r#"turnbridge_workers"#, 1.0),
        (r#"turnbridge_worker_unresponsive{worker="0"}"#, 0.0),
        (r#"turnbridge_allocation_duration_seconds_count"#, 0.0),
        (r#"turnbridge_config_reload_success"#, 1.0),
    ] {
        assert_eq!(live.get(name), expected, "{name}");
    }

    clients[0].refresh(0).unwrap();
    let gone = clients[1].address();
    let [_first, second, _third] = clients;
    drop(second);
    assert_eq!(site.end_of_allocation(gone), "disconnected");
    let after = Figures::of(address);
    for (name, expected) in [
        (r#"turnbridge_allocations_active{transport="tls",family="ipv4"}"#, 1.0),
        (r#"turnbridge_allocations_ended_total{reason="released"}"#, 1.0),
        (r#"turnbridge_allocations_ended_total{reason="disconnected"}"#, 1.0),
        (r#"turnbridge_allocation_duration_seconds_count"#, 2.0),
        (r#"turnbridge_allocation_duration_seconds_bucket{le="+Inf"}"#, 2.0),
        (r#"turnbridge_relay_bytes_total{side="client",direction="received"}"#, 120.0),
    ] {
        assert_eq!(after.get(name), expected, "{name}");
    }
    for (name, value) in live.growing() {
        assert!(after.get(name) >= value, "{name} has gone back");
    }
}

#[test]
fn a10_no_client_can_make_a_series() {
    let site = site("cardinality", "");
    let address = place(&site.server);
    let attack = |round: usize| {
        for n in 0..20 {
            let name = format!("evil{round}-{n}\"}} 1\nturnbridge_evil{round}{{x=\"\\");
            assert_eq!(client(&site, Credential::plain(&name, "x")).allocate(), Err(401));
        }
        let mut alice = client(&site, site.credential());
        alice.allocate().unwrap();
        for n in 0..20 {
            assert_eq!(permit(&mut alice, &format!("10.{round}.{n}.1:{}", 1000 + n)), Err(403));
            permit(&mut alice, &format!("127.0.{round}.{n}:{}", 1000 + n)).unwrap();
        }
    };
    let series = || Figures::of(address).series.into_keys().collect::<Vec<_>>();
    attack(1);
    let before = series();
    attack(2);
    assert_eq!(series(), before);
    assert!(!before.iter().any(|name| name.contains("evil") || name.contains("10.1.")), "{before:?}");
    assert!(before.len() < 400, "{} series", before.len());
}

#[test]
fn p12_the_metrics_are_no_peer_whatever_is_allowed() {
    let site = site("p12-metrics", "");
    let address = place(&site.server);
    let mut alice = client(&site, site.credential());
    alice.allocate().unwrap();
    assert_eq!(alice.bind(ChannelNumber::FIRST, address), Err(403));
    let rule = r#"turnbridge_peers_denied_total{rule="own-service"}"#;
    assert_eq!(Figures::of(address).get(rule), 1.0);
}

#[test]
fn a_reload_shows_and_opens_nothing() {
    let site = site("metrics-reload", "");
    let (address, success) = (place(&site.server), "turnbridge_config_reload_success");
    let file = site.home.path().join("turnbridge.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    let reload = |text: &str, event: &str| {
        std::fs::write(&file, text).unwrap();
        site.server.process.reload();
        site.server.wait_for(event, |_| Some(()));
    };
    reload("nonsense", "configuration not reloaded; what ran goes on");
    assert_eq!(Figures::of(address).get(success), 0.0);
    reload(&format!("{written}coturn_names = true\n"), "configuration reloaded");
    let figures = Figures::of(address);
    assert_eq!((figures.get(success), figures.get("turn_total_traffic_rcvp")), (1.0, 0.0));
    assert_eq!(figures.get("turnbridge_draining"), 0.0);
    let mut alice = client(&site, site.credential());
    alice.allocate().unwrap();
    assert_eq!(alice.bind(ChannelNumber::FIRST, address), Err(403));
}

#[test]
fn only_two_paths_are_there_and_only_to_be_read() {
    let home = Home::new("metrics-paths");
    let server = Server::on_loopback(&home, &[("TURNBRIDGE_METRICS__LISTEN", "127.0.0.1:0,[::1]:0")]);
    let address = place(&server);
    for (path, status, text) in
        [("/healthz", 200, "ok\n"), ("/", 404, "/metrics and /healthz"), ("/metrics/", 404, "there are")]
    {
        let answer = get(address, path, "*/*");
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body.contains(text), "{path}: {}", answer.body);
    }
    let refused =
        ask(address, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(refused.status, 405);
    assert!(refused.head.contains("allow: get, head"), "{}", refused.head);
    let text = get(address, "/metrics", "text/html");
    assert!(text.head.contains("content-type: text/plain; version=0.0.4"), "{}", text.head);
    assert!(text.body.contains("# TYPE turnbridge_requests_total counter"));
}

#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let site = site("metrics-crowd", "");
    let address = place(&site.server);
    let crowd: Vec<_> = (0..80).map(|_| connect(address)).collect();
    assert_eq!(Figures::of(address).get("turnbridge_workers"), 1.0);
    // The oldest had to go for it.
    let mut first = &crowd[0];
    assert_eq!(first.read(&mut [0]).unwrap(), 0);
}

#[test]
fn an_address_that_cannot_be_had_is_named_with_its_key() {
    let home = Home::new("metrics-busy");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = home.turnbridge(&["--listen", "127.0.0.1:0", "--log-format", "json"]);
    command.env("TURNBRIDGE_METRICS__LISTEN", &address);
    let (code, printed) = crate::tools::run(command);
    assert_eq!(code, Some(75), "{printed}");
    let expected = format!("metrics.listen: cannot listen on tcp {address}: another program uses port");
    assert!(printed.contains(&expected), "{printed}");
}

#[test]
fn coturns_names_are_there_when_they_are_asked_for() {
    let site = site("coturn-names", "coturn_names = true\n");
    let address = place(&site.server);
    let (socket, peer) = peer();
    let mut alice = client(&site, site.credential());
    alice.binding();
    alice.allocate().unwrap();
    alice.bind(ChannelNumber::FIRST, peer).unwrap();
    alice.send(ChannelNumber::FIRST, &[7; 64]);
    assert_eq!(socket.recv(&mut [0; 100]).unwrap(), 64);
    let text = get(address, "/metrics", "text/plain").body;
    for line in [
        "# TYPE turn_traffic_rcvb counter",
        r#"turn_traffic_rcvb{realm="turn"} 64"#,
        r#"turn_traffic_peer_sentb{realm="turn"} 64"#,
        "turn_total_traffic_rcvp 1",
        "turn_total_traffic_peer_rcvp 0",
        "# TYPE turn_total_allocations gauge",
        r#"turn_total_allocations{type="TCP"} 1"#,
        r#"turn_total_allocations{type="UDP"} 0"#,
        "stun_binding_request 1",
        "stun_binding_response 1",
        "stun_binding_error 0",
        "turn_unauthenticated_401_responses 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
    }
    // The names are kept in the other format too, where a counter could not have them.
    let figures = Figures::of(address);
    assert_eq!(figures.get("turn_total_traffic_sentb"), 0.0);
    assert_eq!(figures.kinds["turn_total_traffic_sentb"], "unknown");
}

#[test]
fn a_client_over_udp_counts_where_its_datagrams_arrive() {
    let site = site("udp-figures", "");
    let mut alice: Client = site.udp_client();
    alice.allocate(|writer| writer).unwrap();
    let figures = Figures::of(place(&site.server));
    assert_eq!(figures.get(r#"turnbridge_allocations_active{transport="udp",family="ipv4"}"#), 1.0);
    let received = figures.get(r#"turnbridge_udp_received_packets_total{socket="listener"}"#);
    assert!(received >= 2.0, "{received}");
    assert!(figures.get("turnbridge_receive_calls_total") >= 1.0);
    assert_eq!(figures.get(r#"turnbridge_relay_sockets_total{event="opened"}"#), 1.0);
    assert!(figures.get("process_resident_memory_bytes") > 1e6);
}
