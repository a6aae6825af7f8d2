//! How changes of files become changes of what is served.

use super::pki::{Authority, DAY, Directory, Made, NOW, ending};
use crate::{
    config::{
        checked::{CertificateFiles, Tls},
        choice::TlsVersion,
    },
    control::certs::{Notice, Watch},
};
use rcgen::KeyPair;
use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    time::{Duration, Instant},
};

/// A server's certificates, with a clock of their own.
struct Rig {
    directory: Directory,
    watch: Watch,
    now: Instant,
    root: Authority,
}

impl Rig {
    fn new(name: &str) -> Self {
        Self::with(
            name,
            |root| root.issue(&["old.example.org"]),
            |directory, made| {
                let (chain, key) = ("chain.pem", "key.pem");
                CertificateFiles {
                    chain: directory.write(chain, &made.certificate),
                    key: directory.write(key, &made.key),
                }
            },
        )
    }

    fn with(
        name: &str,
        issue: impl FnOnce(&Authority) -> Made,
        place: impl FnOnce(&Directory, &Made) -> CertificateFiles,
    ) -> Self {
        let (directory, root) = (Directory::new(name), Authority::root("Root"));
        let files = place(&directory, &issue(&root));
        let (watch, _) = Watch::start(&tls(vec![files]), NOW).unwrap();
        Self { directory, watch, now: Instant::now(), root }
    }

    /// Lets time pass; each look comes when it is due.
    fn pass(&mut self, seconds: u64) -> Vec<String> {
        let mut said = Vec::new();
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            said.extend(self.watch.look(self.now, NOW).iter().filter_map(told));
        }
        said
    }

    fn served(&self) -> String {
        self.watch.store().status()[0].names.join(",")
    }
}

fn tls(certificates: Vec<CertificateFiles>) -> Tls {
    Tls { min_version: TlsVersion::Tls12, names: Vec::new(), certificates, acme: None }
}

/// Without advice, which every certificate of the tests gets.
fn told(notice: &Notice) -> Option<String> {
    match notice {
        Notice::Loaded(it) => Some(format!("loaded {}", it.names.join(","))),
        Notice::Broken { detail, .. } => Some(format!("broken {detail}")),
        Notice::Mended(_) => Some("mended".to_owned()),
        Notice::Advice(_) => None,
        Notice::Expires(_, seconds) => Some(format!("expires {}", seconds / DAY)),
        Notice::Expired(_) => Some("expired".to_owned()),
        Notice::NotYetValid(_) => Some("early".to_owned()),
    }
}

#[test]
fn changed_files_are_served_without_a_word_from_anybody() {
    let mut rig = Rig::new("changed");
    assert_eq!(rig.pass(60), Vec::<String>::new());
    let made = rig.root.issue(&["new.example.org"]);
    rig.directory.write("chain.pem", &made.certificate);
    rig.directory.write("key.pem", &made.key);
    assert_eq!(rig.pass(3), ["loaded new.example.org"]);
    assert_eq!(rig.served(), "new.example.org");
    assert_eq!(rig.pass(60), Vec::<String>::new());
}

#[test]
fn a_pair_that_is_half_written_is_waited_for() {
    let mut rig = Rig::new("half");
    let made = rig.root.issue(&["new.example.org"]);
    rig.directory.write("chain.pem", &made.certificate);
    assert_eq!(rig.pass(8), Vec::<String>::new());
    assert_eq!(rig.served(), "old.example.org");
    rig.directory.write("key.pem", &made.key);
    assert_eq!(rig.pass(3), ["loaded new.example.org"]);
}

#[test]
fn a_broken_pair_keeps_the_old_one_and_is_told_once() {
    let mut rig = Rig::new("broken");
    let old = fs::read_to_string(rig.directory.0.join("chain.pem")).unwrap();
    let made = rig.root.issue(&["new.example.org"]);
    rig.directory.write("chain.pem", &made.certificate);
    let said = rig.pass(120);
    assert!(said.len() == 1 && said[0].contains("does not belong to the certificate"), "{said:?}");
    assert_eq!(rig.served(), "old.example.org");
    fs::remove_file(rig.directory.0.join("chain.pem")).unwrap();
    assert_eq!(rig.pass(60), Vec::<String>::new());
    assert_eq!(rig.served(), "old.example.org");
    rig.directory.write("chain.pem", &old);
    assert_eq!(rig.pass(3), ["mended"]);
    fs::remove_file(rig.directory.0.join("key.pem")).unwrap();
    let said = rig.pass(60);
    assert!(said.len() == 1 && said[0].contains("key.pem does not exist"), "{said:?}");
}

#[test]
fn whoever_asks_for_a_reload_is_told_at_once() {
    let mut rig = Rig::new("asked");
    let reload =
        |rig: &mut Rig| -> Vec<String> { rig.watch.reload(rig.now, NOW).iter().filter_map(told).collect() };
    assert_eq!(reload(&mut rig), Vec::<String>::new());
    rig.directory.write("key.pem", "");
    for _ in 0..2 {
        let said = reload(&mut rig);
        assert!(said.len() == 1 && said[0].contains("key.pem holds no private key"), "{said:?}");
    }
    let made = rig.root.issue(&["new.example.org"]);
    rig.directory.write("chain.pem", &made.certificate);
    rig.directory.write("key.pem", &made.key);
    assert_eq!(reload(&mut rig), ["loaded new.example.org"]);
}

#[test]
fn a_link_that_is_turned_is_seen() {
    // As Kubernetes mounts a secret: the files are links through `..data`, which is replaced as a whole.
    let version = |directory: &Directory, name: &str, made: &Made| -> PathBuf {
        let folder = directory.0.join(name);
        fs::create_dir(&folder).unwrap();
        directory.write(&format!("{name}/tls.crt"), &made.certificate);
        directory.write(&format!("{name}/tls.key"), &made.key);
        folder
    };
    let mut rig = Rig::with(
        "links",
        |root| root.issue(&["old.example.org"]),
        |directory, made| {
            symlink(version(directory, "first", made), directory.0.join("..data")).unwrap();
            let link = |name: &str| {
                symlink(format!("..data/{name}"), directory.0.join(name)).unwrap();
                directory.0.join(name)
            };
            CertificateFiles { chain: link("tls.crt"), key: link("tls.key") }
        },
    );
    let made = rig.root.issue(&["new.example.org"]);
    let second = version(&rig.directory, "second", &made);
    symlink(second, rig.directory.0.join("..new")).unwrap();
    fs::rename(rig.directory.0.join("..new"), rig.directory.0.join("..data")).unwrap();
    fs::remove_dir_all(rig.directory.0.join("first")).unwrap();
    assert_eq!(rig.pass(3), ["loaded new.example.org"]);
}

#[test]
fn what_expires_is_told_at_start_and_as_time_goes_by() {
    let directory = Directory::new("expires");
    let root = Authority::root("Root");
    let made = root.issue_with(&["a"], KeyPair::generate().unwrap(), ending(10 * DAY as i64));
    let files = directory.pair(&[&made.certificate], &made.key);
    let (mut watch, notices) = Watch::start(&tls(vec![files]), NOW).unwrap();
    assert_eq!(notices.iter().filter_map(told).collect::<Vec<_>>(), ["loaded a", "expires 10"]);
    let start = Instant::now();
    let mut said = Vec::new();
    for hour in 1..11 * 24 {
        let passed = hour * 3600;
        let notices = watch.look(start + Duration::from_secs(passed), NOW + passed);
        said.extend(notices.iter().filter_map(told));
    }
    assert_eq!(said, ["expires 3", "expires 2", "expires 1", "expired"]);
}

#[test]
fn files_that_are_broken_at_start_are_all_told() {
    let directory = Directory::new("start");
    let good = Authority::root("Root").issue(&["a"]);
    let files = vec![
        directory.pair(&[""], &good.key),
        directory.pair(&[&good.certificate], &good.key),
        directory.pair(&[&good.certificate], ""),
    ];
    let problems = Watch::start(&tls(files), NOW).unwrap_err();
    assert!(problems.len() == 2 && problems[0].contains("holds no certificate"), "{problems:?}");
}

#[test]
fn clients_are_told_the_configured_name_or_the_first_of_a_certificate() {
    let directory = Directory::new("name");
    let made = Authority::root("Root").issue(&["*.example.org", "turn.example.org"]);
    let files = vec![directory.pair(&[&made.certificate], &made.key)];
    let (watch, _) = Watch::start(&tls(files.clone()), NOW).unwrap();
    assert_eq!(watch.name().as_deref(), Some("turn.example.org"));
    let named = Tls { names: vec!["eu.example.org".to_owned(), "other".to_owned()], ..tls(files) };
    let (watch, notices) = Watch::start(&named, NOW).unwrap();
    assert_eq!(watch.name().as_deref(), Some("eu.example.org"));
    let names: Vec<_> = notices
        .iter()
        .filter(|notice| matches!(notice, Notice::Advice(said) if said.contains("has the name other of")))
        .collect();
    assert_eq!(names.len(), 1, "{notices:?}");
}
