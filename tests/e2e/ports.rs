//! Relay ports are lent, never lost, on real sockets (THREATS R01, R02 and R09).

use std::time::{Duration, Instant};

use turnbridge::wire::{AttributeType, Writer};

use crate::client::Client;
use crate::home::Home;
use crate::server::Server;
use crate::tools::free_ports;

const RESERVE_NEXT: u8 = 0x80;

fn even_port(flags: u8) -> impl Fn(Writer<'_>) -> Writer<'_> {
    move |writer| writer.attribute(AttributeType::EVEN_PORT, &[flags])
}

/// A server with that many relay ports, which are told, and as many clients as asked for.
fn rig(home: &Home, ports: u16, clients: usize) -> (Server, Vec<u16>, Vec<Client>) {
    let (range, ports) = free_ports(ports);
    let server = Server::on_loopback(home, &[("TURNBRIDGE_RELAY__PORTS", &range)]);
    let address = server.at("127.0.0.1");
    let clients = (0..clients).map(|_| Client::new(address, server.credential())).collect();
    (server, ports.collect(), clients)
}

#[test]
fn r01_an_even_port_without_its_neighbour_is_lent_and_given_back_twenty_thousand_times() {
    let home = Home::new("r01");
    let (_server, ports, mut clients) = rig(&home, 4, 4);
    for round in 0..20_000 {
        let relay = clients[round % 4].allocate(even_port(0)).unwrap();
        assert_eq!(relay.port() % 2, 0);
        clients[round % 4].release();
    }
    let mut lent: Vec<u16> =
        clients.iter_mut().map(|client| client.allocate(|writer| writer).unwrap().port()).collect();
    lent.sort_unstable();
    assert_eq!(lent, ports);
}

#[test]
fn r02_a_reserved_port_that_nobody_asks_for_is_free_after_thirty_seconds() {
    let home = Home::new("r02");
    let (_server, ports, mut clients) = rig(&home, 2, 2);
    let [first, second] = &mut clients[..] else { unreachable!("two were asked for") };
    let begun = Instant::now();
    assert_eq!(first.allocate(even_port(RESERVE_NEXT)).unwrap().port(), ports[0]);
    let lent = loop {
        match second.allocate(|writer| writer) {
            Ok(relay) => break relay,
            Err(code) => assert_eq!(code, 508),
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "the reserved port is lost");
        std::thread::park_timeout(Duration::from_millis(100));
    };
    assert_eq!(lent.port(), ports[1]);
    assert!(begun.elapsed() >= Duration::from_secs(29), "it was reserved for {:?} only", begun.elapsed());
}

#[test]
fn r09_a_full_pool_is_told_to_client_and_operator_and_recovers() {
    let home = Home::new("r09");
    let (server, _, mut clients) = rig(&home, 8, 9);
    let (last, others) = clients.split_last_mut().unwrap();
    for client in &mut *others {
        client.allocate(|writer| writer).unwrap();
    }
    assert_eq!(last.allocate(|writer| writer), Err(508));
    let usage = server.wait_for("relay ports are used up", |line| {
        Some((line["taken"].as_u64()?, line["capacity"].as_u64()?))
    });
    assert_eq!(usage, (8, 8));
    others[3].release();
    last.allocate(|writer| writer).unwrap();
}
