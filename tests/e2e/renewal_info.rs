//! A CA that would like certificates back earlier than planned (RFC 9773). Pebble cannot do that, so this one is
//! played: it answers that one question, and nothing that an order needs.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

use crate::home::Home;
use crate::server::Server;
use crate::tools::free_ports;

/// What the CA was asked.
type Asked = Arc<Mutex<Vec<String>>>;

/// An issuer for everything here.
fn root() -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

/// Answers on that port for as long as the test runs.
fn play_ca(listener: TcpListener, root: &Issuer<'static, KeyPair>) -> Asked {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, root).unwrap().der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let asked = Asked::default();
    let told = asked.clone();
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let (config, told) = (config.clone(), told.clone());
            thread::spawn(move || answer(socket, config, &told));
        }
    });
    asked
}

fn answer(mut socket: TcpStream, config: Arc<ServerConfig>, asked: &Asked) {
    let port = socket.local_addr().unwrap().port();
    let mut connection = ServerConnection::new(config).unwrap();
    let mut stream = Stream::new(&mut connection, &mut socket);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        // The client closes, or does not trust us.
        let Ok(1..) = stream.read(&mut byte) else { return };
        head.extend(byte);
    }
    let request = String::from_utf8(head).unwrap().lines().next().unwrap().to_owned();
    let url = |path: &str| format!("https://localhost:{port}/{path}");
    let (status, body) = if request.starts_with("GET /dir ") {
        let directory = serde_json::json!({
            "newNonce": url("nonce"), "newAccount": url("account"), "newOrder": url("order"), "renewalInfo": url("ari"),
        });
        ("200 OK", directory)
    } else if request.starts_with("GET /ari/") {
        let window = serde_json::json!({ "start": "2025-01-02T04:00:00Z", "end": "2025-01-03T04:00:00Z" });
        ("200 OK", serde_json::json!({ "suggestedWindow": window }))
    } else {
        ("503 Service Unavailable", serde_json::json!({}))
    };
    asked.lock().unwrap().push(request);
    let body = body.to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nRetry-After: 21600\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    // Nobody minds if the client has gone.
    let _ = stream.write_all((head + &body).as_bytes()).and_then(|()| stream.flush());
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

/// A certificate that has been good for ten days and will be for eighty, with its key.
fn certificate(root: &Issuer<'static, KeyPair>) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["turn.example.org".to_owned()]).unwrap();
    params.serial_number = Some(vec![0x77, 0x88].into());
    params.use_authority_key_identifier_extension = true;
    // Ten days are more than the tenth of its life in which nothing is renewed.
    let now = std::time::SystemTime::now();
    let day = std::time::Duration::from_secs(86_400);
    params.not_before = (now - day * 10).into();
    params.not_after = (now + day * 80).into();
    key.serialize_pem() + &params.signed_by(&key, root).unwrap().pem()
}

#[test]
fn a_ca_that_wants_a_certificate_back_gets_an_order_for_the_next_one() {
    let home = Home::new("renewal-info");
    let (issuer, root) = root();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = play_ca(listener, &issuer);
    let (_, mut ports) = free_ports(1);
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tls\"\n[relay]\naddresses = [\"127.0.0.1\"]\n\
         [tls.acme]\nnames = [\"turn.example.org\"]\nagree_to_terms = true\nchallenge = \"http-01\"\n\
         http_address = \"127.0.0.1:{}\"\ndirectory = \"https://localhost:{port}/dir\"\nca_file = {:?}\n",
        ports.next().unwrap(),
        home.file("root.pem", &root)
    );
    let config = home.file("t.toml", &text);
    let start = || Server::start(&home, home.turnbridge(&["--config", config.to_str().unwrap()]));
    // The first start makes the folder, and fails to order: this CA has no accounts to give.
    let mut server = start();
    server.wait_for("no certificate was issued", |_| Some(()));
    assert!(server.stop().success());
    let acme = home.path().join("turnbridge/acme");
    let folder = fs::read_dir(acme).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(folder.join("attempts.json")).unwrap();
    fs::write(folder.join("certificate.pem"), certificate(&issuer)).unwrap();
    let key = PrivatePkcs8KeyDer::from(KeyPair::generate().unwrap().serialize_der());
    let account = serde_json::json!({
        "id": format!("https://localhost:{port}/account/1"),
        "key_pkcs8": base64url(key.secret_pkcs8_der()),
        "directory": format!("https://localhost:{port}/dir"),
    });
    fs::write(folder.join("account.json"), account.to_string()).unwrap();

    asked.lock().unwrap().clear();
    let server = start();
    server.wait_for("certificate kept from an earlier start", |_| Some(()));
    server.wait_for("the CA has asked for another time of renewal", |_| Some(()));
    let failed = server.wait_for("no certificate was issued", |line| Some(line.clone()));
    assert_eq!(failed["step"], "place an order", "{failed}");
    let asked = asked.lock().unwrap().clone();
    assert!(asked.iter().any(|line| line.ends_with(".d4g HTTP/1.1")), "by its serial number: {asked:?}");
}

/// In the alphabet for URLs, without padding.
fn base64url(bytes: &[u8]) -> String {
    let mut text = vec![0; turnbridge::auth::encoding::base64_len(bytes.len())];
    turnbridge::auth::encoding::base64_into(bytes, &mut text);
    let text = String::from_utf8(text).unwrap();
    text.trim_end_matches('=').replace('+', "-").replace('/', "_")
}
