//! Certificates made for the tests, and what becomes of them.

mod files;
mod handshakes;
mod pki;
mod watching;
