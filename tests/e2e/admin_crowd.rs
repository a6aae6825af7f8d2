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

/// Strangers who go on asking for what needs no key keep no place that somebody with a key wants.
#[test]
fn strangers_who_go_on_asking_make_room_for_who_has_a_key() {
    let home = Home::new("busy-crowd");
    let (_server, door) = server(&home);
    let mut crowd: Vec<_> =
        (0..128).map(|_| Stranger { stream: connect(&door), heard: String::new() }).collect();
    for stranger in &mut crowd {
        stranger.ask(1);
    }
    assert_eq!(door.ask("GET /v1/credentials", &[&bearer(KEY)]).status, 200);
    // It was not one of those who fell silent that has gone, but the oldest, and no other.
    for stranger in &mut crowd[1..] {
        stranger.ask(2);
    }
    assert_eq!(rest(crowd.swap_remove(0).stream).matches("HTTP/1.1").count(), 0);
}

struct Stranger {
    stream: TcpStream,
    heard: String,
}

impl Stranger {
    /// Asks once more, and waits until it has had this many answers.
    fn ask(&mut self, answers: usize) {
        self.stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut buffer = [0; 4096];
        while self.heard.matches("HTTP/1.1 200 OK").count() < answers {
            let length = self.stream.read(&mut buffer).unwrap();
            assert!(length > 0, "closed");
            self.heard.push_str(str::from_utf8(&buffer[..length]).unwrap());
        }
    }
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
