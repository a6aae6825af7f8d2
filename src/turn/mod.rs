//! The TURN server as a state machine: [`Input`]s in, [`Output`]s out.
//!
//! No sockets, no clock, no threads, and no randomness of its own. A driver hands in what happened together
//! with the time, and carries out what comes back:
//!
//! - [`Relay::handle`] takes one input and gives its outputs, in order, to a call-back before it returns.
//! - An [`Output::OpenRelay`] is answered by an [`Input::RelayOpened`], at once or later.
//! - An [`Output::ConnectPeer`] is answered by an [`Input::PeerConnected`]. Bytes between the two sides of an
//!   [`Output::Splice`] are the driver's business; [`Relay::pass`] tells how many may go, and counts them.
//! - [`Relay::next_deadline`] tells when [`Relay::expire`] wants to be called; calling it late only delays
//!   the freeing of things, because expiry is checked again when a thing is used.
//!
//! What must be shared between several relays (one per worker) is passed to the constructor: the
//! [`Settings`], who may log in, and how much each user already holds.

mod admission;
mod allocate;
mod allocation;
mod answer;
mod auth;
mod binding;
mod bucket;
mod budget;
mod channel;
mod channel_bind;
mod connect;
mod connection;
mod connection_attempt;
mod connection_bind;
mod connection_id;
mod counters;
mod create_permission;
mod data;
mod deadlines;
mod event;
mod five_tuple;
mod input;
mod judge;
mod nat_discovery;
mod nonce;
mod output;
mod packed_ip;
mod passage;
mod peers;
mod pending;
mod permission;
mod quota;
mod refresh;
mod refusal;
mod refuse;
mod relay;
mod request;
mod session;
mod settings;
mod source;
mod table;
mod tally;
mod time;
mod transaction;
mod verdict;

pub use admission::{Admission, Alternate};
pub use bucket::Rate;
pub use connection_id::{ConnectionId, RelayNumber};
pub use counters::{Ages, Answers, Counters, DropReason, method_name};
pub use event::{Direction, EndReason, Event, Flow, Traffic};
pub use five_tuple::{FiveTuple, ListenerId, Transport};
pub use input::{ConnectError, Icmp, Input, OpenError, OpenedRelay};
pub use nat_discovery::{Corner, NatDiscovery, Quartet};
pub use output::{AllocationId, Output, PortRequest, RelayId, RelayTransport, ReservationToken};
pub use passage::Passage;
pub use peers::{PeerPolicy, PeerRules, PortRule, RuleName};
pub use quota::{AllocationLimits, Quota, QuotaError};
pub use refusal::{Denial, Refusal, Tried};
pub use relay::{Parts, Relay};
pub use session::{Session, SessionBinding, SessionConnection, SessionDetail, SessionPermission};
pub use settings::{ChannelRange, CredentialExpiry, DEFAULT_LIFETIME, Settings, WRONG_PASSWORD_COST};
pub(crate) use source::Source;
pub use tally::Tally;
pub use time::{Millis, Now};
pub use verdict::{Grant, GrantedKeys, PeerTerms, QueryId, Terms, Verdict};

pub use crate::wire::AddressFamily as Family;
