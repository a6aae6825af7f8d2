//! The attributes of STUN and TURN: their numbers, and which of them this server understands.

/// An attribute's number. From 0x8000 on it may be ignored by who does not know it (RFC 8489 §14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttributeType(pub u16);

/// One attribute as it stands in the message, its padding left off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Which attribute it is.
    pub kind: AttributeType,
    /// Its value, unpadded and not interpreted.
    pub value: &'a [u8],
}

macro_rules! attributes {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        impl AttributeType {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Whether this server knows what the attribute means, wherever it stands.
            pub const fn is_understood(self) -> bool {
                matches!(self.0, $($number)|*)
            }
        }
    };
}

attributes! {
    /// The client's address in clear, for RFC 3489 clients and NAT discovery (RFC 8489 §14.1).
    MAPPED_ADDRESS = 0x0001;
    /// Asks for an answer from another address or port (RFC 5780 §7.2).
    CHANGE_REQUEST = 0x0003;
    /// Where the answer to an RFC 3489 client leaves from (RFC 3489 §11.2.5).
    SOURCE_ADDRESS = 0x0004;
    /// Where it would leave from if address and port were changed (RFC 3489 §11.2.3).
    CHANGED_ADDRESS = 0x0005;
    /// RFC 8489 §14.3.
    USERNAME = 0x0006;
    /// HMAC-SHA1 over what stands before it (RFC 8489 §14.5).
    MESSAGE_INTEGRITY = 0x0008;
    /// RFC 8489 §14.8.
    ERROR_CODE = 0x0009;
    /// RFC 8489 §14.13.
    UNKNOWN_ATTRIBUTES = 0x000A;
    /// RFC 8656 §18.1.
    CHANNEL_NUMBER = 0x000C;
    /// RFC 8656 §18.2.
    LIFETIME = 0x000D;
    /// RFC 8656 §18.3.
    XOR_PEER_ADDRESS = 0x0012;
    /// RFC 8656 §18.4.
    DATA = 0x0013;
    /// RFC 8489 §14.9.
    REALM = 0x0014;
    /// RFC 8489 §14.10.
    NONCE = 0x0015;
    /// RFC 8656 §18.5.
    XOR_RELAYED_ADDRESS = 0x0016;
    /// RFC 8656 §18.6.
    REQUESTED_ADDRESS_FAMILY = 0x0017;
    /// RFC 8656 §18.7.
    EVEN_PORT = 0x0018;
    /// RFC 8656 §18.8.
    REQUESTED_TRANSPORT = 0x0019;
    /// RFC 8656 §18.9.
    DONT_FRAGMENT = 0x001A;
    /// HMAC-SHA256 over what stands before it (RFC 8489 §14.6).
    MESSAGE_INTEGRITY_SHA256 = 0x001C;
    /// RFC 8489 §14.12.
    PASSWORD_ALGORITHM = 0x001D;
    /// SHA-256 of user name and realm, in place of USERNAME (RFC 8489 §14.4).
    USERHASH = 0x001E;
    /// RFC 8489 §14.2.
    XOR_MAPPED_ADDRESS = 0x0020;
    /// RFC 8656 §18.10.
    RESERVATION_TOKEN = 0x0022;
    /// Makes a message long enough to be fragmented (RFC 5780 §7.6).
    PADDING = 0x0026;
    /// Asks for an answer to another port (RFC 5780 §7.5).
    RESPONSE_PORT = 0x0027;
    /// RFC 6062 §6.2.1.
    CONNECTION_ID = 0x002A;
    /// RFC 8656 §18.11.
    ADDITIONAL_ADDRESS_FAMILY = 0x8000;
    /// RFC 8656 §18.12.
    ADDRESS_ERROR_CODE = 0x8001;
    /// RFC 8489 §14.11.
    PASSWORD_ALGORITHMS = 0x8002;
    /// RFC 8489 §14.16.
    ALTERNATE_DOMAIN = 0x8003;
    /// RFC 8656 §18.13.
    ICMP = 0x8004;
    /// RFC 8489 §14.14.
    SOFTWARE = 0x8022;
    /// RFC 8489 §14.15.
    ALTERNATE_SERVER = 0x8023;
    /// CRC-32 over what stands before it (RFC 8489 §14.7).
    FINGERPRINT = 0x8028;
    /// Where the answer leaves from (RFC 5780 §7.3).
    RESPONSE_ORIGIN = 0x802B;
    /// Where it would leave from if address and port were changed (RFC 5780 §7.4).
    OTHER_ADDRESS = 0x802C;
}

impl AttributeType {
    /// Whether a request with this attribute must be refused by who does not understand it.
    pub const fn is_comprehension_required(self) -> bool {
        self.0 < 0x8000
    }
}
