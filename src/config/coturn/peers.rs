//! Who may be relayed to, and by which channels: `[peers]` and `[turn]`.

use super::{
    conversion::{Conversion, origin},
    database::{self, RealmRow},
    draft::SectionKind,
    line::Line,
    option::{Kind, KnownOption, mapped},
    ranges,
    report::{Place, Verdict},
};
use ipnet::IpNet;

pub(super) const OPTIONS: &[KnownOption] = &[
    mapped("allowed-peer-ip", Kind::Value),
    mapped("denied-peer-ip", Kind::Value),
    mapped("allow-loopback-peers", Kind::Switch),
    mapped("rfc5766-channel-numbers", Kind::Switch),
];

pub(super) fn convert(it: &mut Conversion<'_>, realm: &str) {
    allow(it, realm);
    deny(it, realm);
    it.note(
        "peers",
        "private networks, this host and what else is not public are not relayed to, which coturn does unless \
         denied-peer-ip forbids it; see peers.allow",
    );
    let Some(line) = it.switch("rfc5766-channel-numbers") else {
        return it.note(
            "channels",
            "numbers above 0x4FFF are refused, which old versions of coturn take; for clients from before 2020 see \
             turn.channel_numbers",
        );
    };
    let comment = format!("From {}.", origin(&[line]));
    it.draft.section(SectionKind::Turn).set("channel_numbers", "rfc5766", comment);
    it.mapped(&line, "turn.channel_numbers");
}

/// Networks, and where they come from.
#[derive(Default)]
struct Found<'a> {
    networks: Vec<IpNet>,
    lines: Vec<Line<'a>>,
    table: Option<&'static str>,
}

fn allow(it: &mut Conversion<'_>, realm: &str) {
    let mut found = Found::default();
    of_file(it, "allowed-peer-ip", "peers.allow", &mut found);
    if let Some(line) = it.switch("allow-loopback-peers") {
        for range in ["127.0.0.0-127.255.255.255", "::1"] {
            found.networks.extend(ranges::networks(range).unwrap_or_default());
        }
        it.mapped(&line, "peers.allow");
        found.lines.push(line);
    }
    if let Some(database) = it.database {
        of_table(it, "allowed_peer_ip", "peers.allow", &database.allowed_peers, realm, &mut found);
    }
    write(it, "allow", found);
}

fn deny(it: &mut Conversion<'_>, realm: &str) {
    let mut found = Found::default();
    of_file(it, "denied-peer-ip", "peers.deny", &mut found);
    if let Some(database) = it.database {
        of_table(it, "denied_peer_ip", "peers.deny", &database.denied_peers, realm, &mut found);
    }
    write(it, "deny", found);
}

fn of_file<'a>(it: &mut Conversion<'a>, name: &'static str, key: &'static str, found: &mut Found<'a>) {
    for line in it.every(name) {
        match ranges::networks(line.value) {
            Ok(networks) => {
                let everybody = networks.iter().any(|net| net.prefix_len() == 0);
                match everybody && key == "peers.allow" {
                    true => it.changed(&line, key, "it opens private networks, and this host, to all users"),
                    false => it.mapped(&line, key),
                }
                found.networks.extend(networks);
                found.lines.push(line);
            }
            Err(why) => it.invalid_line(&line, why),
        }
    }
}

fn of_table<'a>(
    it: &mut Conversion<'a>,
    table: &'static str,
    key: &'static str,
    rows: &[RealmRow],
    realm: &str,
    found: &mut Found<'a>,
) {
    for row in rows {
        let entry = match ranges::networks(&row.value) {
            _ if !database::is_for(&row.realm, realm) => Some((
                Verdict::Dropped,
                format!("{:?} of the realm {:?}, which is not served", row.value, row.realm),
            )),
            Ok(networks) => {
                found.networks.extend(networks);
                let is_first = found.table.replace(table).is_none();
                is_first.then(|| (Verdict::Mapped, String::new()))
            }
            Err(why) => Some((Verdict::Invalid, why)),
        };
        if let Some((verdict, message)) = entry {
            let keys = if verdict == Verdict::Mapped { vec![key] } else { Vec::new() };
            it.say(Place::Table(table), table, verdict, keys, message);
        }
    }
}

fn write(it: &mut Conversion<'_>, key: &'static str, mut found: Found<'_>) {
    found.networks = IpNet::aggregate(&found.networks);
    if found.networks.is_empty() {
        return;
    }
    let mut comment = vec![origin(&found.lines)];
    comment.retain(|text| !text.is_empty());
    comment.extend(found.table.map(|table| format!("the table {table}")));
    let texts: Vec<String> = found.networks.iter().map(ToString::to_string).collect();
    it.draft.section(SectionKind::Peers).set(key, texts, format!("From {}.", comment.join(" and ")));
}
