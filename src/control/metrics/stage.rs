//! What the server as a whole is doing, and with which configuration.

use super::family::Family;
use crate::control::drain::Stage;
use crate::control::plane::{LastReload, Plane};

pub(super) fn families(plane: &Plane) -> Vec<Family> {
    let LastReload { succeeded, in_use_since } = plane.last_reload();
    let is_draining = match plane.stage() {
        Stage::Serving => false,
        Stage::Draining(_) => true,
    };
    vec![
        Family::gauge("turnbridge_draining", "1 while no new allocations are taken.").only(is_draining),
        Family::gauge("turnbridge_config_reload_success", "1 if the last reload, or the start, went well.")
            .only(succeeded),
        Family::gauge(
            "turnbridge_config_reload_timestamp_seconds",
            "When the configuration in use was read, in Unix seconds.",
        )
        .only(in_use_since),
    ]
}
