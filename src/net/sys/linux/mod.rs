//! Linux: many datagrams per system call, joined (GRO) and split (GSO) by the kernel.

mod address;
mod error_queue;
mod options;
mod receive;
mod send;

pub use error_queue::{ERROR_QUEUE, read_error};
pub use options::{
    DONT_FRAGMENT, disable_fragmentation, enable_error_queue, enable_offloads, restore_fragmentation,
};
pub use receive::{Received, Round, Slots};
pub use send::{MAX_SEGMENTS, Outbox, Parcel, send_one};
