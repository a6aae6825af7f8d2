//! Options that nothing comes of, and what to do instead.

use super::option::{Fate, Kind, KnownOption};

const fn switch(name: &'static str, why: &'static str) -> KnownOption {
    KnownOption { name, kind: Kind::Switch, fate: Fate::Dropped(why) }
}

const fn value(name: &'static str, why: &'static str) -> KnownOption {
    KnownOption { name, kind: Kind::Value, fate: Fate::Dropped(why) }
}

const DEVICE: &str = "addresses are named instead of devices: listener.address and relay.addresses";
const DATABASE: &str = "no database is asked: export the users (realm, name and hmackey of the table turnusers_lt) as [[auth.user]] \
                        with `key`, and the secrets (table turn_secret) as auth.secrets or secret_files";
const REDIS: &str = "no database is asked: its users (turn/realm/REALM/user/NAME/key) become [[auth.user]] with `key`, and its \
                     secrets (turn/realm/REALM/secret) auth.secrets or secret_files";
const MULTIPLEX: &str = "each allocation has a relay port of its own, from relay.ports";
const OLD_TLS: &str = "TLS 1.0 and 1.1 are broken (RFC 8996) and not spoken";
const DTLS: &str = "there is no DTLS: browsers use TLS over TCP (turns:…?transport=tcp)";
const DH: &str = "keys are agreed on by elliptic curves; TLS without forward secrecy and finite-field Diffie-Hellman are not spoken";
const TELNET: &str = "there is no telnet interface, and so no password for it";
const OAUTH: &str = "tokens of OAuth (RFC 7635) are not accepted; use time-limited credentials: auth.secrets";
const SYSTEMD: &str =
    "the process is started as the user it is meant to be: User= and Group= in a systemd unit";

pub(super) const OPTIONS: &[KnownOption] = &[
    value("listening-device", DEVICE),
    value("relay-device", DEVICE),
    value(
        "alt-tls-listening-port",
        "NAT discovery is over UDP only; name a listener of its own for another port",
    ),
    switch("udp-self-balance", "all workers share the load of each listener"),
    value("ne", "there is one network engine; workers share the load of each listener"),
    switch("dtls", DTLS),
    switch(
        "no-udp-relay",
        "relaying over UDP is what the server is for; without connections_per_allocation it is all it does",
    ),
    value(
        "allocation-default-address-family",
        "a client that names no family gets IPv4, as RFC 8656 says; it asks for IPv6 by REQUESTED-ADDRESS-FAMILY",
    ),
    switch(
        "keep-address-family",
        "a client that names no family gets IPv4, as RFC 8656 says; it asks for IPv6 by REQUESTED-ADDRESS-FAMILY",
    ),
    switch("multiplex-peer", MULTIPLEX),
    value("multiplex-peer-port", MULTIPLEX),
    value("multiplex-peer-max-peers", MULTIPLEX),
    switch(
        "server-relay",
        "peers always need a permission; without that, anybody could send anything through the relay",
    ),
    switch("udp-recvmmsg-log", "how full batches are is not logged"),
    switch("udp-sendmmsg-log", "how full batches are is not logged"),
    switch("oauth", OAUTH),
    value("server-name", "it is for OAuth, which is not served"),
    switch(
        "secure-stun",
        "Binding requests are answered without a credential, as browsers expect, within limits.binding_rate",
    ),
    switch("check-origin-consistency", "ORIGIN is not looked at; browsers do not send it"),
    value(
        "stateless-nonce-secret",
        "nonces are good on the server that made them; clients take a new one up when another server asks for it",
    ),
    value("psql-userdb", DATABASE),
    value("sql-userdb", DATABASE),
    value("mysql-userdb", DATABASE),
    value("mongo-userdb", DATABASE),
    value("redis-userdb", REDIS),
    value("secret-key-file", "it is the key of an encrypted database password, and no database is asked"),
    value(
        "redis-statsdb",
        "nothing is written to Redis; the log has a line with all totals for each allocation that ends",
    ),
    switch("drop-invalid-packets-log", "what strangers send is counted, not logged"),
    switch("log-binding", "Binding requests are counted, not logged: anybody could fill the disk"),
    switch("software-attribute", "the name of this server has no version that strangers could learn from"),
    switch("include-reason-string", "answers carry the reason that belongs to their code (RFC 8489 §14.8)"),
    switch(
        "respond-http-unsupported",
        "HTTP that comes to a TLS port can be passed on to a web server: listener.fallback",
    ),
    switch("stun-only", "TURN cannot be switched off; nobody gets an allocation without a credential"),
    switch("no-stun", "Binding requests are answered always, within limits.binding_rate"),
    switch(
        "stun-backward-compatibility",
        "clients of RFC 3489 are served together with NAT discovery: nat_discovery.classic",
    ),
    value(
        "CA-file",
        "clients are not asked for certificates, so those without one are let in too; each needs a credential",
    ),
    value(
        "cipher-list",
        "the ciphers are fixed: those of TLS 1.3, and of TLS 1.2 with forward secrecy and AEAD",
    ),
    value("ec-curve-name", "the curves are fixed: X25519 with ML-KEM, X25519, P-256 and P-384"),
    value("dh-file", DH),
    switch("dh566", DH),
    switch("dh1066", DH),
    switch("dh2066", DH),
    switch("tlsv1", OLD_TLS),
    switch("tlsv1_1", OLD_TLS),
    switch(
        "raw-public-keys",
        "clients see certificates, not raw public keys (RFC 7250); browsers know no others",
    ),
    value(
        "acme-redirect",
        "nothing is redirected: certificates can come by themselves (tls.acme), or HTTP is passed on (listener.fallback)",
    ),
    switch(
        "mobility",
        "allocations do not move to another client address (RFC 8016); browsers restart ICE instead",
    ),
    value("pidfile", "systemd knows the process without it: systemctl show -P MainPID"),
    value("proc-user", SYSTEMD),
    value("proc-group", SYSTEMD),
    value(
        "drain-min-allocations",
        "draining ends when all calls have, or after drain.timeout, however many there are",
    ),
    value(
        "syslog-facility",
        "lines go to standard error; journald has the unit's name instead of a facility",
    ),
    value("new-log-timestamp-format", "each line begins with the time as ISO 8601 has it"),
    switch("cli", TELNET),
    value("cli-password", TELNET),
    switch("web-admin", "there is no web page for administrators"),
    switch(
        "prometheus-username-labels",
        "metrics never have a label for each user, of which there is no end",
    ),
];
