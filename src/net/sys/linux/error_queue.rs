//! What ICMP said about earlier sends, from the error queue of a socket (`MSG_ERRQUEUE`).

use std::io;
use std::mem::{self, size_of};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::address::RawAddress;
use crate::net::sys::IcmpReport;

/// Whether sockets here have an error queue.
pub const ERROR_QUEUE: bool = true;

/// Takes one entry from the error queue; `None` when it is empty. Entries that are not an ICMP message (the kernel
/// reports its own refusals there too) are passed over.
pub fn read_error(socket: BorrowedFd<'_>) -> io::Result<Option<IcmpReport>> {
    loop {
        let mut to = RawAddress::empty();
        let mut control = Control([0; CONTROL_CAPACITY]);
        // The datagram itself is not looked at; one byte, since some kernels want room for something.
        let mut byte = 0_u8;
        let mut iovec = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        // SAFETY: zero is a value for every field of msghdr; all pointers are to locals that outlive the call, and
        // their lengths are announced as they are.
        let (received, header) = unsafe {
            let mut header: libc::msghdr = mem::zeroed();
            header.msg_name = (&raw mut to).cast();
            header.msg_namelen = RawAddress::CAPACITY;
            header.msg_iov = &raw mut iovec;
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut control).cast();
            header.msg_controllen = CONTROL_CAPACITY as _;
            let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
            (libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags), header)
        };
        if received < 0 {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EAGAIN) => return Ok(None),
                Some(libc::EINTR) => continue,
                _ => return Err(error),
            }
        }
        if let (Some(error), Some(peer)) = (extended_error(&header), to.decode()) {
            let libc::sock_extended_err { ee_type: kind, ee_code: code, ee_info: info, .. } = error;
            return Ok(Some(IcmpReport { peer, kind, code, info }));
        }
    }
}

/// The kernel's record of the error and the address of the router behind it.
const CONTROL_CAPACITY: usize = 128;

#[repr(C, align(8))]
struct Control([u8; CONTROL_CAPACITY]);

fn extended_error(header: &libc::msghdr) -> Option<libc::sock_extended_err> {
    // SAFETY: msg_control and msg_controllen describe a buffer the kernel has just filled; the CMSG functions stay
    // inside it, and the record is read unaligned and only if the control message is long enough for it.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(header);
        while let Some(control) = next.as_ref() {
            let is_error = matches!(
                (control.cmsg_level, control.cmsg_type),
                (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR)
            );
            let needed = libc::CMSG_LEN(RECORD_LENGTH) as usize;
            #[expect(clippy::unnecessary_cast, reason = "cmsg_len is not usize with every C library")]
            if is_error && control.cmsg_len as usize >= needed {
                let record: libc::sock_extended_err = ptr::read_unaligned(libc::CMSG_DATA(control).cast());
                let from_icmp =
                    matches!(record.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6);
                return from_icmp.then_some(record);
            }
            next = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}

#[expect(clippy::cast_possible_truncation, reason = "16")]
const RECORD_LENGTH: libc::c_uint = size_of::<libc::sock_extended_err>() as libc::c_uint;
