//! From a user name to a key, or the reason why there is none.
//!
//! Two kinds of credentials live side by side: time-limited ones that an application mints with a shared
//! secret (`rest`), and static users from the configuration (`users`). The [`Authenticator`] is an immutable
//! snapshot of both: workers share it without a lock, a reload swaps it.

pub mod authenticator;
pub mod encoding;
pub mod key;
pub mod name;
pub mod rest;
pub mod revocation;
pub mod secret;
pub mod users;
pub(crate) mod webhook_signature;

pub use authenticator::{Authenticator, Candidate, Candidates, CredentialSource, Refused};
pub use key::{Key, PasswordAlgorithm};
pub use revocation::Revocations;
pub use secret::Secret;
