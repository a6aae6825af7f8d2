//! Turnbridge, a STUN and TURN server.

pub mod net;
pub mod wire;
