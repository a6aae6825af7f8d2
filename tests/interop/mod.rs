//! Other people's clients.

mod aioice;
mod turn_client_proto;
mod turn_crate;
mod turnutils;
