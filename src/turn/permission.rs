//! Which IP addresses may talk through an allocation, and until when (RFC 8656 §9).

use std::net::IpAddr;
use std::time::Duration;

use super::packed_ip::PackedIp;
use super::peers::PortRule;
use super::time::Millis;

/// RFC 8656 §9: it MUST be 300 seconds.
pub(super) const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// The permissions of one allocation: a short sorted list, searched for each packet.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    entries: Vec<Permission>,
}

#[derive(Debug)]
struct Permission {
    ip: PackedIp,
    expires: Millis,
    ports: PortRule,
}

impl Permissions {
    /// Which ports a live permission for this address covers; `None` without one.
    #[inline]
    pub(super) fn find(&self, ip: IpAddr, now: Millis) -> Option<PortRule> {
        // An IPv4 address in IPv6 clothes has none, although it is packed like the address inside (THREATS P04).
        if let IpAddr::V6(v6) = ip
            && v6.to_ipv4_mapped().is_some()
        {
            return None;
        }
        let place = self.place(PackedIp::new(ip)).ok()?;
        let permission = &self.entries[place];
        (now < permission.expires).then_some(permission.ports)
    }

    /// Whether these addresses, each named once, can be permitted without exceeding a limit. Expired entries are
    /// dropped first, so that they never stand in the way; what is there can be refreshed although the limit was
    /// lowered.
    pub(super) fn fit(&mut self, ips: impl Iterator<Item = IpAddr>, limit: usize, now: Millis) -> bool {
        self.purge(now);
        let missing = ips.filter(|ip| self.place(PackedIp::new(*ip)).is_err()).count();
        missing == 0 || self.entries.len() + missing <= limit
    }

    /// Installs or refreshes a permission.
    pub(super) fn install(&mut self, ip: IpAddr, ports: PortRule, now: Millis) {
        let ip = PackedIp::new(ip);
        let permission = Permission { ip, expires: now.after(PERMISSION_LIFETIME), ports };
        match self.place(ip) {
            Ok(place) => self.entries[place] = permission,
            Err(place) => self.entries.insert(place, permission),
        }
    }

    /// Drops what has expired.
    pub(super) fn purge(&mut self, now: Millis) {
        self.entries.retain(|permission| now < permission.expires);
    }

    /// Keeps what `judge` still gives a rule for, under that rule.
    pub(super) fn rejudge(&mut self, mut judge: impl FnMut(IpAddr, PortRule) -> Option<PortRule>) {
        self.entries.retain_mut(|permission| match judge(permission.ip.get(), permission.ports) {
            Some(ports) => {
                permission.ports = ports;
                true
            }
            None => false,
        });
    }

    /// Those that are not over, and until when.
    pub(super) fn live(&self, now: Millis) -> impl Iterator<Item = (IpAddr, Millis)> {
        let live = self.entries.iter().filter(move |permission| now < permission.expires);
        live.map(|permission| (permission.ip.get(), permission.expires))
    }

    /// When the first of them expires.
    pub(super) fn next_expiry(&self) -> Option<Millis> {
        self.entries.iter().map(|permission| permission.expires).min()
    }

    fn place(&self, ip: PackedIp) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&ip, |permission| permission.ip)
    }
}
