mod examples;

use super::*;
use crate::config::{self, Inputs, Loaded};

fn converted(text: &str) -> Converted {
    converted_with(text, None)
}

fn converted_with(text: &str, database: Option<&Database>) -> Converted {
    convert(Source { name: "turnserver.conf", text, directory: Path::new("/etc"), database })
}

/// What the server makes of a result.
#[track_caller]
fn loaded(converted: &Converted) -> Loaded {
    let number = std::sync::atomic::AtomicUsize::fetch_add(&FILES, 1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("turnbridge-coturn-{}-{number}", std::process::id()));
    std::fs::write(&path, converted.toml.as_bytes()).unwrap();
    let loaded = config::load(Inputs { file: Some(path.clone()), overrides: Vec::new() });
    std::fs::remove_file(&path).unwrap();
    loaded.unwrap_or_else(|error| panic!("{error}\n{}", *converted.toml))
}

static FILES: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// The effective value of a key, as `check` shows it.
#[track_caller]
fn key(converted: &Converted, path: &str) -> String {
    let shown = toml::Value::try_from(&loaded(converted).raw).unwrap();
    let value = path.split('.').try_fold(&shown, |value, step| match step.parse::<usize>() {
        Ok(index) => value.get(index),
        Err(_) => value.get(step),
    });
    value.map_or_else(|| "nothing".to_owned(), ToString::to_string)
}

/// The verdicts on the lines of a file, in their order.
fn verdicts(converted: &Converted) -> Vec<Verdict> {
    let lines = converted.report.entries.iter().filter(|entry| matches!(entry.place, Place::Line(_)));
    lines.map(|entry| entry.verdict).collect()
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let converted = converted("# nothing\n\n");
    let expected = config::raw::Config::default();
    assert_eq!(loaded(&converted).raw, expected);
    assert_eq!(verdicts(&converted), []);
}

#[test]
fn options_become_the_keys_that_mean_the_same() {
    let cases: &[(&str, &str, &str)] = &[
        ("realm=example.org", "server.realm", "\"example.org\""),
        ("listening-port=443", "listener.0.address", "\":443\""),
        ("listening-port=443", "listener.1.transport", "\"tcp\""),
        ("listening-ip=192.0.2.1", "listener.0.address", "\"192.0.2.1:3478\""),
        ("listening-ip=2001:db8::1", "listener.1.address", "\"[2001:db8::1]:3478\""),
        ("listening-ip=0.0.0.0\nlistening-port=53", "listener.0.address", "\"0.0.0.0:53\""),
        ("listening-ip=192.0.2.1", "relay.addresses", "[\"192.0.2.1\"]"),
        ("listening-ip=0.0.0.0", "relay.addresses", "[]"),
        ("listening-ip=192.0.2.1\nrelay-ip=192.0.2.2", "relay.addresses", "[\"192.0.2.2\"]"),
        ("no-udp", "listener.0.transport", "\"tcp\""),
        ("no-tcp", "listener.0.transport", "\"udp\""),
        ("no-tcp", "listener.1", "nothing"),
        ("aux-server=192.0.2.1:33478", "listener.2.address", "\"192.0.2.1:33478\""),
        ("tcp-proxy-port=5555", "listener.2.address", "\":5555\""),
        ("tcp-proxy-port=5555", "listener.2.proxy_protocol_from.1", "\"10.0.0.0/8\""),
        ("cert=/c.pem\npkey=/k.pem", "listener.1.transport", "\"auto\""),
        ("cert=/c.pem\npkey=/k.pem", "listener.2.address", "\":5349\""),
        ("cert=/c.pem\npkey=/k.pem\nno-tcp", "listener.1.transport", "\"tls\""),
        ("cert=/c.pem\npkey=/k.pem\ntls-listening-port=443", "listener.2.address", "\":443\""),
        ("cert=/c.pem\npkey=/k.pem\ntls-listening-port=3478", "listener.2", "nothing"),
        ("cert=/c.pem\npkey=/k.pem\nno-tls", "tls.certificate", "[]"),
        ("cert=turn/c.pem\npkey=/k.pem", "tls.certificate.0.chain", "\"/etc/turn/c.pem\""),
        ("no-tlsv1_2", "tls.min_version", "\"1.3\""),
        ("min-port=50000\nmax-port=50999", "relay.ports", "\"50000-50999\""),
        ("min-port=50000", "relay.ports", "\"50000-65535\""),
        ("external-ip=203.0.113.7", "relay.external", "[\"203.0.113.7\"]"),
        ("external-ip=203.0.113.7/10.0.0.5", "relay.external", "[\"203.0.113.7/10.0.0.5\"]"),
        (
            "use-auth-secret\nstatic-auth-secret=one-secret\nstatic-auth-secret=another",
            "auth.secrets.1",
            "\"***\"",
        ),
        ("rest-api-separator=|", "auth.separator", "\"|\""),
        ("lt-cred-mech\nuser=bob:builder", "auth.user.0.name", "\"bob\""),
        ("user=bob:0xbc807ee29df3c9ffa736523fb2c4e8ee", "auth.user.0.key", "\"***\""),
        ("user-quota=12", "limits.allocations_per_user", "12"),
        ("user-quota=0", "limits.allocations_per_user", "\"unlimited\""),
        ("total-quota=1200", "limits.allocations", "1200"),
        ("max-bps=64000", "limits.bandwidth_per_allocation", "\"512 kbit/s\""),
        ("max-bps=0", "limits.bandwidth_per_allocation", "\"unlimited\""),
        ("bps-capacity=125000000", "limits.bandwidth", "\"1 Gbit/s\""),
        ("max-allocate-lifetime=7200", "limits.max_lifetime", "\"2h\""),
        ("max-allocate-lifetime=10", "limits.max_lifetime", "\"2m\""),
        ("max-allocate-timeout=20", "limits.first_request_timeout", "\"20s\""),
        ("no-tcp-relay", "limits.connections_per_allocation", "0"),
        ("unauthorized-ratelimit\nunauthorized-ratelimit-rps=20", "limits.challenge_rate", "\"20/s\""),
        ("denied-peer-ip=10.0.0.0-10.255.255.255", "peers.deny", "[\"10.0.0.0/8\"]"),
        ("denied-peer-ip=fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "peers.deny", "[\"fc00::/7\"]"),
        ("allowed-peer-ip=10.1.2.3", "peers.allow", "[\"10.1.2.3/32\"]"),
        ("allow-loopback-peers", "peers.allow", "[\"127.0.0.0/8\", \"::1/128\"]"),
        ("rfc5766-channel-numbers", "turn.channel_numbers", "\"rfc5766\""),
        (
            "rfc5780\nlistening-ip=192.0.2.1\nlistening-ip=192.0.2.2",
            "nat_discovery.addresses.1",
            "\"192.0.2.2\"",
        ),
        ("rfc5780\nlistening-ip=192.0.2.1\nlistening-ip=192.0.2.2", "nat_discovery.alternate_port", "3479"),
        (
            "rfc5780\nlistening-ip=192.0.2.1\nlistening-ip=192.0.2.2\nalt-listening-port=3500\nrfc3489-compatibility",
            "nat_discovery.alternate_port",
            "3500",
        ),
        ("relay-threads=4", "server.workers", "4"),
        ("relay-threads=0", "server.workers", "1"),
        ("cpus=3", "server.workers", "3"),
        ("sock-buf-size=8388608", "server.receive_buffer", "\"8 MiB\""),
        ("alternate-server=192.0.2.9", "drain.alternates.1", "\"tcp:192.0.2.9:3478\""),
        ("tls-alternate-server=[2001:db8::9]:443", "drain.alternates", "[\"tls:[2001:db8::9]:443\"]"),
        ("prometheus\nprometheus-address=10.0.0.5", "metrics.listen", "[\"10.0.0.5:9641\"]"),
        ("prometheus\nprometheus-port=9000", "metrics.listen", "[\"127.0.0.1:9000\"]"),
        ("prometheus", "metrics.coturn_names", "true"),
        ("prometheus-port=9000", "metrics.listen", "[]"),
        ("Verbose", "log.level", "\"debug\""),
        ("log-min-level=warning", "log.level", "\"warn\""),
    ];
    for (text, path, expected) in cases {
        let converted = converted(text);
        assert_eq!(key(&converted, path), *expected, "{text}\n{}", *converted.toml);
        let wrong = converted.report.count(Verdict::Unknown) + converted.report.count(Verdict::Invalid);
        assert_eq!(wrong, 0, "{text}\n{}", converted.report.text());
        assert_eq!(verdicts(&converted).len(), text.lines().count(), "{}", converted.report.text());
    }
}

#[test]
fn what_cannot_be_the_same_is_said() {
    use Verdict::{Changed, Default, Dropped, Invalid, Unknown};
    let cases: &[(&str, Verdict, &str)] = &[
        ("no-auth", Dropped, "an open relay"),
        ("pkey-pwd=hidden\ncert=/c\npkey=/k", Dropped, "openssl pkey"),
        ("cert=/c.pem", Dropped, "pkey is missing"),
        ("cert=\npkey=/k.pem", Invalid, "path of a PEM file"),
        ("stun-only", Dropped, "cannot be switched off"),
        ("dtls", Dropped, "no DTLS"),
        ("dtls=0", Default, "it is off"),
        ("no-cli", Default, "no telnet"),
        ("no-cli=maybe", Default, "no telnet"),
        ("no-udp=maybe", Invalid, "yes or no"),
        ("no-udp=off", Default, "it is off"),
        ("no-udp\nno-tcp", Changed, "default listeners"),
        ("cli-password=hidden", Dropped, "telnet"),
        ("psql-userdb=\"host=x password=hidden\"", Dropped, "hmackey"),
        ("redis-userdb=\"ip=x password=hidden\"", Dropped, "turn/realm"),
        ("userdb=/var/lib/turn/turndb", Dropped, "--userdb"),
        ("channel-lifetime=600", Default, "600 s"),
        ("channel-lifetime=60", Dropped, "RFC 8656"),
        ("tcp-proxy-port=5555", Changed, "load balancer"),
        ("listening-port=70000", Invalid, "from 1 to 65535"),
        ("listening-port=many", Invalid, "a number"),
        ("listening-ip=eth0", Invalid, "an IP address"),
        ("listening-ip=239.0.0.1", Invalid, "one host"),
        ("aux-server=192.0.2.1", Invalid, "address:port"),
        ("relay-ip=0.0.0.0", Invalid, "one host"),
        ("min-port=50\nmax-port=10", Invalid, "not a range"),
        ("external-ip=example.org", Invalid, "external address"),
        ("external-ip=203.0.113.7\nexternal-ip=203.0.113.8", Dropped, "a second external address"),
        ("relay-ip=10.0.0.1\nrelay-ip=10.0.0.2\nexternal-ip=203.0.113.7", Changed, "10.0.0.2"),
        ("relay-ip=10.0.0.1\nexternal-ip=203.0.113.7/10.0.0.9", Dropped, "not one of relay.addresses"),
        ("rfc5780", Dropped, "two listening-ip"),
        (
            "rfc5780\nlistening-ip=10.0.0.1\nlistening-ip=10.0.0.2\nrelay-ip=10.0.0.3\nexternal-ip=203.0.113.7",
            Dropped,
            "the same outside",
        ),
        ("rfc3489-compatibility", Dropped, "nat_discovery.classic"),
        ("denied-peer-ip=10.0.0.0/8", Invalid, "coturn does not know"),
        ("allowed-peer-ip=0.0.0.0-255.255.255.255", Changed, "private networks"),
        ("user=bob", Invalid, "name:password"),
        ("user=bob:0xhidden", Invalid, "hexadecimal"),
        ("user=bob:hidden\nuser=bob:hidden2", Default, "the last one counts"),
        ("use-auth-secret\nuser=bob:hidden", Changed, "as a comment"),
        ("static-auth-secret=hidden-hidden;", Changed, "semicolon"),
        ("static-auth-secret=", Invalid, "empty"),
        ("realm=", Invalid, "not a realm"),
        ("realm=a\nrealm=b", Default, "line 2 says it again"),
        ("rest-api-separator=7", Invalid, "neither a digit"),
        ("user-quota=99999999999", Invalid, "up to 4294967295"),
        ("max-bps=18446744073709551615", Invalid, "more than any network"),
        ("relay-threads=5000", Invalid, "up to 1024"),
        ("log-file=/var/log/turn.log", Dropped, "StandardError=append"),
        ("udp-alternate-server=192.0.2.9:5000", Changed, "while it is drained"),
        ("alternate-server=turn2.example.org", Invalid, "an IP address"),
        ("prometheus", Changed, "only this host"),
        ("prometheus\nlistening-port=9641", Dropped, "taken by a listener"),
        ("prometheus\nprometheus-address=eth0", Invalid, "an IP address"),
        ("prometheus\nprometheus-path=/x", Dropped, "metrics_path"),
        ("prometheus\nprometheus-tls", Dropped, "without TLS"),
        ("prometheus-port=9000", Default, "prometheus is off"),
        ("log-file=stdout", Default, "standard error"),
        ("log-min-level=loud", Invalid, "expected debug"),
        ("listning-port=3478", Unknown, "did you mean listening-port?"),
        ("--no-tls", Unknown, "did you mean no-tls?"),
        ("something-new=1", Unknown, "not an option"),
        ("realm=\u{FFFD}", Invalid, "not UTF-8"),
    ];
    for (text, verdict, message) in cases {
        let converted = converted(text);
        loaded(&converted);
        let mut of_lines =
            converted.report.entries.iter().filter(|entry| matches!(entry.place, Place::Line(_)));
        let found = of_lines.any(|entry| entry.verdict == *verdict && entry.message.contains(message));
        assert!(found, "{text}: no {verdict:?} with {message:?} in\n{}", converted.report.text());
        assert!(!converted.report.text().contains("hidden"), "{}", converted.report.text());
    }
}

#[test]
fn a_number_with_something_behind_it_is_taken_and_told() {
    let converted = converted("listening-port=443 # like HTTPS");
    assert_eq!(key(&converted, "listener.0.address"), "\":443\"");
    assert!(converted.report.text().contains("443 is taken, as coturn does"), "{}", converted.report.text());
}

#[test]
fn static_users_beside_secrets_sleep_until_somebody_wants_them() {
    let text = "use-auth-secret\nstatic-auth-secret=hidden-hidden-hi\nuser=bob:hidden\n";
    let mut both = converted(text);
    assert_eq!((key(&both, "auth.secrets.0"), key(&both, "auth.user")), ("\"***\"".into(), "[]".into()));
    let awake: Vec<&str> = both
        .toml
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(line) if line.starts_with("[[auth.user") || line.contains(" = \"") => line,
            _ => line,
        })
        .collect();
    both.toml = Zeroizing::new(awake.join("\n"));
    assert_eq!(key(&both, "auth.user.0.name"), "\"bob\"");
}

#[test]
fn secrets_are_in_the_result_and_nowhere_else() {
    let text = "static-auth-secret=hidden-one\nuser=bob:hidden-two\nuser=eve:0xhidden\ncli-password=hidden\n\
                hidden\nhiddenhidden=\nx:hidden=1\nmysql-userdb=\"password=hidden\"\npkey-pwd hidden\nhidden-three hidden";
    let converted = converted(text);
    assert!(converted.toml.contains("\"hidden-one\"") && converted.toml.contains("\"hidden-two\""));
    let told = format!("{:?} {} {}", converted.report, converted.report.text(), {
        serde_json::to_string(&converted.report).unwrap()
    });
    let told = told.replace("hidden-three", "");
    assert!(!told.contains("hidden"), "{told}");
    assert_eq!(verdicts(&converted).len(), text.lines().count(), "{told}");
}

fn database() -> Database {
    let row = |realm: &str, value: &str| RealmRow { realm: realm.into(), value: value.into() };
    let user = |realm: &str, name: &str, key: &str| UserRow {
        realm: realm.into(),
        name: name.into(),
        key: crate::auth::Secret::new(key),
    };
    let secret =
        |realm: &str, value: &str| SecretRow { realm: realm.into(), value: crate::auth::Secret::new(value) };
    Database {
        users: vec![
            user("north", "bob", "bc807ee29df3c9ffa736523fb2c4e8ee"),
            user("north", "broken", "hidden"),
            user("south", "eve", "bc807ee29df3c9ffa736523fb2c4e8ee"),
        ],
        secrets: vec![secret("north", "hidden-hidden-hi"), secret("south", "hidden-south")],
        allowed_peers: vec![row("", "10.0.0.1"), row("south", "10.0.0.2")],
        denied_peers: vec![row("north", "198.51.100.0-198.51.100.255"), row("north", "x")],
        realm_options: vec![row("north", "user-quota=7"), row("south", "max-bps=1"), row("north", "odd=1")],
        origins: 1,
        oauth_keys: 2,
        admins: 1,
    }
}

#[test]
fn a_database_brings_the_users_and_rules_of_the_realm_that_is_served() {
    let database = database();
    let converted = converted_with("realm=north\nuser-quota=3\nuserdb=/var/lib/turn/turndb", Some(&database));
    assert_eq!(key(&converted, "auth.user.0.name"), "\"bob\"");
    assert_eq!(key(&converted, "auth.user.1"), "nothing");
    assert_eq!(key(&converted, "auth.secrets"), "[\"***\"]");
    assert_eq!(key(&converted, "peers.allow"), "[\"10.0.0.1/32\"]");
    assert_eq!(key(&converted, "peers.deny"), "[\"198.51.100.0/24\"]");
    assert_eq!(key(&converted, "limits.allocations_per_user"), "7");
    let told = converted.report.text();
    for part in [
        "line 3, userdb: its users and secrets are in this configuration as they are now",
        "table turnusers_lt: 1 of other realms than \"north\"",
        "\"eve\" (\"south\")",
        "user \"broken\": the key is neither",
        "table turn_secret: 1 of other realms",
        "table allowed_peer_ip: \"10.0.0.2\" of the realm \"south\"",
        "table denied_peer_ip: \"x\" is not a range",
        "table turn_realm_option: \"max-bps\" of the realm \"south\"",
        "table turn_realm_option: \"odd\" of the realm \"north\"",
        "table turn_origin_to_realm: 1 row: ",
        "table oauth_key: 2 rows: ",
        "table admin_user: 1 row: ",
        "line 2, user-quota: the table turn_realm_option says something else",
    ] {
        assert!(told.contains(part), "{part} in\n{told}");
    }
    assert!(!told.contains("hidden"), "{told}");
}

#[test]
fn what_coturn_would_not_accept_from_a_database_is_not_accepted_here() {
    let database = database();
    let secrets = converted_with("realm=north\nuse-auth-secret", Some(&database));
    assert_eq!(
        (key(&secrets, "auth.user"), key(&secrets, "auth.secrets")),
        ("[]".into(), "[\"***\"]".into())
    );
    let users = converted_with("realm=north\nlt-cred-mech", Some(&database));
    assert_eq!(
        (key(&users, "auth.user.0.name"), key(&users, "auth.secrets")),
        ("\"bob\"".into(), "[]".into())
    );
    let users = converted_with("realm=north\nuser=carol:builder", Some(&database));
    assert_eq!(
        (key(&users, "auth.user.1.name"), key(&users, "auth.secrets")),
        ("\"bob\"".into(), "[]".into())
    );
    let none = converted_with("realm=west", Some(&database));
    assert!(none.report.text().contains("auth: there is no secret and no user"), "{}", none.report.text());
}

#[test]
fn the_realm_of_a_database_is_taken_when_the_file_names_none() {
    let mut database = database();
    assert_eq!(key(&converted_with("", Some(&database)), "server.realm"), "\"turn\"");
    database.users.truncate(1);
    database.secrets.truncate(1);
    assert_eq!(key(&converted_with("", Some(&database)), "server.realm"), "\"north\"");
}
