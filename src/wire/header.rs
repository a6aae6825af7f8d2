//! The 20 bytes in front of every STUN message (RFC 8489 §5).

/// The fixed value of bytes 4 to 7; a client of RFC 3489 has random bytes there.
pub const MAGIC_COOKIE: u32 = 0x2112_A442;

/// The two class bits of a message type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// The answer to a request that was carried out.
    Success,
    /// The answer to a request that was refused.
    Error,
}

/// The twelve method bits of a message type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method(u16);

impl Method {
    /// RFC 8489 §3.
    pub const BINDING: Self = Self(0x001);
    /// RFC 8656 §7.
    pub const ALLOCATE: Self = Self(0x003);
    /// RFC 8656 §8.
    pub const REFRESH: Self = Self(0x004);
    /// RFC 8656 §11, an indication from the client.
    pub const SEND: Self = Self(0x006);
    /// RFC 8656 §11, an indication to the client.
    pub const DATA: Self = Self(0x007);
    /// RFC 8656 §10.
    pub const CREATE_PERMISSION: Self = Self(0x008);
    /// RFC 8656 §12.
    pub const CHANNEL_BIND: Self = Self(0x009);

    /// RFC 6062 §4.3.
    pub const CONNECT: Self = Self(0x00A);
    /// RFC 6062 §4.3.
    pub const CONNECTION_BIND: Self = Self(0x00B);
    /// RFC 6062 §4.4, an indication to the client.
    pub const CONNECTION_ATTEMPT: Self = Self(0x00C);

    /// A method from its number; only the low twelve bits count.
    pub const fn new(number: u16) -> Self {
        Self(number & 0x0FFF)
    }

    /// The method's number in the IANA registry.
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// The 96 bits that tie an answer to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 12]);

/// Message type, cookie and transaction id: all of the header but the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Request, indication, success or error.
    pub class: Class,
    /// What is asked for or answered.
    pub method: Method,
    /// The cookie as it came: [`MAGIC_COOKIE`], or random bytes from an RFC 3489 client.
    pub cookie: [u8; 4],
    /// The transaction's id.
    pub transaction: TransactionId,
}

impl Header {
    /// The length of a STUN header.
    pub const LENGTH: usize = 20;

    /// A header as this server and every client since RFC 5389 writes it.
    pub const fn new(class: Class, method: Method, transaction: TransactionId) -> Self {
        Self { class, method, cookie: MAGIC_COOKIE.to_be_bytes(), transaction }
    }

    /// The header of an answer to this one: the transaction is repeated, cookie included, so that a
    /// client of RFC 3489 finds its 16-byte transaction id.
    pub const fn answer(self, class: Class) -> Self {
        Self { class, ..self }
    }

    /// Whether this came from a client older than the magic cookie (RFC 8489 §11).
    pub fn is_classic(&self) -> bool {
        self.cookie != MAGIC_COOKIE.to_be_bytes()
    }

    pub(super) fn decode(bytes: &[u8; Self::LENGTH]) -> Self {
        let message_type = u16::from_be_bytes([bytes[0], bytes[1]]);
        let mut cookie = [0; 4];
        cookie.copy_from_slice(&bytes[4..8]);
        let mut transaction = [0; 12];
        transaction.copy_from_slice(&bytes[8..]);
        Self {
            class: class_of(message_type),
            method: method_of(message_type),
            cookie,
            transaction: TransactionId(transaction),
        }
    }

    pub(super) fn encode(&self, body: u16) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..2].copy_from_slice(&message_type(self.class, self.method).to_be_bytes());
        bytes[2..4].copy_from_slice(&body.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.cookie);
        bytes[8..].copy_from_slice(&self.transaction.0);
        bytes
    }
}

/// Puts the class bits between the method bits (RFC 8489 §5, figure 3).
const fn message_type(class: Class, method: Method) -> u16 {
    let m = method.0;
    let c: u16 = match class {
        Class::Request => 0x000,
        Class::Indication => 0x010,
        Class::Success => 0x100,
        Class::Error => 0x110,
    };
    (m & 0x00F) | ((m & 0x070) << 1) | ((m & 0xF80) << 2) | c
}

const fn class_of(message_type: u16) -> Class {
    match message_type & 0x110 {
        0x000 => Class::Request,
        0x010 => Class::Indication,
        0x100 => Class::Success,
        _ => Class::Error,
    }
}

const fn method_of(message_type: u16) -> Method {
    Method((message_type & 0x000F) | ((message_type & 0x00E0) >> 1) | ((message_type & 0x3E00) >> 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_bits_are_interleaved_as_in_figure_3() {
        let cases = [
            (Class::Request, Method::BINDING, 0x0001),
            (Class::Success, Method::BINDING, 0x0101),
            (Class::Error, Method::ALLOCATE, 0x0113),
            (Class::Indication, Method::SEND, 0x0016),
            (Class::Indication, Method::DATA, 0x0017),
            (Class::Request, Method::CHANNEL_BIND, 0x0009),
            (Class::Error, Method::new(0xFFF), 0x3FFF),
        ];
        for (class, method, number) in cases {
            assert_eq!(message_type(class, method), number);
            assert_eq!((class_of(number), method_of(number)), (class, method));
        }
    }

    #[test]
    fn every_type_survives_a_round_trip() {
        for number in 0..0x4000 {
            assert_eq!(message_type(class_of(number), method_of(number)), number);
        }
    }
}
