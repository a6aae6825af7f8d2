//! Everything that is not packets: start, state that is kept, what operators are told.

pub mod accounting;
pub mod acme;
pub mod advert;
pub mod auth_webhook;
pub mod certs;
mod crew;
pub mod events;
pub mod explain;
mod fallback;
pub mod first_minute;
pub(crate) mod https;
pub mod ice_servers;
mod listeners;
pub mod logging;
mod news;
pub mod plane;
mod private_file;
pub(crate) mod probe;
pub mod server;
pub mod sessions;
pub mod settings;
pub mod state;
pub mod systemd;
mod tide;
pub mod utc;
pub(crate) mod webhook_signature;
