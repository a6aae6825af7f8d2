//! What the fuzz targets check. It stands apart from them so that ordinary tests can run the same checks
//! over the checked-in inputs, with a stable compiler (`tests/fuzz_inputs.rs` of the server).

pub mod auth;
pub mod config;
pub mod coturn;
pub mod differential;
pub mod model;
pub mod proxy_protocol;
pub mod relay;
pub mod script;
pub mod wire;
