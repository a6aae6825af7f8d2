//! Each option that coturn has had, with a value as somebody may have written it.

use super::*;
use std::collections::BTreeSet;

const EXAMPLES: &[&str] = &[
    "CA-file=/etc/turn/clients.pem",
    "Verbose",
    "acme-redirect=http://acme.example.org/.well-known/acme-challenge/",
    "allocation-default-address-family=keep",
    "allow-loopback-peers",
    "allowed-peer-ip=10.9.8.7",
    "alt-listening-port=3480",
    "alt-tls-listening-port=5350",
    "alternate-server=192.0.2.9:3478",
    "aux-server=[2001:db8::4]:33478",
    "bps-capacity=1000000",
    "cert=/etc/turn/chain.pem",
    "channel-lifetime=600",
    "check-origin-consistency",
    "cipher-list=\"HIGH\"",
    "cli",
    "cli-ip=127.0.0.1",
    "cli-max-output-sessions=100",
    "cli-password=$5$aa$bb",
    "cli-port=5766",
    "cpus=2",
    "daemon",
    "db=/var/db/turndb",
    "denied-peer-ip=172.16.0.0-172.31.255.255",
    "dh-file=/etc/turn/dh.pem",
    "dh1066",
    "dh2066",
    "dh566",
    "drain-min-allocations=5",
    "drop-invalid-packets",
    "drop-invalid-packets-log",
    "dtls",
    "ec-curve-name=prime256v1",
    "external-ip=203.0.113.5/192.0.2.5",
    "fingerprint",
    "include-reason-string",
    "keep-address-family",
    "listening-device=eth0",
    "listening-ip=192.0.2.5",
    "listening-port=3400",
    "log-binding",
    "log-file=/var/log/turn.log",
    "log-min-level=info",
    "lt-cred-mech",
    "max-allocate-lifetime=3600",
    "max-allocate-timeout=60",
    "max-bps=100000",
    "max-port=60000",
    "min-port=50000",
    "mobility",
    "mongo-userdb=\"mongodb://localhost/coturn\"",
    "multiplex-peer",
    "multiplex-peer-max-peers=256",
    "multiplex-peer-port=40000",
    "mysql-userdb=\"host=localhost dbname=coturn\"",
    "ne=3",
    "new-log-timestamp",
    "new-log-timestamp-format \"%FT%T%z\"",
    "no-auth",
    "no-auth-pings",
    "no-cli",
    "no-dtls",
    "no-dynamic-ip-list",
    "no-dynamic-realms",
    "no-loopback-peers",
    "no-multicast-peers",
    "no-rfc5780",
    "no-software-attribute",
    "no-sslv2",
    "no-sslv3",
    "no-stdout-log",
    "no-stun",
    "no-stun-backward-compatibility",
    "no-tcp",
    "no-tcp-relay",
    "no-tls",
    "no-tlsv1",
    "no-tlsv1_1",
    "no-tlsv1_2",
    "no-udp",
    "no-udp-relay",
    "oauth",
    "permission-lifetime=300",
    "pidfile=\"/run/turnserver.pid\"",
    "pkey=/etc/turn/key.pem",
    "pkey-pwd=letmein",
    "proc-group=turnserver",
    "proc-user=turnserver",
    "prod",
    "prometheus",
    "prometheus-address=127.0.0.1",
    "prometheus-cert=/etc/turn/chain.pem",
    "prometheus-key=/etc/turn/key.pem",
    "prometheus-path=/metrics",
    "prometheus-port=9641",
    "prometheus-tls",
    "prometheus-username-labels",
    "psql-userdb=\"host=localhost dbname=coturn\"",
    "raw-public-keys",
    "realm=example.org",
    "redis-statsdb=\"ip=127.0.0.1\"",
    "redis-userdb=\"ip=127.0.0.1\"",
    "relay-device=eth1",
    "relay-ip=192.0.2.5",
    "relay-threads=2",
    "respond-http-unsupported",
    "response-origin-only-with-rfc5780",
    "rest-api-separator=:",
    "rfc3489-compatibility",
    "rfc5766-channel-numbers",
    "rfc5780",
    "secret-key-file=/etc/turn/aes",
    "secure-stun",
    "server-name=turn.example.org",
    "server-relay",
    "simple-log",
    "sock-buf-size=1048576",
    "software-attribute",
    "sql-userdb=\"host=localhost dbname=coturn\"",
    "stale-nonce=600",
    "stateless-nonce",
    "stateless-nonce-secret=of-the-whole-fleet",
    "static-auth-secret=north-north-north",
    "stun-backward-compatibility",
    "stun-only",
    "syslog",
    "syslog-facility=\"LOG_LOCAL1\"",
    "tcp-alternate-server=192.0.2.9",
    "tcp-proxy-port=5555",
    "tls-alternate-server=192.0.2.9:5349",
    "tls-listening-port=443",
    "tlsv1",
    "tlsv1_1",
    "total-quota=100",
    "udp-alternate-server=192.0.2.9",
    "udp-gso",
    "udp-recvmmsg",
    "udp-recvmmsg-log",
    "udp-self-balance",
    "udp-sendmmsg-log",
    "unauthorized-ratelimit",
    "unauthorized-ratelimit-rps=10",
    "use-auth-secret",
    "user=alice:wonderland",
    "user-quota=10",
    "userdb=/var/lib/turn/turndb",
    "verbose",
    "web-admin",
    "web-admin-ip=127.0.0.1",
    "web-admin-listen-on-workers",
    "web-admin-port=8080",
];

fn name(example: &str) -> &str {
    example.split([' ', '=']).next().unwrap()
}

/// Loads what comes of a file, and looks for each of its options in the comments or in what people are told.
#[track_caller]
fn check(text: &str) {
    let converted = converted(text);
    loaded(&converted);
    let told = converted.report.text();
    for line in text.lines() {
        let name = name(line);
        let in_comment = format!("{name} (line");
        let is_said = told.lines().any(|told| told.contains(&format!(", {name}: ")));
        assert!(
            is_said || converted.toml.contains(&in_comment),
            "{name} is lost:\n{told}\n{}",
            *converted.toml
        );
    }
    assert_eq!(verdicts(&converted).len(), text.lines().count(), "{told}");
    assert_eq!(
        converted.report.count(Verdict::Unknown) + converted.report.count(Verdict::Invalid),
        0,
        "{told}"
    );
}

#[test]
fn there_is_an_example_of_each_option() {
    let examples: BTreeSet<&str> = EXAMPLES.iter().copied().map(name).collect();
    assert_eq!(examples, known_options().collect());
}

#[test]
fn each_option_is_carried_over_or_told_of() {
    for example in EXAMPLES {
        check(example);
    }
}

#[test]
fn each_two_options_together_are_carried_over_or_told_of() {
    for (at, example) in EXAMPLES.iter().enumerate() {
        for other in &EXAMPLES[..at] {
            check(&format!("{example}\n{other}"));
        }
    }
}

#[test]
fn all_options_together_are_carried_over_or_told_of() {
    check(&EXAMPLES.join("\n"));
}

#[test]
fn the_guide_names_each_option_that_becomes_a_key() {
    let guide = include_str!("../../../../docs/migrating-from-coturn.md");
    let rows: Vec<&str> = guide.lines().filter(|line| line.starts_with("| `")).collect();
    let discovery = "listening-ip=192.0.2.1\nlistening-ip=192.0.2.2\nrfc5780\nrfc3489-compatibility\nalt-listening-port=9";
    let tls = "cert=/c.pem\npkey=/k.pem\ntls-listening-port=443";
    let mut texts = vec![EXAMPLES.join("\n"), discovery.to_owned(), tls.to_owned()];
    texts.extend(EXAMPLES.iter().map(|example| (*example).to_owned()));
    let mut seen = BTreeSet::new();
    for text in texts {
        for entry in converted(&text).report.entries {
            for key in entry.keys {
                let (option, key) = (format!("`{}`", entry.option), format!("`{key}`"));
                assert!(rows.iter().any(|row| row.contains(&option) && row.contains(&key)), "{option} {key}");
                seen.insert(option);
            }
        }
    }
    assert!(seen.len() > 35, "{seen:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_values_of_any_options_give_a_configuration_that_loads(
        lines in proptest::collection::vec((0..EXAMPLES.len(), 0..EXAMPLES.len() + ODD.len()), 0..16),
    ) {
        let value = |at: usize| match EXAMPLES.get(at) {
            Some(example) => example.split_once('=').map_or("", |(_, value)| value),
            None => ODD[at - EXAMPLES.len()],
        };
        let text: Vec<String> =
            lines.iter().map(|(option, at)| format!("{}={}", name(EXAMPLES[*option]), value(*at))).collect();
        let converted = converted(&text.join("\n"));
        loaded(&converted);
        proptest::prop_assert!(verdicts(&converted).len() >= text.len());
    }
}

/// Values that are close to the edge of something.
const ODD: &[&str] = &[
    "0",
    "1",
    "53",
    "3478",
    "3479",
    "5349",
    "65535",
    "65536",
    "4294967296",
    "18446744073709551616",
    "-1",
    "off",
    "0.0.0.0",
    "::",
    "127.0.0.1",
    "::1",
    "10.0.0.1",
    "10.0.0.2",
    "2001:db8::1",
    "2001:db8::2",
    "255.255.255.255",
    "ff02::1",
    "::ffff:10.0.0.1",
    "[::1]",
    "10.0.0.1/10.0.0.2",
    "10.0.0.2/10.0.0.1",
    "203.0.113.1/10.0.0.1",
    "203.0.113.2/10.0.0.2",
    "203.0.113.1",
    "2001:db8::9/2001:db8::1",
    "0.0.0.0:3478",
    "127.0.0.1:3479",
    "[::]:53",
    "0.0.0.0-255.255.255.255",
    "::-::ffff",
    "a:b",
    "a:0x00112233445566778899aabbccddeeff",
    "a:\u{202E}",
    "\u{30DE}",
    ":",
    "\u{1}",
    "${CREDENTIALS_DIRECTORY}/x",
];
