//! Other people's clients.

mod aioice;
mod aiortc;
mod libnice;
pub(crate) mod python;
mod relay;
mod turn_client_proto;
mod turn_crate;
mod turnutils;
mod werift;
