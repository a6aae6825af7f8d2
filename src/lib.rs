//! Turnbridge, a STUN and TURN server.

pub mod auth;
pub mod cli;
pub mod config;
pub mod control;
pub mod net;
pub mod turn;
pub mod wire;
