//! Bytes to types and back: STUN messages and ChannelData frames.
//!
//! Nothing here does I/O, reads a clock or allocates. A [`Message`] borrows the datagram it was parsed
//! from; a [`Writer`] fills a buffer of the caller's.

mod address;
pub mod attribute;
mod channel_data;
mod demux;
mod header;
mod indication;
mod integrity;
mod message;
pub mod proxy_protocol;
pub mod stream;
mod writer;

pub use address::{AddressFamily, decode_address, decode_xor_address};
pub use attribute::{Attribute, AttributeType};
pub use channel_data::{ChannelData, ChannelNumber, channel_head};
pub use demux::{Kind, kind};
pub use header::{Class, Header, MAGIC_COOKIE, Method, TransactionId};
pub use indication::{DATA_HEAD_MAX, data_indication_head};
pub use integrity::{Integrity, IntegrityError};
pub use message::{Message, ParseError};
pub use writer::{Overflow, Writer};
