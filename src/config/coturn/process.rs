//! The process as a whole: `[server]`, but for the realm.

use super::{
    conversion::{Conversion, origin},
    draft::SectionKind,
    option::{Kind, KnownOption, mapped},
};
use crate::config::{choice::Workers, units::Bytes};

pub(super) const OPTIONS: &[KnownOption] = &[
    mapped("relay-threads", Kind::Value),
    mapped("cpus", Kind::Value),
    mapped("sock-buf-size", Kind::Value),
];

pub(super) fn convert(it: &mut Conversion<'_>) {
    workers(it);
    if let Some((line, bytes)) = it.number("sock-buf-size") {
        // One datagram of the largest size must fit, and the kernel takes the size as a signed 32-bit number.
        let size = Bytes(bytes.clamp(64 << 10, 512 << 20)).to_string();
        let section = it.draft.section(SectionKind::Server);
        section.set("receive_buffer", size.clone(), format!("From {}.", origin(&[line])));
        section.set_plain("send_buffer", size);
        it.changed(
            &line,
            "server.receive_buffer",
            "it is for listening sockets; those that relay have fixed sizes",
        );
    }
}

/// coturn has as many threads as it believes in processors, unless told otherwise.
fn workers(it: &mut Conversion<'_>) {
    let (threads, cpus) = (it.number("relay-threads"), it.number("cpus"));
    let Some((line, number)) = threads.or(cpus) else { return };
    if let (Some(_), Some((cpus, _))) = (threads, cpus) {
        it.default(&cpus, "relay-threads says how many workers there are");
    }
    // None means that one thread does all.
    match number.max(1).to_string().parse::<Workers>() {
        Ok(Workers::Exactly(number)) => {
            let comment = format!("From {}. \"auto\" is one per core that may be used.", origin(&[line]));
            it.draft.section(SectionKind::Server).set("workers", i64::from(number.get()), comment);
            it.mapped(&line, "server.workers");
        }
        Ok(Workers::Auto) | Err(_) => it.invalid_line(&line, "expected a number of threads up to 1024"),
    }
}
