//! The addresses of this host.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

/// The addresses of all interfaces that are up, loopback included, each once. Link-local IPv6 addresses are left
/// out: without a zone they are not addresses.
pub fn local_addresses() -> io::Result<Vec<IpAddr>> {
    let mut first: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `first` is a place for the pointer to the list.
    if unsafe { libc::getifaddrs(&raw mut first) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut next = first;
    // SAFETY: the list is made by getifaddrs and not freed before the loop ends.
    while let Some(entry) = unsafe { next.as_ref() } {
        if let Some(ip) = address_of(entry)
            && !found.contains(&ip)
        {
            found.push(ip);
        }
        next = entry.ifa_next;
    }
    // SAFETY: `first` comes from getifaddrs, is freed once, and nothing points into the list any more.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}

fn address_of(entry: &libc::ifaddrs) -> Option<IpAddr> {
    let is_up = entry.ifa_flags & libc::IFF_UP as libc::c_uint != 0;
    if entry.ifa_addr.is_null() || !is_up {
        return None;
    }
    // SAFETY: ifa_addr is not null, and what it points to is as long as its family says. It may not be aligned for
    // the longer types, so it is copied.
    let ip = unsafe {
        match libc::c_int::from((*entry.ifa_addr).sa_family) {
            libc::AF_INET => {
                let raw: libc::sockaddr_in = ptr::read_unaligned(entry.ifa_addr.cast());
                IpAddr::V4(Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes()))
            }
            libc::AF_INET6 => {
                let raw: libc::sockaddr_in6 = ptr::read_unaligned(entry.ifa_addr.cast());
                IpAddr::V6(Ipv6Addr::from(raw.sin6_addr.s6_addr))
            }
            _ => return None,
        }
    };
    let is_link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    (!is_link_local).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_is_among_the_local_addresses_once() {
        let found = local_addresses().unwrap();
        let loopbacks = found.iter().filter(|ip| **ip == IpAddr::V4(Ipv4Addr::LOCALHOST)).count();
        assert_eq!(loopbacks, 1, "{found:?}");
    }
}
