use super::*;

const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\n";

fn answered(request: &str) -> String {
    respond(request.as_bytes(), &HashMap::from([(TOKEN.to_owned(), "token.thumbprint".to_owned())]))
}

#[test]
fn the_key_authorization_is_all_there_is() {
    let found = answered(&format!("GET /.well-known/acme-challenge/{TOKEN} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(
        found.starts_with("HTTP/1.1 200 OK\r\n") && found.ends_with("\r\n\r\ntoken.thumbprint"),
        "{found}"
    );
    assert!(found.contains("Content-Length: 16\r\n"), "{found}");
    let nothing = [
        format!("HEAD /.well-known/acme-challenge/{TOKEN} HTTP/1.1\r\n\r\n"),
        format!("POST /.well-known/acme-challenge/{TOKEN} HTTP/1.1\r\n\r\n"),
        format!("GET /.well-known/acme-challenge/{TOKEN}/ HTTP/1.1\r\n\r\n"),
        format!("GET /.well-known/acme-challenge/../acme-challenge/{TOKEN} HTTP/1.1\r\n\r\n"),
        format!("GET /.well-known/acme-challenge/{TOKEN}\r\n\r\n"),
        format!("GET /.well-known/acme-challenge/{TOKEN} HTTP/1.1 x\r\n\r\n"),
        "GET /.well-known/acme-challenge/ HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "\r\n\r\n".to_owned(),
        "\u{0}\u{fffd}".to_owned(),
    ];
    for request in nothing {
        assert!(answered(&request).starts_with(NOT_FOUND), "{request:?}");
    }
}

/// The port of a responder on loopback. It cannot be asked of the responder, which is always told where to listen.
fn free_port() -> ListenAddress {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    ListenAddress::One(listener.local_addr().unwrap())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn connect(address: ListenAddress) -> TcpStream {
    let ListenAddress::One(address) = address else { unreachable!("a test listens on one address") };
    TcpStream::connect(address).await.unwrap()
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset says no more than an end does.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_request_in_pieces_is_answered_and_the_port_closes_with_its_owner() {
    let address = free_port();
    runtime().block_on(async {
        let responder = Responder::open(address).unwrap();
        responder.answer(TOKEN, "token.thumbprint");
        let mut client = connect(address).await;
        for part in format!("GET /.well-known/acme-challenge/{TOKEN} HTTP/1.1\r\nHost: a\r\n\r\n")
            .split_inclusive('-')
        {
            client.write_all(part.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert!(read_all(&mut client).await.ends_with("token.thumbprint"));
        assert!(Responder::open(address).is_err(), "the port is taken");
        drop(responder);
        tokio::task::yield_now().await;
        let mut responder = Responder::open(address).unwrap();
        responder.close().await;
        Responder::open(address).unwrap();
    });
}

#[test]
fn who_sends_too_much_or_fills_all_places_does_not_keep_the_ca_out() {
    let address = free_port();
    runtime().block_on(async {
        let responder = Responder::open(address).unwrap();
        responder.answer(TOKEN, "token.thumbprint");
        let mut endless = connect(address).await;
        // It is cut off before all of this is read.
        let _ = endless.write_all(&[b'x'; 64 << 10]).await;
        assert_eq!(read_all(&mut endless).await, "");

        let mut idle = Vec::new();
        for _ in 0..MAX_CONNECTIONS + 8 {
            idle.push(connect(address).await);
            tokio::task::yield_now().await;
        }
        let mut client = connect(address).await;
        let request = format!("GET /.well-known/acme-challenge/{TOKEN} HTTP/1.0\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        assert!(read_all(&mut client).await.ends_with("token.thumbprint"));
        assert_eq!(read_all(&mut idle[0]).await, "", "the oldest had to go");
    });
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let address = free_port();
    runtime().block_on(async {
        let _responder = Responder::open(address).unwrap();
        let mut idle = connect(address).await;
        let begun = std::time::Instant::now();
        assert_eq!(read_all(&mut idle).await, "");
        assert!((TIME_LIMIT..TIME_LIMIT * 3).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    });
}
