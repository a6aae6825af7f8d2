//! Options for which nothing has to be written: what they ask for is so anyway.

use super::option::{Fate, Kind, KnownOption};

const fn switch(name: &'static str, why: &'static str) -> KnownOption {
    KnownOption { name, kind: Kind::Switch, fate: Fate::Default(why) }
}

const fn value(name: &'static str, why: &'static str) -> KnownOption {
    KnownOption { name, kind: Kind::Value, fate: Fate::Default(why) }
}

const NO_TELNET: &str = "there is no telnet interface";
const NO_WEB_ADMIN: &str = "there is no web page for administrators";
const OLD_TLS: &str = "only TLS 1.2 and 1.3 are spoken";
const BATCHES: &str = "datagrams are received and sent in batches wherever the kernel can";
const NO_DATABASE: &str = "users and secrets are in the configuration, and no database is asked";

pub(super) const OPTIONS: &[KnownOption] = &[
    switch("no-tlsv1", OLD_TLS),
    switch("no-tlsv1_1", OLD_TLS),
    switch("no-sslv2", OLD_TLS),
    switch("no-sslv3", OLD_TLS),
    switch("no-multicast-peers", "multicast and broadcast are never relayed to"),
    switch("no-loopback-peers", "loopback is not relayed to unless peers.allow has it"),
    switch("no-software-attribute", "the name of this server has no version"),
    switch("prod", "the name of this server has no version"),
    switch("fingerprint", "an answer has a fingerprint when its request has one (RFC 8489 §7)"),
    value("stale-nonce", "nonces always end, and clients take the next one up without being noticed"),
    switch("stateless-nonce", "nonces are stateless always, and bound to the client's address"),
    switch("unauthorized-ratelimit", "answers to strangers are budgeted always: limits.challenge_rate"),
    switch("drop-invalid-packets", "what is not STUN gets no answer, and is counted"),
    switch(
        "no-stun-backward-compatibility",
        "answers have no MAPPED-ADDRESS unless nat_discovery.classic is set",
    ),
    switch("response-origin-only-with-rfc5780", "there is no RESPONSE-ORIGIN without NAT discovery"),
    switch("no-cli", NO_TELNET),
    switch("udp-recvmmsg", BATCHES),
    switch("udp-gso", BATCHES),
    switch("no-auth-pings", NO_DATABASE),
    switch("no-dynamic-ip-list", NO_DATABASE),
    switch("no-dynamic-realms", NO_DATABASE),
    switch("new-log-timestamp", "each line begins with the time as ISO 8601 has it"),
    switch("no-stdout-log", "lines go to standard error only"),
    switch("syslog", "lines go to standard error, from where journald takes them"),
    switch("simple-log", "there is no log file that could be rotated"),
    value("cli-max-output-sessions", NO_TELNET),
    value("cli-ip", NO_TELNET),
    value("cli-port", NO_TELNET),
    value("web-admin-ip", NO_WEB_ADMIN),
    value("web-admin-port", NO_WEB_ADMIN),
    switch("web-admin-listen-on-workers", NO_WEB_ADMIN),
    switch("daemon", "the process stays in front, as systemd and containers want it"),
];
