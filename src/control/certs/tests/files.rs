//! What is said about files.

use super::pki::{Authority, DAY, Directory, NOW, ending};
use crate::{
    config::checked::CertificateFiles,
    control::certs::{advice, identity::Identity, load::load, pem::PemFile, roots::Roots},
};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

fn problem(directory: &Directory, files: &CertificateFiles) -> String {
    directory.strip(&load(files).unwrap_err())
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_to_do() {
    let directory = Directory::new("problems");
    let root = Authority::root("Root");
    let (made, other) = (root.issue(&["turn.example.org"]), root.issue(&["turn.example.org"]));
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let locked_pkcs1 = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    let bad_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let bad_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cut = &made.certificate[..made.certificate.len() / 2];
    let cases: &[(&str, &str, &str)] = &[
        ("", &made.key, "chain.pem holds no certificate: expected PEM text with -----BEGIN CERTIFICATE-----"),
        (
            &made.key,
            &made.certificate,
            "chain.pem holds a private key and no certificate: `chain` and `key` may be swapped",
        ),
        (
            &made.certificate,
            &made.certificate,
            "key.pem holds a certificate and no private key: `chain` and `key` may be swapped",
        ),
        (&made.certificate, public, "key.pem holds no private key: expected PEM text"),
        (
            &made.certificate,
            locked,
            "key.pem is protected by a password, which nobody could type in at start: remove it with openssl pkey -in key.pem",
        ),
        (&made.certificate, locked_pkcs1, "key.pem is protected by a password"),
        (
            &made.certificate,
            &other.key,
            "the key in key.pem does not belong to the certificate for rcgen self signed cert in chain.pem: name the two files that were made together",
        ),
        (
            &[root.pem.as_str(), &made.certificate].concat(),
            &made.key,
            "the certificates in chain.pem are in the wrong order: the key belongs to number 2, and the server's own certificate must come first",
        ),
        (
            &made.certificate,
            bad_key,
            "the key in key.pem cannot be used: expected an RSA key of 2048 to 8192 bits",
        ),
        (bad_certificate, &made.key, "certificate 1 in chain.pem is damaged: get the file again"),
        (
            &[made.certificate.as_str(), bad_certificate].concat(),
            &made.key,
            "certificate 2 in chain.pem is damaged",
        ),
        (cut, &made.key, "chain.pem is damaged: a section has no end, so the file may have been cut off"),
        (&made.certificate.replace("MII", "M!I"), &made.key, "chain.pem is damaged: a section is not base64"),
    ];
    for (chain, key, expected) in cases {
        let files = CertificateFiles {
            chain: directory.write("chain.pem", chain),
            key: directory.write("key.pem", key),
        };
        let problem = problem(&directory, &files);
        assert!(problem.contains(expected), "{problem}\n{expected}");
        for line in made.key.lines().filter(|line| line.len() > 40) {
            assert!(!problem.contains(line), "{problem}");
        }
    }
    let (chain, key) =
        (directory.write("chain.pem", &made.certificate), directory.write("key.pem", &made.key));
    fs::write(&chain, [0x30, 0x82, 0x01, 0x00]).unwrap();
    let files = CertificateFiles { chain, key };
    assert!(
        problem(&directory, &files)
            .starts_with("chain.pem is not PEM text: convert it with openssl x509 -inform der")
    );
    let missing = CertificateFiles { chain: directory.0.join("none.pem"), ..files.clone() };
    assert_eq!(problem(&directory, &missing), "none.pem does not exist: correct its path");
    let folder = CertificateFiles { chain: directory.0.clone(), ..files };
    assert!(problem(&directory, &folder).contains("cannot be read"));
}

#[test]
fn every_form_of_key_is_read() {
    let directory = Directory::new("forms");
    let root = Authority::root("Root");
    let ecdsa = root.issue(&["a"]);
    let rsa = root.issue_rsa(&["a"]);
    let ed25519 = root.issue_with(&["a"], KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), |_| {});
    // PKCS#8 has the older form inside (RFC 5958 §2, RFC 5915 §3, RFC 8017 §A.1.2).
    let unwrapped = |key: &str, label: &str| {
        let key = KeyPair::from_pem(key).unwrap();
        let der = key.serialized_der();
        let inner =
            der.windows(2).position(|pair| pair == [0x04, 0x6D]).map(|at| &der[at + 2..at + 2 + 0x6D]);
        let inner = inner.or_else(|| {
            let at = der.windows(2).position(|pair| pair == [0x04, 0x82])?;
            der.get(at + 4..)
        });
        let body: String = base64(inner.unwrap());
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    let sec1 = unwrapped(&ecdsa.key, "EC PRIVATE KEY");
    let pkcs1 = unwrapped(&rsa.key, "RSA PRIVATE KEY");
    let with_parameters =
        format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{sec1}");
    for (name, chain, key) in [
        ("pkcs8 ecdsa", &ecdsa.certificate, &ecdsa.key),
        ("sec1", &ecdsa.certificate, &sec1),
        ("sec1 with parameters", &ecdsa.certificate, &with_parameters),
        ("pkcs8 rsa", &rsa.certificate, &rsa.key),
        ("pkcs1", &rsa.certificate, &pkcs1),
        ("ed25519", &ed25519.certificate, &ed25519.key),
        (
            "one file for both",
            &[ecdsa.certificate.as_str(), &ecdsa.key].concat(),
            &[ecdsa.certificate.as_str(), &ecdsa.key].concat(),
        ),
        ("two keys", &ecdsa.certificate, &[rsa.key.as_str(), &ecdsa.key].concat()),
    ] {
        let loaded = load(&directory.pair(&[chain], key));
        assert!(loaded.is_ok(), "{name}: {loaded:?}");
    }
}

fn base64(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = (0..3).fold(0_u32, |sum, at| sum << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let index = usize::try_from(number >> (18 - 6 * at) & 0x3F).unwrap();
            text.push(if at <= chunk.len() { char::from(alphabet[index]) } else { '=' });
        }
    }
    text
}

#[test]
fn a_key_that_others_can_read_is_warned_of() {
    let directory = Directory::new("readable");
    let made = Authority::root("Root").issue(&["a"]);
    let files = directory.pair(&[&made.certificate], &made.key);
    assert_eq!(load(&files).unwrap().1, Vec::<String>::new());
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = load(&files).unwrap().1;
    assert!(warnings[0].contains("can be read by every user of this host; chmod o-r it"), "{warnings:?}");
}

/// What is said about a chain where `roots` are known.
fn advice_on(chain: &[&str], roots: &[&str]) -> Vec<String> {
    let directory = Directory::new("advice");
    let read = |name, text: &[&str]| {
        let path = directory.write(name, &text.concat());
        let file = PemFile::read(&path).unwrap();
        (file.certificates.iter().map(|der| Identity::of(der).unwrap()).collect::<Vec<_>>(), path)
    };
    let (chain, path) = read("chain.pem", chain);
    let roots = Roots::read(&directory.write("roots.pem", &roots.concat()));
    advice::on_chain(&chain, &path, &roots, NOW).iter().map(|text| directory.strip(text)).collect()
}

#[test]
fn a_chain_is_checked_from_the_server_to_a_root() {
    let root = Authority::root("Root");
    let one = root.intermediate("One");
    let two = one.intermediate("Two");
    let stranger = Authority::root("Stranger");
    let made = two.issue(&["turn.example.org"]);
    let leaf = made.certificate.as_str();
    let direct = root.issue(&["turn.example.org"]);
    let (root, one, two, stranger) =
        (root.pem.as_str(), one.pem.as_str(), two.pem.as_str(), stranger.pem.as_str());
    let none: &[&str] = &[];
    type Texts<'a> = &'a [&'a str];
    let cases: &[(&str, Texts<'_>, Texts<'_>, Texts<'_>)] = &[
        ("whole", &[leaf, two, one], &[root, stranger], none),
        ("with its root", &[leaf, two, one, root], &[root], none),
        ("issued by a root", &[&direct.certificate], &[root], none),
        ("up to a trusted intermediate", &[leaf, two], &[one], none),
        ("no list of roots", &[leaf, two, one], &[], none),
        (
            "only the leaf",
            &[leaf],
            &[root],
            &["the chain in chain.pem lacks the intermediate certificate \"Two\" that issued it"],
        ),
        (
            "only the leaf, no list",
            &[leaf],
            &[],
            &["the chain in chain.pem lacks the intermediate certificate \"Two\""],
        ),
        (
            "one missing",
            &[leaf, two],
            &[root],
            &[
                "the chain in chain.pem ends with \"Two\", issued by \"One\", which is no authority that this host knows",
            ],
        ),
        (
            "turned round",
            &[leaf, one, two],
            &[root],
            &[
                "the chain in chain.pem is in the wrong order: certificate 1 (\"rcgen self signed cert\") was issued by number 3, which must come right behind it",
            ],
        ),
        (
            "a stranger in it",
            &[leaf, two, stranger],
            &[root, stranger],
            &[
                "the chain in chain.pem is in the wrong order: certificate 2 (\"Two\") was issued by \"One\", but \"Stranger\" stands behind it as number 3",
            ],
        ),
    ];
    for (name, chain, roots, expected) in cases {
        let said = advice_on(chain, roots);
        assert_eq!(said.len(), expected.len(), "{name}: {said:?}");
        for (said, expected) in said.iter().zip(*expected) {
            assert!(said.contains(expected), "{name}: {said}");
        }
    }
}

#[test]
fn an_issuer_of_the_same_name_with_another_key_is_another_one() {
    let root = Authority::root("Root");
    let (old, new) = (root.intermediate("R3"), root.intermediate("R3"));
    let made = new.issue(&["turn.example.org"]);
    let said = advice_on(&[&made.certificate, &old.pem], &[&root.pem]);
    assert!(said[0].contains("was issued by \"R3\", but \"R3\" stands behind it"), "{said:?}");
    assert_eq!(advice_on(&[&made.certificate, &new.pem], &[&root.pem]), Vec::<String>::new());
}

#[test]
fn certificates_that_clients_refuse_are_told() {
    let root = Authority::root("Root");
    let key = || KeyPair::generate().unwrap();
    let nameless = root.issue_with(&[], key(), |params| {
        params.distinguished_name.push(DnType::CommonName, "turn.example.org");
    });
    let client = root.issue_with(&["a"], key(), |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let authority = root.issue_with(&["a"], key(), |params| {
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    let own = key();
    let selfsigned = CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&own).unwrap().pem();
    let old = root.issue_with(&["a"], key(), ending(-5));
    let leaf = root.issue(&["a"]);
    let cases: &[(&[&str], &str)] = &[
        (
            &[&nameless.certificate],
            "the certificate in chain.pem has no subject alternative name, the only place where clients look for the server's name (\"turn.example.org\" is not one)",
        ),
        (&[&client.certificate], "is not for servers (extended key usage)"),
        (&[&authority.certificate], "is that of an authority"),
        (&[&selfsigned], "is a self-signed certificate: browsers refuse it"),
        (&[&leaf.certificate, &old.certificate], "has expired on 2025-10-09T08:53:15Z: get the chain again"),
    ];
    for (chain, expected) in cases {
        let said = advice_on(chain, &[&root.pem]);
        assert!(said.iter().any(|said| said.contains(expected)), "{said:?}\n{expected}");
    }
}

#[test]
fn names_that_no_certificate_has_are_told() {
    let directory = Directory::new("names");
    let root = Authority::root("Root");
    let made = root.issue(&["turn.example.org", "*.eu.example.org", "192.0.2.1"]);
    let (certificate, _) = load(&directory.pair(&[&made.certificate], &made.key)).unwrap();
    let certificates = [Arc::new(certificate)];
    let good = ["turn.example.org", "one.eu.example.org", "192.0.2.1"];
    assert_eq!(advice::on_names(good, &certificates), Vec::<String>::new());
    for bad in ["example.org", "a.turn.example.org", "eu.example.org", "a.b.eu.example.org", "192.0.2.2"] {
        let said = advice::on_names([bad], &certificates);
        let expected = format!("no certificate has the name {bad} of tls.names");
        assert!(
            said[0].contains(&expected) && said[0].ends_with("turn.example.org, *.eu.example.org, 192.0.2.1"),
            "{said:?}"
        );
    }
    assert!(certificates[0].status().not_after > NOW + DAY);
}
