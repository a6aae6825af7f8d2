//! A port that is shared with a web server: what is not TURN is passed on to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use turnbridge::wire::ChannelNumber;

use crate::authority::{BOTH, ONLY_1_2, Versions};
use crate::home::Home;
use crate::site::{LOCAL_PEERS, Site, Way, peer};
use crate::stream_client::StreamClient;
use crate::tools::{find, run, skip};
use crate::wire::{Ending, Wire, connect, connect_from, connect_narrow};

/// More than fits into all buffers on the way.
const LARGE: usize = 24 << 20;

/// A web server that answers each connection once. It ends with the test's process.
fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            thread::spawn(move || answer(connection.unwrap()));
        }
    });
    address
}

/// Reads one request and answers it; a client that is gone is no reason to panic.
fn answer(connection: TcpStream) {
    let mut input = BufReader::new(&connection);
    let mut said = String::new();
    // A binary header of the PROXY protocol ends its first line early, and all lines are taken as they come.
    let announced = announced(&mut input);
    let mut head = String::new();
    while input.read_line(&mut head).is_ok_and(|length| length > 2) {}
    let path = head.split(' ').nth(1).unwrap_or_default();
    let body = match path {
        "/large" => PATTERN.clone(),
        "/upload" => {
            let mut body = vec![0; LARGE];
            let whole = input.read_exact(&mut body).is_ok() && body == *PATTERN;
            format!("whole: {whole}").into_bytes()
        }
        "/to-the-end" => {
            let mut body = Vec::new();
            input.read_to_end(&mut body).unwrap();
            format!("{} bytes", body.len()).into_bytes()
        }
        "/silence" => {
            let _ = input.read_line(&mut said);
            return;
        }
        _ => format!("{announced}{}", head.lines().next().unwrap_or_default()).into_bytes(),
    };
    let mut output = &connection;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = output.write_all(head.as_bytes()).and_then(|()| output.write_all(&body));
}

/// What the PROXY protocol says, as text.
fn announced(input: &mut BufReader<&TcpStream>) -> String {
    use turnbridge::wire::proxy_protocol::{Parsed, parse};
    let Ok(Parsed::Header(header)) = parse(input.fill_buf().unwrap_or_default()) else {
        return String::new();
    };
    input.consume(header.length);
    let ends = header.ends.unwrap();
    format!("{} at {}; ", ends.source, ends.destination)
}

/// What a large file consists of.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..LARGE as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56).to_le_bytes()[0]).collect()
});

fn site(name: &str, backend: SocketAddr, more_keys: &str, more: &str) -> Site {
    let keys = |transport: &str| match transport {
        "tls" | "auto" => format!("fallback = \"{backend}\"\n{more_keys}"),
        _ => String::new(),
    };
    Site::start_with(name, keys, more)
}

fn wire(site: &Site, way: Way, versions: Versions, alpn: &[&str]) -> Wire {
    let stream = connect(site.port(way));
    match way.is_tls() {
        true => Wire::tls(stream, site.authority.client(versions, alpn)).unwrap(),
        false => Wire::Tcp(stream),
    }
}

fn agreed(wire: &Wire) -> Option<String> {
    let Wire::Tls(tls) = wire else { return None };
    tls.conn.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap())
}

/// All that comes until the connection is closed, which must be done properly.
#[track_caller]
fn read_all(wire: &mut Wire) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 65_536];
    loop {
        match wire.read(&mut buffer) {
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(ending) => {
                assert_eq!(ending, Ending::Closed);
                return all;
            }
        }
    }
}

/// The body of the answer to a request.
#[track_caller]
fn get(wire: &mut Wire, path: &str) -> Vec<u8> {
    wire.write(format!("GET {path} HTTP/1.1\r\nHost: turn.example.org\r\n\r\n").as_bytes()).unwrap();
    body(read_all(wire))
}

#[track_caller]
fn body(answer: Vec<u8>) -> Vec<u8> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
    answer[end + 4..].to_vec()
}

#[test]
fn http_is_passed_on_whatever_was_agreed_and_turn_is_not() {
    let site = site("fallback", backend(), "", "");
    let offers: [(&[&str], Option<&str>); 5] = [
        (&["http/1.1"], Some("http/1.1")),
        (&["h2", "http/1.1"], Some("http/1.1")),
        (&["h2"], Some("h2")),
        (&[], None),
        (&["something"], None),
    ];
    for way in [Way::Tls, Way::AutoTls] {
        for versions in [ONLY_1_2, BOTH] {
            for (offer, expected) in offers {
                let mut wire = wire(&site, way, versions, offer);
                assert_eq!(agreed(&wire).as_deref(), expected, "{offer:?}");
                assert_eq!(get(&mut wire, "/page"), b"GET /page HTTP/1.1", "{way:?} {offer:?}");
            }
            for offer in [&[][..], &["stun.turn"], &["h2", "stun.turn"]] {
                let wire = wire(&site, way, versions, offer);
                let mut client = StreamClient::new(wire, site.credential());
                client.allocate().unwrap();
            }
        }
    }
    let mut plain = wire(&site, Way::AutoTcp, BOTH, &[]);
    assert_eq!(get(&mut plain, "/page"), b"GET /page HTTP/1.1");
    site.client(Way::AutoTcp).allocate().unwrap();
    // The listener without a fallback has none.
    let mut plain = site.client(Way::Tcp);
    plain.write(b"GET / HTTP/1.1\r\n\r\n");
    plain.ending();
    assert_eq!(site.end_of(plain.address()), "garbage");
}

#[test]
fn a_request_in_single_bytes_is_passed_on_whole() {
    let site = site("fallback-bytes", backend(), "", "");
    for way in [Way::AutoTcp, Way::Tls] {
        let mut wire = wire(&site, way, BOTH, &[]);
        for byte in b"GET /slowly HTTP/1.1\r\nHost: x\r\n\r\n" {
            wire.write(&[*byte]).unwrap();
        }
        assert_eq!(body(read_all(&mut wire)), b"GET /slowly HTTP/1.1");
    }
}

#[test]
fn large_transfers_are_intact_both_ways_while_turn_goes_on() {
    let site = site("fallback-large", backend(), "", LOCAL_PEERS);
    let (echo, address) = peer();
    for way in [Way::AutoTcp, Way::AutoTls] {
        let mut turn = site.client(way);
        turn.allocate().unwrap();
        turn.bind(ChannelNumber::FIRST, address).unwrap();
        let mut down = wire(&site, way, BOTH, &["http/1.1"]);
        let mut up = wire(&site, way, BOTH, &["http/1.1"]);
        let transfers = [
            thread::spawn(move || assert!(get(&mut down, "/large") == *PATTERN, "it is not what was sent")),
            thread::spawn(move || {
                let head = format!("POST /upload HTTP/1.1\r\nContent-Length: {LARGE}\r\n\r\n");
                up.write(&[head.as_bytes(), &PATTERN[..]].concat()).unwrap();
                assert_eq!(body(read_all(&mut up)), b"whole: true");
            }),
        ];
        let mut rounds = 0;
        while rounds < 50 || !transfers.iter().all(thread::JoinHandle::is_finished) {
            turn.send(ChannelNumber::FIRST, b"meanwhile");
            let mut heard = [0; 100];
            let (length, relay) = echo.recv_from(&mut heard).unwrap();
            echo.send_to(&heard[..length], relay).unwrap();
            assert_eq!(turn.receive(ChannelNumber::FIRST), b"meanwhile");
            rounds += 1;
        }
        for transfer in transfers {
            transfer.join().unwrap();
        }
    }
}

#[test]
fn a_client_that_does_not_read_holds_up_its_backend_and_takes_no_memory() {
    let site = site("fallback-slow", backend(), "", "");
    let before = site.memory();
    let mut slow: Vec<_> = (0..8)
        .map(|_| {
            let mut wire = Wire::Tcp(connect_narrow(site.port(Way::AutoTcp)));
            wire.write(b"GET /large HTTP/1.1\r\n\r\n").unwrap();
            wire
        })
        .collect();
    // One that reads is served meanwhile.
    let mut quick = wire(&site, Way::AutoTcp, BOTH, &[]);
    assert_eq!(get(&mut quick, "/large").len(), LARGE);
    let grown = site.memory().saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB more for what 8 clients do not read");
    let mut last = slow.pop().unwrap();
    assert!(body(read_all(&mut last)) == *PATTERN);
}

#[test]
fn who_has_said_all_can_still_be_answered() {
    let site = site("fallback-half", backend(), "", "");
    for way in [Way::AutoTcp, Way::AutoTls] {
        for is_late in [false, true] {
            let mut wire = wire(&site, way, BOTH, &[]);
            wire.write(b"PUT /to-the-end HTTP/1.1\r\n\r\n").unwrap();
            if is_late {
                site.settle();
            }
            wire.write(&[7; 10_000]).unwrap();
            wire.finish();
            assert_eq!(body(read_all(&mut wire)), b"10000 bytes", "{way:?}");
        }
    }
}

#[test]
fn a_backend_that_is_down_is_told_of_and_missed_by_nobody_else() {
    // A port that nobody listens on, and that nobody else gets.
    let reserved = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    reserved.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = reserved.local_addr().unwrap().as_socket().unwrap();
    let site = site("fallback-down", address, "", "");
    let mut turn = site.client(Way::AutoTls);
    turn.allocate().unwrap();
    for way in [Way::AutoTcp, Way::AutoTls] {
        let mut wire = wire(&site, way, BOTH, &[]);
        wire.write(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert!(wire.read(&mut [0; 100]).is_err(), "{way:?}");
    }
    site.server.wait_for("the fallback cannot be reached", |line| (line["level"] == "warn").then_some(()));
    turn.refresh(600).unwrap();
    // It comes back.
    reserved.listen(10).unwrap();
    let listener = TcpListener::from(reserved);
    let mut wire = wire(&site, Way::AutoTcp, BOTH, &[]);
    wire.write(b"GET /again HTTP/1.1\r\n\r\n").unwrap();
    answer(listener.accept().unwrap().0);
    assert_eq!(body(read_all(&mut wire)), b"GET /again HTTP/1.1");
}

#[test]
fn a_backend_is_told_who_the_client_is() {
    for version in ["v1", "v2"] {
        let keys = format!("fallback_proxy_protocol = \"{version}\"\nproxy_protocol_from = [\"127.0.0.2\"]");
        let site = site(&format!("fallback-{version}"), backend(), &keys, "");
        for way in [Way::AutoTcp, Way::AutoTls, Way::Tls] {
            let mut direct = wire(&site, way, BOTH, &[]);
            let address = direct.stream().local_addr().unwrap();
            let expected = format!("{address} at {}; GET / HTTP/1.1", site.port(way));
            assert_eq!(String::from_utf8(get(&mut direct, "/")).unwrap(), expected);
        }
        // Whom a load balancer has named is named again.
        let mut stream = connect_from("127.0.0.2:0".parse().unwrap(), site.port(Way::AutoTcp));
        stream.write_all(b"PROXY TCP6 2001:db8::7 2001:db8::9 40000 443\r\n").unwrap();
        let told = String::from_utf8(get(&mut Wire::Tcp(stream), "/")).unwrap();
        assert!(told.starts_with("[2001:db8::7]:40000 at 127.0.0.1:"), "{told}");
    }
}

#[test]
fn what_is_passed_on_ends_after_silence() {
    let site = site("fallback-idle", backend(), "", "[limits]\nidle_timeout = \"1s\"\n");
    let mut wire = wire(&site, Way::AutoTls, BOTH, &["http/1.1"]);
    let begun = Instant::now();
    wire.write(b"GET /silence HTTP/1.1\r\n\r\n").unwrap();
    assert!(wire.read(&mut [0; 100]).is_err());
    assert!(begun.elapsed() > Duration::from_secs(1) && begun.elapsed() < Duration::from_secs(10));
    assert_eq!(site.end_of(wire.stream().local_addr().unwrap()), "passed on");
}

#[test]
fn curl_gets_a_page_and_a_large_file() {
    let Some(curl) = find("curl") else { return skip("curl is not installed") };
    let home = Home::new("fallback-curl-home");
    let site = site("fallback-curl", backend(), "", "");
    for (scheme, way) in [("https", Way::AutoTls), ("https", Way::Tls), ("http", Way::AutoTcp)] {
        let mut command = home.command(curl.to_str().unwrap());
        command.args(["-sSk", "--max-time", "60", "-o", "file", "-w", "%{http_code} %{size_download}"]);
        command.arg(format!("{scheme}://{}/large", site.port(way)));
        let (code, said) = run(command);
        assert!(code == Some(0) && said.contains(&format!("200 {LARGE}")), "{said}");
        assert!(std::fs::read(home.path().join("file")).unwrap() == *PATTERN);
    }
}
