//! `turnbridge healthcheck` beside a server, and where there is none.

use crate::home::Home;
use crate::server::Server;
use crate::tools::{free_ports, run};

#[test]
fn a_server_that_answers_is_healthy_and_one_that_is_gone_is_not() {
    let home = Home::new("healthcheck");
    let (_, ports) = free_ports(1);
    let udp = format!("127.0.0.1:{}", ports.start());
    let config = home.file(
        "t.toml",
        &format!("[[listener]]\naddress = \"{udp}\"\n[relay]\naddresses = [\"127.0.0.1\"]\n"),
    );
    let config = config.to_str().unwrap();
    let healthcheck = || run(home.turnbridge(&["healthcheck", "--config", config]));
    let mut server = Server::start(&home, home.turnbridge(&["--config", config]));

    let (code, said) = healthcheck();
    assert!(code == Some(0) && said.starts_with(&format!("udp:{udp} answers after ")), "{code:?}: {said}");
    let (code, _) = run(home.turnbridge(&["healthcheck", "--server", &udp]));
    assert_eq!(code, Some(0));

    server.stop();
    let (code, said) = healthcheck();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("error: udp:{udp}: nobody listens there")), "{said}");
}

#[test]
fn a_server_without_udp_is_asked_over_tcp_and_one_with_neither_must_be_named() {
    let home = Home::new("healthcheck-tcp");
    let (_, ports) = free_ports(1);
    let listen = format!("tcp:127.0.0.1:{}", ports.start());
    let mut command = home.turnbridge(&["--listen", &listen]);
    command.env("TURNBRIDGE_RELAY__ADDRESSES", "127.0.0.1");
    let _server = Server::start(&home, command);
    let (code, said) = run(home.turnbridge(&["healthcheck", "--listen", &listen]));
    assert!(code == Some(0) && said.starts_with(&format!("{listen} answers after ")), "{code:?}: {said}");
    let (code, said) = run(home.turnbridge(&["healthcheck", "--listen", "127.0.0.1:0"]));
    assert_eq!(code, Some(2));
    assert!(said.contains("name one with --server"), "{said}");
}
