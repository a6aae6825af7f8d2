//! Other people's clients.

mod aioice;
pub(crate) mod authority;
pub(crate) mod python;
mod turn_client_proto;
mod turn_crate;
mod turnutils;
