//! A crowd comes and goes: what it takes while it is there, and that all of it comes back.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use turnbridge::net::sys::open_files;
use turnbridge::wire::ChannelNumber;

use crate::client::Client;
use crate::home::Home;
use crate::server::{Credential, Server};
use crate::tools::{free_ports, skip};

const CROWD: usize = 5_000;
/// Clients behind each address, fewer than `limits.allocations_per_ip`.
const PER_ADDRESS: usize = 1_000;

/// What a process has at one moment.
#[derive(Clone, Copy, Debug)]
struct Belongings {
    resident: u64,
    files: usize,
}

impl Belongings {
    fn of(server: &Server) -> Self {
        let process = format!("/proc/{}", server.process.id());
        let rollup = fs::read_to_string(format!("{process}/smaps_rollup")).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        Self { resident: kib * 1024, files: fs::read_dir(format!("{process}/fd")).unwrap().count() }
    }
}

/// A client with an allocation, a permission and a channel, like one in a call.
fn join(number: usize, server: SocketAddr, secret: &str) -> Client {
    let last = u8::try_from(number / PER_ADDRESS + 1).unwrap();
    let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
    let mut client = Client::from(ip, server, Credential::minted(secret, &format!("user-{number}"), 3600));
    let relay = client.allocate(|writer| writer).unwrap();
    client.bind(ChannelNumber::FIRST, relay).unwrap();
    client
}

fn come(server: SocketAddr, secret: &str, count: usize) -> Vec<Client> {
    (0..count).map(|number| join(number, server, secret)).collect()
}

fn go(crowd: Vec<Client>) {
    for mut client in crowd {
        client.release();
    }
}

/// Waits until the server's memory has not shrunk for a while: it gives back in steps.
fn settled(server: &Server) -> Belongings {
    let mut least = Belongings::of(server);
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_secs(2) {
        std::thread::park_timeout(Duration::from_millis(100));
        let now = Belongings::of(server);
        if now.resident < least.resident {
            (least, since) = (now, Instant::now());
        }
    }
    Belongings { files: Belongings::of(server).files, ..least }
}

#[test]
fn five_thousand_allocations_take_little_and_give_everything_back() {
    // The tester needs as many sockets as the server, and both inherit the same limit.
    let limit = open_files::raise().unwrap();
    if limit < CROWD as u64 + 500 {
        return skip(&format!("only {limit} files may be open here"));
    }
    let home = Home::new("hold");
    // Exactly as many ports as the crowd takes.
    let (ports, _) = free_ports(CROWD.try_into().unwrap());
    let server = Server::on_loopback(&home, &[("TURNBRIDGE_RELAY__PORTS", &ports)]);
    let (address, secret) = (server.at("127.0.0.1"), home.secret().unwrap());
    // Code, tables and buffers that any client brings in are not an allocation's; nor is what is remembered of the last
    // thousands of events, which is bounded.
    for _ in 0..50 {
        go(come(address, &secret, 100));
    }

    let before = settled(&server);
    let crowd = come(address, &secret, CROWD);
    let held = settled(&server);
    assert_eq!(held.files, before.files + CROWD, "one descriptor each");
    let one_more = Credential::minted(&secret, "one-more", 3600);
    let refused = Client::from([127, 0, 0, 9].into(), address, one_more).allocate(|writer| writer);
    assert_eq!(refused, Err(508), "all ports are lent");
    go(crowd);
    let released = settled(&server);

    let each = (held.resident.saturating_sub(before.resident)) / CROWD as u64;
    println!("before {before:?}, held {held:?}, released {released:?}: {each} bytes per allocation");
    assert!(each <= 2048, "an allocation takes {each} bytes");
    assert_eq!(released.files, before.files, "every descriptor is back");
    assert!(released.resident * 10 <= before.resident * 11, "of {held:?} came back {released:?}");
    // Every port is back: a second crowd of the same size finds room.
    go(come(address, &secret, CROWD));
    assert_eq!(settled(&server).files, before.files);
}
