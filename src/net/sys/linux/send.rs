//! `sendmmsg`, with the segment size of a run as a control message of its own (GSO).

use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::{mem, ptr};

use super::address::RawAddress;

/// Datagrams that may go out as one message. 64 is the limit of older kernels.
pub const MAX_SEGMENTS: usize = 60;

/// The memory that the messages of a send call are described in, kept from call to call.
#[derive(Default)]
pub struct Outbox {
    messages: Vec<Outgoing>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

struct Outgoing {
    to: RawAddress,
    to_length: libc::socklen_t,
    first_iovec: usize,
    segment: Option<SegmentControl>,
}

/// The control message `UDP_SEGMENT`, laid out as the CMSG macros would.
#[repr(C, align(8))]
struct SegmentControl([u8; SEGMENT_CONTROL]);

// SAFETY: CMSG_SPACE only computes.
const SEGMENT_CONTROL: usize = unsafe { libc::CMSG_SPACE(2) } as usize;

impl SegmentControl {
    fn new(size: u16) -> Self {
        let mut control = Self([0; SEGMENT_CONTROL]);
        // SAFETY: the buffer has the size and the alignment of one control message with two bytes of data, zero is
        // a value for a message header, and only the fields named here are looked at.
        unsafe {
            let mut header: libc::msghdr = mem::zeroed();
            header.msg_control = (&raw mut control).cast();
            header.msg_controllen = SEGMENT_CONTROL as _;
            if let Some(control) = libc::CMSG_FIRSTHDR(&raw const header).as_mut() {
                control.cmsg_level = libc::SOL_UDP;
                control.cmsg_type = libc::UDP_SEGMENT;
                control.cmsg_len = libc::CMSG_LEN(2) as _;
                ptr::write_unaligned(libc::CMSG_DATA(control).cast(), size);
            }
        }
        control
    }
}

impl Outbox {
    /// Room for this many messages and parts before anything has to grow.
    pub fn with_capacity(messages: usize, parts: usize) -> Self {
        Self {
            messages: Vec::with_capacity(messages),
            iovecs: Vec::with_capacity(parts),
            headers: Vec::with_capacity(messages),
        }
    }

    /// An empty parcel, whose parts have to live as long as it does.
    pub fn parcel<'d>(&mut self) -> Parcel<'_, 'd> {
        self.messages.clear();
        self.iovecs.clear();
        self.headers.clear();
        Parcel { outbox: self, parts: PhantomData }
    }
}

/// Messages that go out through one socket, each gathered from parts.
pub struct Parcel<'o, 'd> {
    outbox: &'o mut Outbox,
    parts: PhantomData<&'d [u8]>,
}

impl<'d> Parcel<'_, 'd> {
    /// Begins a message. With `segment` its parts are cut into datagrams of that many bytes.
    pub fn message(&mut self, to: SocketAddr, segment: Option<u16>) {
        let (to, to_length) = RawAddress::new(to);
        let first_iovec = self.outbox.iovecs.len();
        let segment = segment.map(SegmentControl::new);
        self.outbox.messages.push(Outgoing { to, to_length, first_iovec, segment });
    }

    /// Adds bytes to the message begun last.
    pub fn part(&mut self, bytes: &'d [u8]) {
        if !bytes.is_empty() {
            self.outbox.iovecs.push(iovec(bytes));
        }
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.outbox.messages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.outbox.messages.is_empty()
    }

    /// Sends the messages from index `from` on; says how many went, which is at least one. The first that cannot
    /// be sent ends the call, and is the error if it is also the first of all.
    pub fn send(&mut self, socket: BorrowedFd<'_>, from: usize) -> io::Result<usize> {
        self.address_headers();
        let Some(headers) = self.outbox.headers.get_mut(from..) else { return Ok(0) };
        if let [header] = headers {
            return send_alone(socket, &header.msg_hdr).map(|()| 1);
        }
        // SAFETY: the headers point to names, control messages and iovecs inside the outbox, which is borrowed for
        // as long as the parcel lives and does not grow after `address_headers`; the iovecs point to parts, which
        // live for 'd and so longer than the parcel.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                libc::c_uint::try_from(headers.len()).unwrap_or(libc::c_uint::MAX),
                libc::MSG_DONTWAIT as _,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Makes the headers once all messages are there, since only then the vectors no longer move.
    fn address_headers(&mut self) {
        let Outbox { messages, iovecs, headers } = &mut *self.outbox;
        if headers.len() == messages.len() {
            return;
        }
        headers.clear();
        let iovecs_base = iovecs.as_mut_ptr();
        let mut end = iovecs.len();
        // From the back, so that the begin of one message is the end of the one before it.
        for message in messages.iter_mut().rev() {
            // SAFETY: zero is a value for every field of mmsghdr; first_iovec <= iovecs.len().
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_name = (&raw mut message.to).cast();
            header.msg_hdr.msg_namelen = message.to_length;
            // SAFETY: as above.
            header.msg_hdr.msg_iov = unsafe { iovecs_base.add(message.first_iovec) };
            header.msg_hdr.msg_iovlen = (end - message.first_iovec) as _;
            if let Some(control) = &mut message.segment {
                header.msg_hdr.msg_control = ptr::from_mut(control).cast();
                header.msg_hdr.msg_controllen = SEGMENT_CONTROL as _;
            }
            headers.push(header);
            end = message.first_iovec;
        }
        headers.reverse();
    }
}

/// Sends the only message of a parcel. What goes up from a flow of single packets is always that, and the simplest call
/// that can do it is a twentieth cheaper than `sendmmsg`.
fn send_alone(socket: BorrowedFd<'_>, header: &libc::msghdr) -> io::Result<()> {
    // SAFETY: the header's name, control message and iovecs are inside the outbox of the caller's parcel, the iovecs
    // point to its parts, and all of them live until the call returns. With one iovec, `msg_iov` is valid to read.
    let sent = unsafe {
        if header.msg_iovlen == 1 && header.msg_controllen == 0 {
            let part = &*header.msg_iov;
            libc::sendto(
                socket.as_raw_fd(),
                part.iov_base,
                part.iov_len,
                libc::MSG_DONTWAIT,
                header.msg_name.cast(),
                header.msg_namelen,
            )
        } else {
            libc::sendmsg(socket.as_raw_fd(), header, libc::MSG_DONTWAIT)
        }
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends one datagram made of parts.
pub fn send_one(socket: BorrowedFd<'_>, to: SocketAddr, parts: &[&[u8]]) -> io::Result<()> {
    let (mut to, to_length) = RawAddress::new(to);
    let mut iovecs = [iovec(&[]); 4];
    for (slot, part) in iovecs.iter_mut().zip(parts) {
        *slot = iovec(part);
    }
    debug_assert!(parts.len() <= iovecs.len(), "a datagram has a head, a payload and padding");
    // SAFETY: zero is a value for every field of msghdr; name and iovecs live until the call returns, the iovecs
    // point to parts that are borrowed until then, and at most iovecs.len() of them are announced.
    let sent = unsafe {
        let mut header: libc::msghdr = mem::zeroed();
        header.msg_name = (&raw mut to).cast();
        header.msg_namelen = to_length;
        header.msg_iov = iovecs.as_mut_ptr();
        header.msg_iovlen = parts.len().min(iovecs.len()) as _;
        libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn iovec(bytes: &[u8]) -> libc::iovec {
    // The kernel only reads what is sent.
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}
