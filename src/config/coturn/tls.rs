//! What TLS is served with: `[tls]` and `[[tls.certificate]]`.

use super::{
    conversion::{Conversion, origin},
    draft::SectionKind,
    line::Line,
    option::{Kind, KnownOption, mapped},
};

pub(super) const OPTIONS: &[KnownOption] = &[
    mapped("no-tls", Kind::Switch),
    mapped("no-dtls", Kind::Switch),
    mapped("cert", Kind::Value),
    mapped("pkey", Kind::Value),
    mapped("pkey-pwd", Kind::Value),
    mapped("no-tlsv1_2", Kind::Switch),
];

/// Writes the section, and says whether there is a certificate to serve TLS with.
pub(super) fn convert(it: &mut Conversion<'_>) -> bool {
    if let Some(line) = it.switch("no-tlsv1_2") {
        it.draft.section(SectionKind::Tls).set("min_version", "1.3", format!("From {}.", origin(&[line])));
        it.mapped(&line, "tls.min_version");
    }
    let no_dtls = it.switch("no-dtls");
    if let Some(line) = no_dtls {
        it.default(&line, "there is no DTLS");
    }
    let off = it.switch("no-tls");
    let (chain, key) = (it.last("cert"), it.last("pkey"));
    let password = it.last("pkey-pwd");
    if let Some(off) = off {
        it.default(&off, "TLS is spoken when there is a certificate, and none is named");
        for line in [chain, key, password].into_iter().flatten() {
            it.default(&line, "not used: no-tls is set");
        }
        return false;
    }
    match (chain, key) {
        (Some(chain), Some(key)) => {
            if no_dtls.is_none() {
                it.note(
                    "dtls",
                    "coturn before 4.17 speaks DTLS with this certificate as well; here there is only TLS",
                );
            }
            certificate(it, &chain, &key, password.as_ref())
        }
        (Some(line), None) | (None, Some(line)) => {
            let other = if chain.is_some() { "pkey" } else { "cert" };
            it.dropped(
                &line,
                format!(
                    "TLS needs both cert and pkey, and {other} is missing; see tls.certificate, or tls.acme"
                ),
            );
            unused(it, password.as_ref());
            false
        }
        (None, None) => {
            unused(it, password.as_ref());
            false
        }
    }
}

fn certificate(
    it: &mut Conversion<'_>,
    chain: &Line<'_>,
    key: &Line<'_>,
    password: Option<&Line<'_>>,
) -> bool {
    let files = [chain, key];
    if let Some(line) = files.iter().find(|line| line.value.is_empty()) {
        it.invalid_line(line, "expected the path of a PEM file");
        for other in files.iter().filter(|other| other.number != line.number) {
            it.dropped(other, format!("TLS needs both cert and pkey, and {} is empty", line.name));
        }
        unused(it, password);
        return false;
    }
    let paths = files.map(|line| it.path(line).to_string_lossy().into_owned());
    let comment = format!("From {}.", origin(&[*chain, *key]));
    let [chain_path, key_path] = paths.clone();
    let section = it.draft.add(SectionKind::Certificate).comment(comment);
    section.set_plain("chain", chain_path).set_plain("key", key_path);
    for ((line, path), name) in files.iter().zip(paths).zip(["tls.certificate.chain", "tls.certificate.key"])
    {
        match path == line.value {
            true => it.mapped(line, name),
            false => it.changed(
                line,
                name,
                format!("coturn looks for a relative path in several folders; \"{path}\" was written"),
            ),
        }
    }
    if let Some(password) = password {
        it.dropped(
            password,
            "keys are read without a password: write it once without one (openssl pkey -in OLD -out NEW), with mode \
             0600, and name that as tls.certificate.key",
        );
    }
    true
}

fn unused(it: &mut Conversion<'_>, password: Option<&Line<'_>>) {
    if let Some(line) = password {
        it.default(line, "not used: there is no key that it could be of");
    }
}
