//! Bytes passed between two connections, as they are: whatever one side says, the other one hears, and nothing is
//! understood. It knows no clock and no policy; who uses it decides how long it may be silent.

use std::io;
use std::net::{Shutdown, SocketAddr};

use mio::net::TcpStream;

use super::session::{Contents, Greeter, READ_MAX, READ_ROOM, ReadEnd, Session};
use crate::net::outbox::{KEPT_MAX, Outbox};

/// Two connections, each of which gets what the other one sends.
pub(crate) struct Pump {
    sides: [Side; 2],
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The one that has come to us.
    Near,
    /// The one that we have gone to, or that has come from elsewhere.
    Far,
}

/// One of two connections.
pub(crate) struct Side {
    socket: TcpStream,
    session: Session,
    /// What waits to be sent to it.
    outbox: Outbox,
    /// The kernel may have something from it.
    readable: bool,
    /// The kernel has said that it has said all, which it says only once.
    hung_up: bool,
    /// What is still to come from it.
    incoming: Incoming,
    /// What can still be sent to it.
    outgoing: Outgoing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Incoming {
    More,
    /// It has said all.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outgoing {
    Open,
    /// It has been told that this is all, which waits to be sent.
    Ending,
    Ended,
}

/// Memory for one turn of a pump; one is enough for all pumps of a thread.
pub(crate) struct Scratch {
    cipher: Box<[u8; READ_MAX]>,
    plain: Box<[u8]>,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Bytes read from the near side.
    pub(crate) from_near: usize,
    /// Bytes read from the far side.
    pub(crate) from_far: usize,
    /// What there is to do next.
    pub(crate) next: Next,
}

/// What there is to do with a pump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Next {
    /// To wait until the kernel tells of one of its sockets.
    #[default]
    Wait,
    /// To give it another turn: there is more to be read.
    Again,
    /// To drop it: nothing more can be sent to either side.
    Over,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { cipher: Box::new([0; READ_MAX]), plain: vec![0; READ_ROOM].into() }
    }
}

impl Pump {
    /// Joins two connections. Both are looked at in the first turn, whatever the kernel has said of them before.
    pub(crate) const fn new(near: Side, far: Side) -> Self {
        Self { sides: [near, far] }
    }

    /// The kernel has news of a side. `hung_up` says that it has closed, or shut down, its end.
    pub(crate) const fn note(&mut self, end: End, hung_up: bool) {
        let side = self.side(end);
        side.readable = true;
        side.hung_up |= hung_up;
    }

    /// Puts bytes in front of everything that is going to be sent to a side.
    pub(crate) fn begin_with(&mut self, end: End, bytes: &[u8]) {
        self.side(end).outbox.push(bytes, &[], 0);
    }

    /// A side has said all that it is going to say.
    pub(crate) const fn note_end(&mut self, end: End) {
        self.side(end).incoming = Incoming::Ended;
    }

    /// A side's socket, for the poll; until its first turn it may be replaced by another one.
    pub(crate) const fn socket(&mut self, end: End) -> &mut TcpStream {
        &mut self.side(end).socket
    }

    /// Reads once from each side, as far as the other one keeps up, and writes what waits.
    pub(crate) fn turn(&mut self, scratch: &mut Scratch) -> Passed {
        let [near, far] = &mut self.sides;
        let from_near = near.pass_to(far, scratch);
        let from_far = far.pass_to(near, scratch);
        let next = if near.outgoing == Outgoing::Ended && far.outgoing == Outgoing::Ended {
            Next::Over
        } else if near.has_work(far) || far.has_work(near) {
            Next::Again
        } else {
            Next::Wait
        };
        Passed { from_near, from_far, next }
    }

    const fn side(&mut self, end: End) -> &mut Side {
        let [near, far] = &mut self.sides;
        match end {
            End::Near => near,
            End::Far => far,
        }
    }
}

impl Side {
    /// A connection that is open, and whose handshake, if it has one, is over.
    pub(crate) fn new(socket: TcpStream, session: Session) -> Self {
        Self {
            socket,
            session,
            outbox: Outbox::default(),
            readable: true,
            hung_up: false,
            incoming: Incoming::More,
            outgoing: Outgoing::Open,
        }
    }

    /// Our address on it.
    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// One direction's share of a turn. Returns how many bytes were read.
    fn pass_to(&mut self, to: &mut Self, scratch: &mut Scratch) -> usize {
        to.flush();
        let mut length = 0;
        if self.has_work(to) {
            length = self.read(scratch);
            to.outbox.push(scratch.plain.get(..length).unwrap_or_default(), &[], 0);
            // Reading from TLS may leave it something to say, on either side of it.
            self.flush();
            to.flush();
        }
        if self.incoming == Incoming::Ended {
            to.finish();
        }
        if self.outgoing == Outgoing::Ending {
            self.finish();
        }
        length
    }

    /// Whether something can be read that the other side has room for.
    const fn has_work(&self, to: &Self) -> bool {
        self.readable && matches!(self.incoming, Incoming::More) && to.outbox.len() < KEPT_MAX
    }

    fn read(&mut self, scratch: &mut Scratch) -> usize {
        let Scratch { cipher, plain } = scratch;
        let reading = self.session.read(&self.socket, Greeter::NOBODY, cipher, plain);
        self.readable = self.hung_up || !reading.is_drained;
        match reading.end {
            None => {}
            Some(ReadEnd::Closed) => self.incoming = Incoming::Ended,
            // The other two come before anything is read.
            Some(ReadEnd::Broken | ReadEnd::Announcement(_) | ReadEnd::Refused(_)) => {
                (self.incoming, self.outgoing) = (Incoming::Ended, Outgoing::Ended);
            }
            // There is an alert to be sent, and nothing else any more.
            Some(ReadEnd::Tls(_)) => {
                self.outbox.clear();
                (self.incoming, self.outgoing) = (Incoming::Ended, Outgoing::Ending);
            }
        }
        reading.length
    }

    /// Writes what the connection takes. To one that is broken nothing more can be sent, and what would still come
    /// from the other side is for nobody.
    fn flush(&mut self) -> bool {
        if self.outgoing == Outgoing::Ended {
            self.outbox.clear();
            return true;
        }
        match self.session.write(&self.socket, &mut self.outbox, Contents::Bytes) {
            Ok(is_full) => !is_full,
            Err(_) => {
                self.outgoing = Outgoing::Ended;
                self.outbox.clear();
                true
            }
        }
    }

    /// Tells this side that nothing more will come, behind all that waits for it.
    fn finish(&mut self) {
        if self.outgoing == Outgoing::Open && self.outbox.is_empty() {
            self.session.close();
            self.outgoing = Outgoing::Ending;
        }
        if self.outgoing == Outgoing::Ending && self.flush() {
            // If it is broken, reading from it says so.
            let _ = self.socket.shutdown(Shutdown::Write);
            self.outgoing = Outgoing::Ended;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream as Stream};
    use std::time::{Duration, Instant};

    use super::*;

    /// A connection: the end that a test has, and the one that a pump gets.
    fn pair() -> (Stream, Side) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let outer = Stream::connect(listener.local_addr().unwrap()).unwrap();
        outer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let inner = listener.accept().unwrap().0;
        inner.set_nonblocking(true).unwrap();
        (outer, Side::new(TcpStream::from_std(inner), Session::Plain))
    }

    /// Two ends, and the pump between them, which is told after each of its turns that there may be more.
    fn pumped() -> (Stream, Stream, Pump) {
        let ((near, inner_near), (far, inner_far)) = (pair(), pair());
        (near, far, Pump::new(inner_near, inner_far))
    }

    /// Gives it turns until something is so; the kernel may need a moment in between.
    fn until(pump: &mut Pump, mut enough: impl FnMut(&Pump, Next) -> bool) {
        let mut scratch = Scratch::default();
        let begun = Instant::now();
        loop {
            for end in [End::Near, End::Far] {
                pump.note(end, false);
            }
            let next = pump.turn(&mut scratch).next;
            if enough(pump, next) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not come to that");
            std::thread::yield_now();
        }
    }

    fn read_to_end(stream: &mut Stream) -> Vec<u8> {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    }

    #[test]
    fn what_is_put_in_front_comes_first_and_each_direction_ends_by_itself() {
        let (mut near, mut far, mut pump) = pumped();
        pump.begin_with(End::Far, b"first, ");
        near.write_all(b"then this").unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        until(&mut pump, |pump, _| pump.sides[1].outgoing == Outgoing::Ended);
        assert_eq!(read_to_end(&mut far), b"first, then this");
        // The other direction is as open as before.
        far.write_all(b"an answer").unwrap();
        drop(far);
        until(&mut pump, |_, next| next == Next::Over);
        assert_eq!(read_to_end(&mut near), b"an answer");
    }

    #[test]
    fn no_more_is_read_than_the_other_side_takes() {
        const TOTAL: usize = 30 << 20;
        let (near, mut far, mut pump) = pumped();
        let writer = std::thread::spawn(move || {
            (&near).write_all(&vec![7; TOTAL]).unwrap();
            near.shutdown(Shutdown::Write).unwrap();
            near
        });
        // Until it is held up, because the far side does not read; then some more, in which nothing may be taken.
        let (mut scratch, mut held) = (Scratch::default(), 0);
        let deadline = Instant::now() + Duration::from_secs(60);
        while held < 1000 {
            assert!(Instant::now() < deadline, "it is not held up");
            pump.note(End::Near, false);
            let taken = pump.turn(&mut scratch).from_near;
            assert!(pump.sides[1].outbox.len() <= KEPT_MAX + READ_MAX);
            let is_full = pump.sides[1].outbox.len() >= KEPT_MAX;
            held = if is_full && taken == 0 { held + 1 } else { 0 };
        }
        let reader = std::thread::spawn(move || read_to_end(&mut far).len());
        until(&mut pump, |pump, _| pump.sides[1].outgoing == Outgoing::Ended);
        assert_eq!(reader.join().unwrap(), TOTAL);
        drop(writer.join().unwrap());
        until(&mut pump, |_, next| next == Next::Over);
    }

    #[test]
    fn a_side_that_breaks_ends_both() {
        let (mut near, far, mut pump) = pumped();
        (&far).write_all(b"the last words").unwrap();
        until(&mut pump, |pump, _| !pump.sides[1].readable || pump.sides[0].outbox.is_empty());
        // Closed with a reset.
        socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        near.write_all(b"nobody hears this").unwrap();
        until(&mut pump, |_, next| next == Next::Over);
        assert_eq!(read_to_end(&mut near), b"the last words");
    }
}
