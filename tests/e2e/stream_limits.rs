//! What clients over TCP and TLS can take from the server, and from each other.

use std::io::Write;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use turnbridge::wire::{ChannelNumber, Message, Method};

use crate::site::{LOCAL_PEERS, Site, WAYS, Way, peer};
use crate::stream_client::{Frame, StreamClient};
use crate::tools::free_ports;
use crate::wire::{Ending, Wire, connect, connect_from, connect_narrow};

const CHANNEL: ChannelNumber = ChannelNumber::FIRST;

/// Whether a connection is served.
fn is_served(site: &Site, source: &str, way: Way) -> Option<StreamClient> {
    let source: SocketAddr = format!("{source}:0").parse().unwrap();
    let mut client = StreamClient::new(Wire::Tcp(connect_from(source, site.port(way))), site.credential());
    let request = client.login.bare(Method::BINDING, |writer| writer);
    // A connection that is refused may be gone before the request is sent.
    let _ = client.wire.write(&request);
    matches!(client.hear(), Ok(Frame::Message(_))).then_some(client)
}

/// The same, until it is served: what has ended makes room when the server has noticed.
fn until_served(site: &Site, source: &str, way: Way) -> StreamClient {
    let begun = Instant::now();
    loop {
        if let Some(client) = is_served(site, source, way) {
            return client;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "no room is made");
    }
}

#[test]
fn connections_are_capped_per_address_and_in_total() {
    let site = Site::start("caps", "[limits]\nconnections = 6\nconnections_per_ip = 4\n");
    // TLS handshakes that are never finished count too.
    let halfway = connect_from("127.0.0.2:0".parse().unwrap(), site.port(Way::Tls));
    let mut held: Vec<_> = (0..3).map(|_| until_served(&site, "127.0.0.2", Way::Tcp)).collect();
    assert!(is_served(&site, "127.0.0.2", Way::AutoTcp).is_none(), "four of one address");
    held.extend((0..2).map(|_| until_served(&site, "127.0.0.3", Way::AutoTcp)));
    assert!(is_served(&site, "127.0.0.4", Way::Tcp).is_none(), "six in all");
    site.server
        .wait_for("connection refused", |line| (line["limit"] == "limits.connections_per_ip").then_some(()));
    // Those who are in are served as before, and what leaves makes room.
    for client in &mut held {
        client.binding();
    }
    drop(halfway);
    until_served(&site, "127.0.0.4", Way::Tcp).binding();
    drop(held.pop());
    held.push(until_served(&site, "127.0.0.2", Way::Tcp));
    for client in &mut held {
        client.binding();
    }
}

#[test]
fn r03_clients_that_allocate_and_leave_leave_nothing() {
    const ROUNDS: usize = 2000;
    // Four ports, one of which is never free: with a leak of one in a thousand the last rounds would fail.
    let (ports, _) = free_ports(4);
    let more = format!("ports = \"{ports}\"\n[limits]\nallocations_per_user = 3\n");
    let site = Site::start("r03", &more);
    let mut steady = site.client(Way::Tcp);
    steady.allocate().unwrap();
    let round = |number: usize| {
        let way = WAYS[number % WAYS.len()];
        let begun = Instant::now();
        loop {
            let mut client = site.client(way);
            match client.allocate() {
                Ok(_) => break,
                // The one before has been closed, and the server is about to notice.
                Err(code @ (486 | 508)) => {
                    assert!(begun.elapsed() < Duration::from_secs(10), "{code} for ever, round {number}");
                }
                Err(code) => panic!("{code} in round {number}"),
            }
        }
    };
    for number in 0..ROUNDS / 10 {
        round(number);
    }
    let settled = |site: &Site| {
        site.settle();
        (site.open_files(), site.memory())
    };
    let before = settled(&site);
    for number in 0..ROUNDS {
        round(number);
    }
    // The last ones have been closed, and the server is about to notice.
    let ended =
        || site.server.process.err.lines().iter().filter(|line| line.contains("allocation ended")).count();
    let begun = Instant::now();
    while ended() < ROUNDS + ROUNDS / 10 && begun.elapsed() < Duration::from_secs(10) {
        thread::park_timeout(Duration::from_millis(50));
    }
    let after = settled(&site);
    assert!(after.0 <= before.0 + 2, "open files: {} before, {} after", before.0, after.0);
    assert!(after.1 <= before.1 + 2048, "KiB of memory: {} before, {} after", before.1, after.1);
    steady.refresh(600).unwrap();
}

#[test]
fn r08_a_slow_reader_loses_data_but_no_answer_and_harms_nobody() {
    const FLOOD: u32 = 60_000;
    let site = Site::start("r08", LOCAL_PEERS);
    for way in [Way::Tcp, Way::Tls] {
        let (socket, address) = peer();
        let mut slow = site.client_on(way, connect_narrow(site.port(way)));
        slow.allocate().unwrap();
        slow.bind(CHANNEL, address).unwrap();
        slow.send(CHANNEL, b"where are you?");
        let (_, relay) = socket.recv_from(&mut [0; 100]).unwrap();

        let mut other = site.client(way);
        let (echo, echo_address) = peer();
        other.allocate().unwrap();
        other.bind(CHANNEL, echo_address).unwrap();

        let before = site.memory();
        let flood = thread::spawn(move || {
            let mut payload = [7; 1200];
            for number in 0..FLOOD {
                payload[..4].copy_from_slice(&number.to_be_bytes());
                // The relay's receive buffer may be full: that loses some, as it should.
                let _ = socket.send_to(&payload, relay);
            }
        });
        // Meanwhile the other one talks, and loses nothing.
        let mut rounds = 0_u32;
        while !flood.is_finished() || rounds < 100 {
            other.send(CHANNEL, &rounds.to_be_bytes());
            let mut heard = [0; 100];
            let (length, relay) = echo.recv_from(&mut heard).unwrap();
            assert_eq!(heard[..length], rounds.to_be_bytes());
            echo.send_to(&heard[..length], relay).unwrap();
            assert_eq!(other.receive(CHANNEL), rounds.to_be_bytes());
            rounds += 1;
        }
        flood.join().unwrap();
        let grown = site.memory().saturating_sub(before);
        assert!(grown < 16 << 10, "{grown} KiB more while {way:?} does not read");

        // A request is answered behind what has waited; what has waited is whole and in order.
        let refresh = slow.login.request(Method::REFRESH, |writer| writer);
        slow.write(&refresh);
        let answer = slow.answer_to(&refresh);
        Message::parse(&answer).unwrap();
        slow.refresh(0).unwrap();
        slow.wire.finish();
        let mut last = None;
        let mut count = 0;
        while let Ok(frame) = slow.hear() {
            let Frame::Channel(_, payload) = frame else { continue };
            assert_eq!(payload.len(), 1200);
            let number = u32::from_be_bytes(*payload.first_chunk().unwrap());
            assert!(last.is_none_or(|last| number > last), "{number} behind {last:?}");
            last = Some(number);
            count += 1;
        }
        assert!(count > 0 && count < FLOOD / 2, "{count} of {FLOOD} have come, {way:?}");
    }
}

#[test]
fn r08_who_does_not_read_answers_is_not_asked_for_more() {
    let site = Site::start("r08-answers", "");
    let mut slow = site.client_on(Way::Tcp, connect_narrow(site.port(Way::Tcp)));
    // The shortest request with a long answer: what is read at once asks for more than may wait.
    let request = slow.login.bare(Method::ALLOCATE, |writer| writer);
    let requests = request.repeat(1000);
    slow.wire.stream().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let before = site.memory();
    // Until the server reads no more: the kernel's buffers on both sides are full then.
    let mut written = 0;
    while let Ok(count) = slow.wire.stream().write(&requests[written % requests.len()..]) {
        written += count;
        assert!(written < 200 << 20, "the server takes everything");
    }
    let grown = site.memory().saturating_sub(before);
    assert!(grown < 4 << 10, "{grown} KiB more");
    // Others are served, and it is told all as soon as it reads.
    site.client(Way::Tcp).binding();
    let mut answers = 0;
    slow.wire.stream().set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    while answers < written / request.len() {
        assert!(matches!(slow.hear(), Ok(Frame::Message(_))));
        answers += 1;
    }
}

#[test]
fn r10_without_descriptors_nothing_spins_and_it_recovers() {
    const FILES: usize = 60;
    let site = Site::start_by(
        "r10",
        |_| String::new(),
        "",
        |home, file| {
            let mut command = home.command("sh");
            let script = format!("ulimit -n {FILES}; exec \"$0\" --config \"$1\"");
            command.args(["-c", &script, crate::home::TURNBRIDGE, file]);
            command
        },
    );
    let mut served = site.client(Way::Tcp);
    served.binding();
    let spare = site.open_files();
    assert!(spare < FILES, "{spare}");
    // The kernel accepts them all; the server cannot take the last ones.
    let waiting: Vec<_> = (0..FILES).map(|_| connect(site.port(Way::Tcp))).collect();
    site.server.wait_for("connections cannot be accepted", |_| Some(()));
    let before = site.processor_time();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        // Who is in is served, a few times a second.
        served.binding();
        assert_eq!(served.allocate(), Err(508), "no descriptor for a relay");
        thread::park_timeout(Duration::from_millis(200));
    }
    let used = site.processor_time() - before;
    assert!(used < 40, "{used} hundredths of a second in two seconds");
    // UDP needs no descriptor per client.
    site.udp_client().binding();
    drop(waiting);
    // Those who left make room, for connections and relays.
    let mut next = site.client(Way::Tcp);
    next.binding();
    next.allocate().unwrap();
    served.allocate().unwrap();
    next.wire.finish();
    assert_eq!(next.ending(), Ending::Closed);
}
