//! Turnbridge, a STUN and TURN server.

pub mod wire;
