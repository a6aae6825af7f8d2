//! The configuration of coturn, and rows of its database: whatever they say, what comes of them can be loaded, no line
//! is lost, and no secret is told.

use std::path::Path;

use turnbridge::auth::Secret;
use turnbridge::config::coturn::{Database, Place, RealmRow, SecretRow, Source, UserRow, convert};
use turnbridge::config::{Inputs, load};

use super::config::Scratch;

/// Stands where secrets are; nothing that is told may contain it.
const SECRET: &str = "correct-horse-battery-staple";

/// Up to the first NUL it is a file, behind it rows of a database.
pub fn text(bytes: &[u8]) {
    let (file, rows) = match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[][..]),
    };
    let (file, rows) = (String::from_utf8_lossy(file), String::from_utf8_lossy(rows));
    let database = (!rows.is_empty()).then(|| database(&rows));
    let told = converted(&file, database.as_ref());
    if told.contains(SECRET) {
        return;
    }
    let file = format!("static-auth-secret={SECRET}\nuser=mallory:{SECRET}\n{file}");
    let told = converted(&file, database.as_ref());
    assert!(!told.contains(SECRET), "{told}");
}

/// All that is told of a conversion.
fn converted(text: &str, database: Option<&Database>) -> String {
    let source = Source { name: "turnserver.conf", text, directory: Path::new("/etc"), database };
    let converted = convert(source);
    let file = Scratch::write(converted.toml.as_bytes());
    let loaded = load(Inputs { file: Some(file.0.clone()), overrides: Vec::new() });
    assert!(loaded.is_ok(), "{}\n{}", loaded.unwrap_err(), *converted.toml);
    let lines = text.trim_start_matches('\u{FEFF}').split('\n').enumerate();
    for (at, _) in lines.filter(|(_, line)| {
        line.trim_start().chars().next().is_some_and(|char| char != '#' && !char.is_whitespace())
    }) {
        let is_told = |place| place == Place::Line(at + 1);
        assert!(converted.report.entries.iter().any(|entry| is_told(entry.place)), "line {} is lost", at + 1);
    }
    format!("{} {:?}", converted.report.text(), converted.report)
}

/// Each line is a row: a letter for the table, the realm, and what belongs to it.
fn database(rows: &str) -> Database {
    let mut database = Database::default();
    for row in rows.lines() {
        let mut parts = row.split(' ').map(str::to_owned);
        let [first, second, third] = [(); 3].map(|()| parts.next().unwrap_or_default());
        let mut letters = first.chars();
        let table = letters.next();
        let realm = letters.as_str().to_owned();
        match table {
            Some('u') => database.users.push(UserRow { realm, name: second, key: Secret::new(third) }),
            Some('s') => database.secrets.push(SecretRow { realm, value: Secret::new(second) }),
            Some('a') => database.allowed_peers.push(RealmRow { realm, value: second }),
            Some('d') => database.denied_peers.push(RealmRow { realm, value: second }),
            Some('o') => database.realm_options.push(RealmRow { realm, value: second }),
            _ => database.admins += 1,
        }
    }
    database
}
