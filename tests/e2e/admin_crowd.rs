//! Crowds and slow clients at the admin server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::asker::{Door, bearer};
use crate::home::Home;
use crate::server::Server;

const KEY: &str = "mint-key-0123456789abcdef";

fn server(home: &Home) -> (Server, Door) {
    let keys = format!("[{{ name = \"app\", key = \"{KEY}\", scopes = [\"mint\"] }}]");
    let environment =
        [("TURNBRIDGE_ADMIN__LISTEN", "auto,127.0.0.1:0"), ("TURNBRIDGE_ADMIN__KEY", keys.as_str())];
    let mut server = Server::on_loopback(home, &environment);
    server.hide(KEY);
    let door = Door::tcp_of(&server);
    (server, door)
}

fn connect(door: &Door) -> TcpStream {
    let stream = TcpStream::connect(door.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// All that comes until the server closes.
fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    // A reset is an end as well.
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn idle_strangers_are_sent_away_and_keep_nobody_from_the_socket() {
    let home = Home::new("crowd");
    let (_server, door) = server(&home);
    // More than there are places, all of them silent or half silent.
    let mut crowd: Vec<_> = (0..150).map(|_| connect(&door)).collect();
    for stream in crowd.iter_mut().step_by(2) {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: loc").unwrap();
    }
    let began = Instant::now();
    let unix = Door::default_of(&home);
    assert_eq!(unix.ask("GET /healthz", &[]).status, 200);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // Whoever waits is served once the strangers are gone.
    assert_eq!(door.ask("GET /v1/credentials", &[&bearer(KEY)]).status, 200);
    let first = rest(crowd.swap_remove(0));
    assert!(!first.contains("200 OK"), "{first}");
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let home = Home::new("slow-body");
    let (_server, door) = server(&home);
    let mut slow = connect(&door);
    let head = format!(
        "POST /v1/credentials HTTP/1.1\r\nHost: localhost\r\n{}\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{{",
        bearer(KEY)
    );
    slow.write_all(head.as_bytes()).unwrap();
    let answer = rest(slow);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}
