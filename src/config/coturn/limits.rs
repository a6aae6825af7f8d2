//! How much anybody may use: `[limits]`.

use super::{
    conversion::{Conversion, origin},
    database,
    draft::SectionKind,
    line::Line,
    option::{Kind, KnownOption, mapped},
    report::{Place, Verdict},
};
use crate::config::units::{BitsPerSecond, Seconds};
use toml::Value;

pub(super) const OPTIONS: &[KnownOption] = &[
    mapped("user-quota", Kind::Value),
    mapped("total-quota", Kind::Value),
    mapped("max-bps", Kind::Value),
    mapped("bps-capacity", Kind::Value),
    mapped("max-allocate-lifetime", Kind::Value),
    mapped("max-allocate-timeout", Kind::Value),
    mapped("channel-lifetime", Kind::Value),
    mapped("permission-lifetime", Kind::Value),
    mapped("no-tcp-relay", Kind::Switch),
    mapped("unauthorized-ratelimit-rps", Kind::Value),
];

pub(super) fn convert(it: &mut Conversion<'_>, realm: &str) {
    let of_realm = RealmOptions::read(it, realm);
    quota(it, "total-quota", "allocations", "limits.allocations", of_realm.get("total-quota"));
    quota(
        it,
        "user-quota",
        "allocations_per_user",
        "limits.allocations_per_user",
        of_realm.get("user-quota"),
    );
    bandwidth(it, "bps-capacity", "bandwidth", "limits.bandwidth", None);
    let key = "limits.bandwidth_per_allocation";
    bandwidth(it, "max-bps", "bandwidth_per_allocation", key, of_realm.get("max-bps"));
    duration(it, "max-allocate-lifetime", "max_lifetime", "limits.max_lifetime", 120..=604_800);
    duration(it, "max-allocate-timeout", "first_request_timeout", "limits.first_request_timeout", 1..=86_400);
    fixed(it, "channel-lifetime", 600);
    fixed(it, "permission-lifetime", 300);
    if let Some(line) = it.switch("no-tcp-relay") {
        set(it, "connections_per_allocation", 0, &line);
        it.mapped(&line, "limits.connections_per_allocation");
    }
    unauthorized(it);
}

/// What the database says for the realm; it counts more than the file.
struct RealmOptions(Vec<(&'static str, u64)>);

impl RealmOptions {
    fn read(it: &mut Conversion<'_>, realm: &str) -> Self {
        const TABLE: &str = "turn_realm_option";
        let Some(database) = it.database else { return Self(Vec::new()) };
        let mut found = Vec::new();
        for row in &database.realm_options {
            let (name, value) = row.value.split_once('=').unwrap_or((&row.value, ""));
            let known = ["user-quota", "total-quota", "max-bps"].into_iter().find(|known| *known == name);
            let number = value.trim().parse().ok();
            match known.zip(number).filter(|_| database::is_for(&row.realm, realm)) {
                Some(option) => found.push(option),
                None => {
                    let message = format!("{name:?} of the realm {:?} is not carried over", row.realm);
                    it.say(Place::Table(TABLE), TABLE, Verdict::Dropped, Vec::new(), message);
                }
            }
        }
        if !found.is_empty() {
            it.say(Place::Table(TABLE), TABLE, Verdict::Mapped, vec!["limits"], "");
        }
        Self(found)
    }

    fn get(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// The number that counts and where it comes from: the database's, or else the file's.
fn chosen<'a>(
    it: &mut Conversion<'a>,
    name: &'static str,
    of_realm: Option<u64>,
) -> Option<(u64, Option<Line<'a>>, String)> {
    let line = it.number(name);
    match (line, of_realm) {
        (Some((line, _)), Some(number)) => {
            it.default(&line, "the table turn_realm_option says something else, which counts");
            Some((number, None, "From the table turn_realm_option.".to_owned()))
        }
        (None, Some(number)) => Some((number, None, "From the table turn_realm_option.".to_owned())),
        (Some((line, number)), None) => Some((number, Some(line), format!("From {}.", origin(&[line])))),
        (None, None) => None,
    }
}

fn quota(
    it: &mut Conversion<'_>,
    name: &'static str,
    field: &'static str,
    key: &'static str,
    of_realm: Option<u64>,
) {
    let Some((number, line, comment)) = chosen(it, name, of_realm) else { return };
    let value = match u32::try_from(number) {
        Ok(0) => Value::from("unlimited"),
        Ok(number) => Value::from(i64::from(number)),
        Err(_) => {
            if let Some(line) = line {
                it.invalid_line(&line, "expected a number of allocations up to 4294967295");
            }
            return;
        }
    };
    it.draft.section(SectionKind::Limits).set(field, value, comment);
    if let Some(line) = line {
        it.mapped(&line, key);
    }
}

/// coturn counts bytes, this server bits.
fn bandwidth(
    it: &mut Conversion<'_>,
    name: &'static str,
    field: &'static str,
    key: &'static str,
    of_realm: Option<u64>,
) {
    let Some((bytes, line, comment)) = chosen(it, name, of_realm) else { return };
    let Some(bits) = bytes.checked_mul(8) else {
        if let Some(line) = line {
            it.invalid_line(&line, "more than any network carries");
        }
        return;
    };
    if bits == 0 {
        if let Some(line) = line {
            it.default(&line, "unlimited");
        }
        return;
    }
    let comment = format!("{comment} That is {bytes} bytes per second.");
    it.draft.section(SectionKind::Limits).set(field, BitsPerSecond(bits).to_string(), comment);
    match (line, field) {
        (Some(line), "bandwidth") => it.changed(
            &line,
            key,
            "it bounds what is relayed; with coturn it bounds how many sessions of max-bps are admitted",
        ),
        (Some(line), _) => it.mapped(&line, key),
        (None, _) => {}
    }
}

fn duration(
    it: &mut Conversion<'_>,
    name: &'static str,
    field: &'static str,
    key: &'static str,
    range: std::ops::RangeInclusive<u64>,
) {
    let Some((line, seconds)) = it.number(name) else { return };
    let nearest = seconds.clamp(*range.start(), *range.end());
    set(it, field, Seconds(nearest).to_string(), &line);
    if nearest != seconds {
        let (least, most) = (Seconds(*range.start()), Seconds(*range.end()));
        it.changed(&line, key, format!("it can be from {least} to {most}, so {} is taken", Seconds(nearest)));
    } else if name == "max-allocate-timeout" {
        it.changed(
            &line,
            key,
            "it counts for clients over TCP and TLS; over UDP nothing is kept that could time out",
        );
    } else {
        it.mapped(&line, key);
    }
}

/// What RFC 8656 says how long it lasts.
fn fixed(it: &mut Conversion<'_>, name: &'static str, usual: u64) {
    let Some((line, seconds)) = it.number(name) else { return };
    match seconds == usual {
        true => it.default(&line, format!("it is {usual} s")),
        false => it.dropped(&line, format!("it is {usual} s, as RFC 8656 and all clients have it")),
    }
}

fn unauthorized(it: &mut Conversion<'_>) {
    let Some((line, rate)) = it.number("unauthorized-ratelimit-rps") else { return };
    match u32::try_from(rate).ok().filter(|rate| *rate > 0) {
        Some(rate) => {
            set(it, "challenge_rate", format!("{rate}/s"), &line);
            it.changed(
                &line,
                "limits.challenge_rate",
                "a source may also save answers up, limits.challenge_burst of them, and a wrong password costs ten",
            );
        }
        None => it.invalid_line(&line, "expected a number from 1 to 4294967295"),
    }
}

fn set(it: &mut Conversion<'_>, field: &'static str, value: impl Into<Value>, line: &Line<'_>) {
    let comment = format!("From {}.", origin(&[*line]));
    it.draft.section(SectionKind::Limits).set(field, value, comment);
}
