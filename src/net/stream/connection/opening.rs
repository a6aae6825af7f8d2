//! How a connection begins: with a load balancer that says whose it is, with TLS, or with the first message.

use std::io::{self, Read};

use super::{Connection, Security, Stage, Turn};
use crate::net::stream::session::{READ_MAX, ReadEnd, Session};
use crate::turn::{FiveTuple, ListenerId, Millis, Transport};
use crate::wire::proxy_protocol::{self, HEADER_MAX, Parsed};

impl Connection {
    /// Goes through what precedes the client's own bytes, as far as it has come. Until then there is nothing to read.
    pub(super) fn begin_to_listen(
        &mut self,
        room: &mut [u8; READ_MAX],
        now: Millis,
    ) -> Result<(), Turn<'static>> {
        let nothing = |end| Turn { bytes: &[], is_drained: true, end };
        if let Stage::Announced(security) = self.stage {
            match self.hear_announcement(security, room) {
                Ok(true) => self.since = now,
                Ok(false) => return Err(nothing(None)),
                Err(end) => return Err(nothing(Some(end))),
            }
        }
        if self.stage == Stage::Undecided { self.decide() } else { Ok(()) }
    }

    /// From here on it is the client that speaks.
    pub(super) fn begin(&mut self, security: Security) {
        match security {
            Security::Plain => self.stage = Stage::Silent,
            Security::Tls => self.begin_tls(),
            Security::Either => self.stage = Stage::Undecided,
        }
    }

    fn begin_tls(&mut self) {
        self.stage = Stage::Handshake;
        self.session = Session::tls();
        let listener = ListenerId::new(Transport::Tls, self.client.listener().number());
        self.client = FiveTuple::new(self.client.client(), listener);
    }

    /// Reads the header of the PROXY protocol, once all of it has come, and takes nothing of what is behind it. Whether
    /// it was there. A load balancer that sends none is refused: to guess would let clients say who they are.
    fn hear_announcement(&mut self, security: Security, room: &mut [u8; READ_MAX]) -> Result<bool, ReadEnd> {
        let room = &mut room[..HEADER_MAX];
        let seen = match self.socket.peek(room) {
            Ok(0) => return Err(ReadEnd::Closed),
            Ok(seen) => seen,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(false);
            }
            Err(_) => return Err(ReadEnd::Broken),
        };
        match proxy_protocol::parse(&room[..seen]) {
            Ok(Parsed::NeedMore) if self.marks.hung_up => Err(ReadEnd::Closed),
            Ok(Parsed::NeedMore) => Ok(false),
            Ok(Parsed::Header(header)) => {
                // It is there, so it is read at once.
                self.socket.read_exact(&mut room[..header.length]).map_err(|_| ReadEnd::Broken)?;
                if let Some(ends) = header.ends {
                    self.client = FiveTuple::new(ends.source, self.client.listener());
                }
                self.claim_place().map_err(ReadEnd::Refused)?;
                self.begin(security);
                Ok(true)
            }
            Err(error) => Err(ReadEnd::Announcement(error)),
        }
    }

    /// Looks at the first byte without taking it.
    fn decide(&mut self) -> Result<(), Turn<'static>> {
        /// The first byte of every TLS connection: a handshake record.
        const HANDSHAKE: u8 = 0x16;
        let nothing = |end| Turn { bytes: &[], is_drained: true, end };
        let mut first = [0];
        match self.socket.peek(&mut first) {
            Ok(0) => Err(nothing(Some(ReadEnd::Closed))),
            Ok(_) if first == [HANDSHAKE] => {
                self.begin_tls();
                Ok(())
            }
            Ok(_) => {
                self.stage = Stage::Silent;
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Err(nothing(None))
            }
            Err(_) => Err(nothing(Some(ReadEnd::Broken))),
        }
    }
}
