//! The TURN core against the words of RFC 8489, RFC 8656 and RFC 5780, and against the rows of the threat table (ids like
//! P04 or A14). One file per topic; `docs/rfc-coverage.md` says which test shows which requirement.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at few of many")]

#[path = "../rig/mod.rs"]
mod rig;

mod admission;
mod allocate;
mod authentication;
mod binding;
mod channels;
mod data;
mod dual_allocation;
mod edges;
mod expiry;
mod icmp;
mod limits;
mod nat_discovery;
mod operators;
mod peers;
mod permissions;
mod refresh;
mod reservations;
mod streams;
mod tcp_allocate;
mod tcp_attempt;
mod tcp_bind;
mod tcp_connect;
mod tcp_ends;
mod tcp_passage;
mod verdicts;
