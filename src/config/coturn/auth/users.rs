//! Users whose password does not expire: `[[auth.user]]`.

use super::{Scheme, name};
use crate::{
    auth::{Key, PasswordAlgorithm, Secret, users::User},
    config::coturn::{
        conversion::{Conversion, origin},
        draft::SectionKind,
        line::Line,
        report::{Place, Verdict},
    },
};

/// A user that can be written.
struct Written {
    name: String,
    proof: &'static str,
    value: Secret,
}

const BESIDE_SECRETS: &str =
    "coturn does not let users in beside use-auth-secret. Here both can log in: remove the # if they may.";

/// Writes the users, and says whether there are any that can log in.
pub(super) fn convert<'a>(
    it: &mut Conversion<'a>,
    found: Vec<Line<'a>>,
    realm: &str,
    scheme: Scheme,
) -> bool {
    let asleep = scheme == Scheme::TimeLimited;
    let mut written: Vec<String> = Vec::new();
    // Of two lines for one name the last one counts.
    let mut lines: Vec<(Line<'_>, Written)> = Vec::new();
    for line in found {
        match read(line.value) {
            Ok(user) => {
                if let Some(at) = lines.iter().position(|(_, earlier)| earlier.name == user.name) {
                    let (earlier, _) = lines.remove(at);
                    it.default(
                        &earlier,
                        format!("line {} has the same user, and the last one counts", line.number),
                    );
                }
                lines.push((line, user));
            }
            Err(why) => it.invalid_line(&line, why),
        }
    }
    for (line, user) in lines {
        match asleep {
            true => it.changed(
                &line,
                "auth.user",
                "as a comment, since coturn does not let users in beside use-auth-secret",
            ),
            false => it.mapped(&line, "auth.user"),
        }
        written.push(user.name.clone());
        write(it, user, format!("From {}.", origin(&[line])), asleep);
    }
    from_database(it, realm, asleep, &mut written);
    !written.is_empty() && !asleep
}

/// "name:password", or "name:0x" and the key in hexadecimal.
fn read(value: &str) -> Result<Written, String> {
    let (name, proof) = value
        .split_once(':')
        .filter(|(name, proof)| !name.is_empty() && !proof.is_empty())
        .ok_or("expected \"name:password\" or \"name:0xkey\"")?;
    match proof.strip_prefix("0x") {
        Some(hex) => with_key(name, hex),
        None => {
            let secret = Secret::new(proof);
            let user =
                User::with_password(name, &secret).map_err(|(part, bad)| format!("not a {part}: {bad}"))?;
            Ok(Written { name: user.name, proof: "password", value: secret })
        }
    }
}

fn with_key(name: &str, hex: &str) -> Result<Written, String> {
    let algorithms = [(PasswordAlgorithm::Md5, "key"), (PasswordAlgorithm::Sha256, "key_sha256")];
    let proof = algorithms.iter().find(|(algorithm, _)| Key::from_hex(*algorithm, hex).is_some());
    let (_, proof) = proof.ok_or("the key is neither 32 nor 64 hexadecimal digits")?;
    let name = name::opaque_string(name).and_then(|prepared| {
        name::check_username(prepared.as_bytes())?;
        Ok(prepared.into_owned())
    });
    let name = name.map_err(|bad| format!("not a name: {bad}"))?;
    Ok(Written { name, proof, value: Secret::new(hex) })
}

fn write(it: &mut Conversion<'_>, user: Written, comment: String, asleep: bool) {
    let section = it.draft.add(SectionKind::User).comment(comment);
    if asleep {
        section.comment(BESIDE_SECRETS).put_to_sleep();
    }
    section.set_plain("name", user.name).set_plain(user.proof, user.value.expose());
}

fn from_database(it: &mut Conversion<'_>, realm: &str, asleep: bool, written: &mut Vec<String>) {
    const TABLE: &str = "turnusers_lt";
    let Some(database) = it.database else { return };
    let (of_realm, others): (Vec<_>, Vec<_>) = database.users.iter().partition(|row| row.realm == realm);
    if !others.is_empty() {
        let mut names: Vec<String> =
            others.iter().map(|row| format!("{:?} ({:?})", row.name, row.realm)).collect();
        names.truncate(20);
        let message = format!(
            "{} of other realms than {realm:?}; a server has one realm, and their keys are good in no other: {}{}",
            others.len(),
            names.join(", "),
            if others.len() > names.len() { ", …" } else { "" }
        );
        it.say(Place::Table(TABLE), TABLE, Verdict::Dropped, Vec::new(), message);
    }
    let mut taken = 0;
    for row in of_realm {
        match with_key(&row.name, row.key.expose()) {
            Ok(user) if written.contains(&user.name) => {
                let message = format!("{:?} is in the file as well, which counts", row.name);
                it.say(Place::Table(TABLE), TABLE, Verdict::Default, Vec::new(), message);
            }
            Ok(user) => {
                taken += 1;
                written.push(user.name.clone());
                write(it, user, format!("From the table {TABLE}."), asleep);
            }
            Err(why) => {
                it.say(
                    Place::Table(TABLE),
                    TABLE,
                    Verdict::Invalid,
                    Vec::new(),
                    format!("user {:?}: {why}", row.name),
                );
            }
        }
    }
    if taken > 0 {
        let users = if taken == 1 { "user" } else { "users" };
        let (verdict, message) = match asleep {
            true => (
                Verdict::Changed,
                format!(
                    "{taken} {users} as a comment, since coturn does not let them in beside use-auth-secret"
                ),
            ),
            false => (Verdict::Mapped, String::new()),
        };
        it.say(Place::Table(TABLE), TABLE, verdict, vec!["auth.user"], message);
    }
}
