//! What a running worker can be told anew about its sockets.

use crate::net::stream::{Neighbours, StreamOptions};

/// How a worker's sockets are used, as far as that can change while it runs. What all workers share is changed by itself:
/// the relay ports and the caps.
#[derive(Clone, Debug)]
pub struct NetSettings {
    /// What was decided about connections.
    pub streams: StreamOptions,
    /// Who is in front of the listeners for connections and behind them, in the order of the listeners.
    pub neighbours: Box<[Neighbours]>,
}
