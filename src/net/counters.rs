//! What a worker counts, and how others read it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the counters once: a field to increment, a name to publish it under, and the order of both.
macro_rules! counters {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// Plain numbers, written by one worker and by nobody else.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])+ pub $name: u64,)+
        }

        impl Counters {
            /// The names of all counters, in the order of [`Self::values`].
            pub const NAMES: [&'static str; [$(stringify!($name)),+].len()] = [$(stringify!($name)),+];

            /// The values of all counters.
            pub const fn values(&self) -> [u64; Self::NAMES.len()] {
                [$(self.$name),+]
            }

            const fn from_values(values: [u64; Self::NAMES.len()]) -> Self {
                let [$($name),+] = values;
                Self { $($name),+ }
            }
        }
    };
}

counters! {
    /// Times the worker woke up.
    wakeups,
    /// Receive calls.
    receive_calls,
    /// Messages received: datagrams, or runs of them that the kernel joined.
    messages_received,
    /// Datagrams received from clients.
    client_datagrams_received,
    /// Datagrams received from peers.
    peer_datagrams_received,
    /// Bytes received from clients.
    client_bytes_received,
    /// Bytes received from peers.
    peer_bytes_received,
    /// Receive calls that failed, other than because nothing was there.
    receive_errors,
    /// Messages longer than any datagram can be, dropped.
    truncated,
    /// Datagrams the kernel dropped because a listener's receive buffer was full.
    lost_in_listener,
    /// Datagrams the kernel dropped because a relay socket's receive buffer was full.
    lost_in_relay,
    /// Send calls.
    send_calls,
    /// Messages sent: datagrams, or runs of them that the kernel cuts apart.
    messages_sent,
    /// Datagrams sent.
    datagrams_sent,
    /// Bytes sent.
    bytes_sent,
    /// Runs that the kernel refused to cut apart and that were sent singly.
    segmentation_refused,
    /// Datagrams not sent: the socket's send buffer was full.
    dropped_buffer_full,
    /// Datagrams not sent: no route, or the host or network is known to be unreachable.
    dropped_unreachable,
    /// Datagrams not sent: a firewall or the system forbids it.
    dropped_forbidden,
    /// Datagrams not sent: too long for UDP, or for the path when fragmentation is forbidden.
    dropped_too_long,
    /// Datagrams not sent: the address is not one to send to (port 0, for example).
    dropped_bad_address,
    /// Datagrams not sent: the kernel is out of memory.
    dropped_no_memory,
    /// Datagrams not sent: the socket has been closed in the meantime.
    dropped_closed,
    /// Datagrams not sent, for another reason.
    dropped_other,
    /// ICMP messages read from relay sockets.
    icmp_received,
    /// Relay sockets opened.
    relays_opened,
    /// Relay sockets closed.
    relays_closed,
    /// Relay sockets that could not be opened.
    relays_refused,
    /// Connections accepted, those included that were then refused.
    connections_accepted,
    /// Accept calls that failed, other than because nobody was waiting.
    accept_errors,
    /// TLS 1.2 handshakes completed.
    tls12_handshakes,
    /// TLS 1.3 handshakes completed.
    tls13_handshakes,
    /// TLS handshakes that came to nothing: one side broke them off, or they took too long.
    tls_handshakes_failed,
    /// Frames received over connections.
    frames_received,
    /// Bytes received over connections, without those of TLS.
    stream_bytes_received,
    /// Bytes put into connections, without those of TLS.
    stream_bytes_sent,
    /// Turns of writing to a connection.
    stream_writes,
    /// Relayed data not sent: the client reads too slowly.
    dropped_slow_reader,
    /// Connections refused because the server has too many.
    connections_refused_total,
    /// Connections refused because their source has too many.
    connections_refused_source,
    /// Connections that ended because the client closed them.
    connections_closed_by_client,
    /// Connections that ended because they broke.
    connections_broken,
    /// Connections that ended because TLS failed.
    connections_tls_failed,
    /// Connections that ended because what came was no stream of messages.
    connections_garbage,
    /// Connections that ended because a stranger announced too long a message.
    connections_too_long,
    /// Connections that ended because the handshake took too long.
    connections_handshake_timeout,
    /// Connections that ended because no request came.
    connections_request_timeout,
    /// Connections that ended because nothing more came.
    connections_idle,
    /// Connections that ended because there was nothing more to say: its peer is gone, or its passwords were wrong.
    connections_dismissed,
    /// Connections handed over to another worker.
    connections_handed_over,
    /// Connections of peers accepted, those included that were then closed.
    peers_accepted,
    /// Connections that ended because their client opened another one from the same address.
    connections_replaced,
    /// Connections that ended because a load balancer did not say whose they were.
    connections_bad_proxy_header,
    /// Connections that were passed on to a web server.
    connections_passed_on,
    /// Connections that could not be passed on.
    passages_failed,
}

impl Counters {
    /// Datagrams not sent, for whatever reason.
    pub const fn dropped(&self) -> u64 {
        self.dropped_buffer_full
            + self.dropped_unreachable
            + self.dropped_forbidden
            + self.dropped_too_long
            + self.dropped_bad_address
            + self.dropped_no_memory
            + self.dropped_closed
            + self.dropped_other
            + self.dropped_slow_reader
    }

    /// The sum over workers.
    pub fn add(&mut self, other: &Self) {
        let mut sum = self.values();
        for (sum, value) in sum.iter_mut().zip(other.values()) {
            *sum += value;
        }
        *self = Self::from_values(sum);
    }
}

/// A copy of a worker's counters that other threads may read at any time. The worker stores and never waits.
#[derive(Debug)]
#[repr(align(64))]
pub struct Published([AtomicU64; Counters::NAMES.len()]);

impl Default for Published {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; Counters::NAMES.len()])
    }
}

impl Published {
    /// Makes the worker's counters visible.
    pub fn publish(&self, counters: &Counters) {
        for (place, value) in self.0.iter().zip(counters.values()) {
            place.store(value, Ordering::Relaxed);
        }
    }

    /// What was published last. Each number is right by itself; two of them may be of different moments.
    pub fn read(&self) -> Counters {
        let mut values = [0; Counters::NAMES.len()];
        for (value, place) in values.iter_mut().zip(&self.0) {
            *value = place.load(Ordering::Relaxed);
        }
        Counters::from_values(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read_and_sums_up() {
        let counters = Counters { wakeups: 3, dropped_other: 4, relays_refused: 5, ..Counters::default() };
        let published = Published::default();
        published.publish(&counters);
        assert_eq!(published.read(), counters);
        let mut sum = published.read();
        sum.add(&counters);
        assert_eq!((sum.wakeups, sum.dropped(), sum.relays_refused), (6, 8, 10));
        assert_eq!(Counters::NAMES.first(), Some(&"wakeups"));
    }
}
