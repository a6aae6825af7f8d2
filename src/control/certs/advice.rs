//! What clients will not like about a certificate that can be served, in words.

use super::{Certificate, identity::Identity, roots::Roots};
use crate::control::utc::Utc;
use std::path::Path;

/// Looks at a chain, the server's certificate first. Each sentence names the file and the fix.
pub(super) fn on_chain(chain: &[Identity], path: &Path, roots: &Roots, now: u64) -> Vec<String> {
    let path = path.display();
    let Some((own, issuers)) = chain.split_first() else { return Vec::new() };
    let mut advice = Vec::new();
    if own.dns_names.is_empty() && own.ips.is_empty() {
        advice.push(format!(
            "the certificate in {path} has no subject alternative name, the only place where clients look for the \
             server's name (\"{}\" is not one): have it issued again with one",
            own.subject
        ));
    }
    if own.is_not_for_servers {
        advice.push(format!(
            "the certificate in {path} is not for servers (extended key usage): clients refuse it"
        ));
    }
    if own.is_ca && !own.is_self_issued() {
        advice.push(format!(
            "the certificate in {path} is that of an authority: many clients refuse it for a server"
        ));
    }
    advice.extend(on_order(chain).map(|what| format!("the chain in {path} is in the wrong order: {what}")));
    advice.extend(on_end(chain, roots).map(|what| format!("the chain in {path} {what}")));
    for issuer in issuers.iter().filter(|issuer| issuer.not_after < now) {
        let when = Utc::new(issuer.not_after).map(|when| format!(" on {when}")).unwrap_or_default();
        advice.push(format!(
            "the certificate of the issuer \"{}\" in {path} has expired{when}: get the chain again",
            issuer.subject
        ));
    }
    advice
}

/// Each certificate must be issued by the next; some clients look no further (RFC 5246 §7.4.2).
fn on_order(chain: &[Identity]) -> Option<String> {
    let at = chain.windows(2).position(|pair| !pair[0].is_issued_by(&pair[1]))?;
    let (here, next) = (&chain[at], &chain[at + 1]);
    let issuer = chain.iter().position(|other| here != other && here.is_issued_by(other));
    let (number, behind) = (at + 1, at + 2);
    Some(match issuer {
        Some(issuer) => format!(
            "certificate {number} (\"{}\") was issued by number {}, which must come right behind it",
            here.subject,
            issuer + 1
        ),
        None => format!(
            "certificate {number} (\"{}\") was issued by \"{}\", but \"{}\" stands behind it as number {behind}",
            here.subject, here.issuer, next.subject
        ),
    })
}

/// Whether a client can get from the last certificate to one that it knows.
fn on_end(chain: &[Identity], roots: &Roots) -> Option<String> {
    let last = chain.last()?;
    if chain.iter().any(|certificate| roots.reach(certificate)) {
        return None;
    }
    if last.is_self_issued() {
        let own_root = chain.len() > 1 || roots.reach(last);
        return (!own_root).then(|| {
            "is a self-signed certificate: browsers refuse it, without a word to the user".to_owned()
        });
    }
    if chain.len() == 1 {
        return Some(format!(
            "lacks the intermediate certificate \"{}\" that issued it: clients that do not happen to know that one refuse \
             it, so add it behind the server's own (certbot's fullchain.pem has both), unless it is a root of your own that \
             they trust",
            last.issuer
        ));
    }
    // Without a list of authorities there is no telling, and a chain of several is most often whole.
    (!roots.is_empty()).then(|| {
        format!(
            "ends with \"{}\", issued by \"{}\", which is no authority that this host knows: if clients do not know it \
             either, its certificate is missing",
            last.subject, last.issuer
        )
    })
}

/// The names clients use must be in a certificate.
pub(super) fn on_names<'a>(
    names: impl IntoIterator<Item = &'a str>,
    certificates: &[impl AsRef<Certificate>],
) -> Vec<String> {
    let is_covered = |name: &str| certificates.iter().any(|it| it.as_ref().identity().covers(name));
    let theirs: Vec<String> = certificates.iter().flat_map(|it| it.as_ref().identity().names()).collect();
    let uncovered = names.into_iter().filter(|name| !is_covered(name));
    let complain = |name| {
        format!(
            "no certificate has the name {name} of tls.names, so clients that use it refuse to connect; the certificates \
             have {}",
            theirs.join(", ")
        )
    };
    uncovered.map(complain).collect()
}
