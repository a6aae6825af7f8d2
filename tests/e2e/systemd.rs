//! What systemd and the server say to each other: notifications, the watchdog, and sockets that are opened before it.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::client::Client;
use crate::home::{Home, TURNBRIDGE};
use crate::process::Process;
use crate::server::{Credential, Server};
use crate::stream_client::StreamClient;
use crate::tools::{find, free_ports, run, skip_for_want_of};
use crate::wire::{Wire, connect};

/// Longer than anything takes that is going to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// The service manager's end of `$NOTIFY_SOCKET`.
struct Manager(UnixDatagram);

impl Manager {
    fn new(home: &Home) -> Self {
        let socket = UnixDatagram::bind(home.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next thing it is told, signs of life apart.
    fn heard(&self) -> String {
        std::iter::repeat_with(|| self.next()).find(|heard| heard != "WATCHDOG=1").unwrap()
    }

    fn next(&self) -> String {
        let mut buffer = [0; 2048];
        let length = self.0.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }
}

#[test]
fn the_manager_is_told_when_the_server_is_ready_reloading_alive_and_stopping() {
    let home = Home::new("notify");
    let manager = Manager::new(&home);
    let notify = home.path().join("notify");
    let environment = [("NOTIFY_SOCKET", notify.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let mut server = Server::on_loopback(&home, &environment);

    let ready = manager.heard();
    let expected = format!("READY=1\nMAINPID={}\nSTATUS=serving 0 allocations on ", server.process.id());
    assert!(ready.starts_with(&expected), "{ready}");
    assert!(ready.contains(&format!("udp:{}", server.at("127.0.0.1"))), "{ready}");
    for _ in 0..5 {
        assert_eq!(manager.next(), "WATCHDOG=1");
    }

    server.process.reload();
    let reloading = manager.heard();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(manager.heard(), ready, "READY again, with the same status");

    assert!(server.stop().success());
    assert_eq!(manager.heard(), "STOPPING=1\nSTATUS=draining");
    let more_time = manager.heard();
    assert!(more_time.starts_with("EXTEND_TIMEOUT_USEC="), "{more_time}");
    assert_eq!(manager.heard(), "STOPPING=1\nSTATUS=stopping");
}

/// A manager that is told of an end cannot be told that there is none, and would kill the server in the end.
#[test]
fn a_drain_that_can_be_taken_back_is_no_end_for_the_manager() {
    let home = Home::new("notify-cancel");
    let manager = Manager::new(&home);
    let notify = home.path().join("notify");
    let server = Server::on_loopback(&home, &[("NOTIFY_SOCKET", notify.to_str().unwrap())]);
    let mut client = Client::new(server.at("127.0.0.1"), server.credential());
    client.allocate(|writer| writer).unwrap();
    assert!(manager.heard().starts_with("READY=1\n"));
    for (arguments, status) in [(["drain", "--stop"], "draining"), (["drain", "--cancel"], "serving")] {
        assert_eq!(run(home.turnbridge(&arguments)).0, Some(0));
        let heard = manager.heard();
        assert!(heard.starts_with(&format!("STATUS={status} 1 allocation on ")), "{heard}");
    }
    server.process.reload();
    assert!(manager.heard().starts_with("RELOADING=1\n"));
    let ready = manager.heard();
    assert!(ready.starts_with("READY=1\n") && ready.contains("STATUS=serving"), "{ready}");
}

#[test]
fn a_server_that_cannot_start_is_never_ready() {
    let home = Home::new("notify-busy");
    let manager = Manager::new(&home);
    manager.0.set_nonblocking(true).unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let mut command = home.turnbridge(&["--listen", &listen]);
    command.env("NOTIFY_SOCKET", home.path().join("notify"));
    let mut process = Process::start(command);
    assert_eq!(process.wait().code(), Some(75), "{}", process.err.text());
    assert!(manager.0.recv(&mut [0; 16]).is_err(), "nothing was said");
}

#[test]
fn files_that_systemd_hands_over_are_read() {
    let home = Home::new("credentials");
    home.file("turnbridge.secret", "a secret handed over by systemd");
    let config =
        home.file("t.toml", "[auth]\nsecret_files = [\"${CREDENTIALS_DIRECTORY}/turnbridge.secret\"]\n");
    let check = || home.turnbridge(&["check", config.to_str().unwrap()]);
    let mut with = check();
    with.env("CREDENTIALS_DIRECTORY", home.path());
    let (code, said) = run(with);
    assert_eq!(code, Some(0), "{said}");
    let whole = home.path().join("turnbridge.secret");
    assert!(said.contains(&format!("by secret 1 ({})", whole.display())), "{said}");
    assert!(said.contains("${CREDENTIALS_DIRECTORY}/turnbridge.secret"), "as it was written: {said}");
    let (code, said) = run(check());
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("t.toml:2:17") && said.contains("CREDENTIALS_DIRECTORY is not set"), "{said}");
    assert!(!said.contains("cannot be read"), "one problem, one message: {said}");
}

/// An address that is free just now, for somebody who cannot tell us which one was taken.
fn free_address() -> SocketAddr {
    let (_, ports) = free_ports(1);
    SocketAddr::new("127.0.0.1".parse().unwrap(), *ports.start())
}

/// The server, started by `systemd-socket-activate` when the first client comes.
fn activated(home: &Home, options: &[&str], listen: SocketAddr) -> Option<Process> {
    let Some(activate) = find("systemd-socket-activate") else {
        skip_for_want_of("systemd-socket-activate");
        return None;
    };
    let mut command = home.command(activate.to_str().unwrap());
    command.args(options).args(["--listen", &listen.to_string(), "--fdname", "voice"]);
    for name in ["XDG_STATE_HOME", "TURNBRIDGE_RELAY__ADDRESSES"] {
        command.args(["--setenv", name]);
    }
    command.env("TURNBRIDGE_RELAY__ADDRESSES", "127.0.0.1");
    command.args([TURNBRIDGE, "--listen", &listen.to_string()]);
    let process = Process::start(command);
    process.err.wait_for("word that it waits", |line| line.contains("Listening on").then_some(()));
    Some(process)
}

fn says(process: &Process, event: &str, field: &str) -> String {
    process.err.wait_for(event, |line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        (line["event"] == event).then(|| line[field].as_str().unwrap_or_default().to_owned())
    })
}

/// Nobody: a Binding needs no credential.
fn nobody() -> Credential {
    Credential { username: String::new(), password: String::new() }
}

/// Asks for a Binding over UDP, and demands the right answer.
#[track_caller]
fn bind_over_udp(server: SocketAddr) {
    let mut client = Client::new(server, nobody());
    assert_eq!(client.binding(), client.address());
}

/// Asks for a Binding over TCP, and demands the right answer.
#[track_caller]
fn bind_over_tcp(server: SocketAddr) {
    let mut client = StreamClient::new(Wire::Tcp(connect(server)), nobody());
    assert_eq!(client.binding(), client.address());
}

#[test]
fn a_udp_socket_of_systemd_socket_activate_is_served() {
    let home = Home::new("activated-udp");
    let address = free_address();
    let Some(mut process) = activated(&home, &["--datagram"], address) else { return };
    bind_over_udp(address);
    assert_eq!(says(&process, "inherited socket in use", "listener"), format!("udp:{address}"));
    assert_eq!(says(&process, "inherited socket in use", "name"), "voice");
    // What was not inherited is opened as always.
    bind_over_tcp(address);
    process.terminate();
    assert!(process.wait().success());
}

#[test]
fn a_tcp_socket_of_systemd_socket_activate_is_served_by_all_workers() {
    let home = Home::new("activated-tcp");
    let address = free_address();
    let Some(mut process) = activated(&home, &[], address) else { return };
    for _ in 0..20 {
        bind_over_tcp(address);
    }
    bind_over_udp(address);
    assert_eq!(says(&process, "inherited socket in use", "listener"), format!("tcp:{address}"));
    process.terminate();
    assert!(process.wait().success());
}

/// The server with these sockets as a service manager passes them on, and these names.
fn inherits(home: &Home, sockets: &[&dyn AsRawFd], names: &str, arguments: &[&str]) -> Command {
    let moves: String =
        sockets.iter().zip(3..).map(|(socket, to)| format!("{to}<&{} ", socket.as_raw_fd())).collect();
    let script = format!(
        "exec {moves}; LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={names} exec \"$0\" \"$@\"",
        sockets.len()
    );
    // Not every shell takes descriptors of two digits.
    let mut command = home.command("bash");
    command.args(["-c", &script, TURNBRIDGE]).args(arguments);
    command.env("TURNBRIDGE_RELAY__ADDRESSES", "127.0.0.1");
    command
}

/// A socket that processes which are started now get as well.
fn inheritable(kind: Type, address: &str) -> Socket {
    let socket = Socket::new(Domain::IPV4, kind, None).unwrap();
    socket.set_cloexec(false).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.parse::<SocketAddr>().unwrap().into()).unwrap();
    if kind == Type::STREAM {
        socket.listen(16).unwrap();
    }
    socket
}

fn address_of(socket: &Socket) -> SocketAddr {
    socket.local_addr().unwrap().as_socket().unwrap()
}

#[test]
fn several_udp_sockets_on_one_address_are_divided_among_the_workers() {
    let home = Home::new("inherited-group");
    let first = inheritable(Type::DGRAM, "127.0.0.1:0");
    let address = address_of(&first);
    let second = inheritable(Type::DGRAM, &address.to_string());
    let listen = format!("udp:{address}");
    let command =
        inherits(&home, &[&first, &second], "a:b", &["--listen", &listen, "--set", "server.workers=2"]);
    let server = Server::start(&home, command);
    drop((first, second));
    // The kernel divides clients between the sockets; that so many are all served shows that both are heard.
    for _ in 0..32 {
        bind_over_udp(address);
    }
    let mut client = Client::new(address, server.credential());
    client.allocate(|writer| writer).unwrap();
    assert!(
        server
            .logged("fewer inherited UDP sockets than workers; the others do not serve this address")
            .is_empty()
    );
}

#[test]
fn one_udp_socket_is_served_by_one_worker_and_the_log_says_so() {
    let home = Home::new("inherited-one");
    let socket = inheritable(Type::DGRAM, "127.0.0.1:0");
    let address = address_of(&socket);
    let listen = format!("udp:{address}");
    let command = inherits(&home, &[&socket], "a", &["--listen", &listen, "--set", "server.workers=2"]);
    let server = Server::start(&home, command);
    drop(socket);
    for _ in 0..8 {
        bind_over_udp(address);
    }
    let warned =
        server.logged("fewer inherited UDP sockets than workers; the others do not serve this address");
    assert_eq!(warned[0]["address"], address.to_string());
}

#[test]
fn a_tcp_socket_for_all_addresses_serves_a_listener_on_all_addresses() {
    let home = Home::new("inherited-wildcard");
    let socket = inheritable(Type::STREAM, "0.0.0.0:0");
    let port = address_of(&socket).port();
    let listen = format!("tcp:0.0.0.0:{port}");
    let server = Server::start(&home, inherits(&home, &[&socket], "all", &["--listen", &listen]));
    drop(socket);
    let server_address = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
    bind_over_tcp(server_address);
    assert!(server.listeners_over("tcp").iter().all(|address| !address.ip().is_unspecified()));
    assert_eq!(server.logged("inherited socket in use")[0]["listener"], format!("tcp:0.0.0.0:{port}"));
}

#[test]
fn sockets_that_belong_to_no_listener_are_named_and_closed_and_the_server_goes_on() {
    let home = Home::new("inherited-wrong");
    let stray = inheritable(Type::STREAM, "127.0.0.1:0");
    let wildcard = inheritable(Type::DGRAM, "0.0.0.0:0");
    let local = UnixDatagram::unbound().unwrap();
    SockRef::from(&local).set_cloexec(false).unwrap();
    let command =
        inherits(&home, &[&stray, &wildcard, &local], "web:voice:odd", &["--listen", "127.0.0.1:0"]);
    let server = Server::start(&home, command);
    bind_over_udp(server.at("127.0.0.1"));

    let strays = server.logged("inherited socket belongs to no listener");
    let told: Vec<_> = strays.iter().map(|line| (line["name"].as_str(), line["socket"].as_str())).collect();
    let (tcp, udp) = (format!("tcp:{}", address_of(&stray)), format!("udp:{}", address_of(&wildcard)));
    assert_eq!(told, [(Some("web"), Some(&*tcp)), (Some("voice"), Some(&*udp))]);
    assert!(strays[1]["detail"].as_str().unwrap().contains("ListenDatagram="), "{strays:?}");
    let unusable = server.logged("inherited socket cannot be used");
    assert_eq!(unusable[0]["name"], "odd", "{unusable:?}");

    let here = |socket: &Socket| fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
    let there = |number: u32| fs::read_link(format!("/proc/{}/fd/{number}", server.process.id())).ok();
    for (number, socket) in [(3, &stray), (4, &wildcard)] {
        assert_ne!(there(number), Some(here(socket)), "descriptor {number} is closed");
    }
}

#[test]
fn descriptors_that_are_announced_and_not_there_keep_the_server_from_starting() {
    let home = Home::new("inherited-missing");
    let mut command = home.command("sh");
    let script = "LISTEN_PID=$$ LISTEN_FDS=900 exec \"$0\" --listen 127.0.0.1:0";
    command.args(["-c", script, TURNBRIDGE]);
    let mut process = Process::start(command);
    assert_eq!(process.wait().code(), Some(1));
    assert!(process.err.text().contains("LISTEN_FDS"), "{}", process.err.text());
}
