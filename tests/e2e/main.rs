//! The program as its users meet it: started as a process, on real sockets, with other people's clients.
//!
//! A test that lacks something prints `skipped: REASON`. With `TURNBRIDGE_TESTS_REQUIRE=1`, which `tests/run` sets once
//! it has installed the tools, a missing tool is a failure instead.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "how a test fails, and tells why, in its helpers too"
)]
#![cfg(target_os = "linux")]

mod asker;
mod authority;
mod client;
mod home;
mod login;
mod pebble;
mod process;
mod receiver;
mod server;
mod site;
mod stream_client;
mod tools;
mod wire;

mod accounting;
mod accounting_webhook;
mod acme;
mod admin;
mod admin_access;
mod admin_commands;
mod admin_control;
mod admin_crowd;
mod admin_sessions;
mod app_examples;
mod auth_webhook;
#[path = "../browser/mod.rs"]
mod browser;
mod certificates;
mod drain;
mod exit_codes;
mod explain;
mod fallback;
mod first_minute;
mod healthcheck;
mod hold;
mod import;
#[path = "../interop/mod.rs"]
mod interop;
mod isolation;
mod log;
mod metrics;
#[path = "../netlab/mod.rs"]
mod netlab;
mod networks;
mod ports;
mod proxy_protocol;
mod reload;
mod renewal_info;
mod schemathesis;
mod stream_ends;
mod stream_framing;
mod stream_limits;
mod stream_tls;
mod systemd;
mod tcp_relay;
mod units;
