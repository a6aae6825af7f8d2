//! What is kept from one start to the next: the account, the certificate with its key, and how often it has failed.

use super::schedule::{self, UnixSeconds};
use crate::{auth::encoding, control::private_file};
use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The files of one CA. Another directory URL is another CA, with an account and certificates of its own.
#[derive(Clone, Debug)]
pub(super) struct Files {
    directory: PathBuf,
}

/// Orders that have failed, or were cut off, since the last one that succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempts {
    /// How many in a row.
    pub(super) failures: u32,
    /// Not to be tried again before this.
    pub(super) next_try: UnixSeconds,
    /// What was ordered, and how; other orders have a new chance.
    pub(super) order: String,
}

impl Files {
    /// Those in `root` for the CA with this directory URL.
    pub(super) fn open(root: &Path, directory_url: &str) -> io::Result<Self> {
        let directory = root.join(folder_name(directory_url));
        private_file::create_directory(&directory)?;
        Ok(Self { directory })
    }

    /// The account, if there is one. What cannot be read as one is an error of the kind `InvalidData`.
    pub(super) fn account(&self) -> io::Result<Option<AccountCredentials>> {
        self.read_json("account.json")
    }

    pub(super) fn keep_account(&self, account: &AccountCredentials) -> io::Result<()> {
        let text = Zeroizing::new(serde_json::to_string(account)?);
        private_file::replace(&self.path("account.json"), text.as_bytes())
    }

    /// The private key and the chain, as PEM.
    pub(super) fn certificate(&self) -> io::Result<Option<Zeroizing<String>>> {
        self.read("certificate.pem")
    }

    /// Both stand in one file, so that a key never meets the certificate of another one.
    pub(super) fn keep_certificate(&self, pem: &str) -> io::Result<()> {
        private_file::replace(&self.path("certificate.pem"), pem.as_bytes())
    }

    /// What is known of failures of `order`. `now` bounds how long they count: a clock may have been wrong.
    pub(super) fn attempts(&self, order: &str, now: UnixSeconds) -> io::Result<Attempts> {
        let kept: Option<Attempts> = match self.read_json("attempts.json") {
            Err(error) if error.kind() == ErrorKind::InvalidData => None,
            other => other?,
        };
        let mut attempts = kept.filter(|attempts| attempts.order == order).unwrap_or_default();
        attempts.next_try = attempts.next_try.min(now.saturating_add(schedule::MAX_BACK_OFF));
        order.clone_into(&mut attempts.order);
        Ok(attempts)
    }

    pub(super) fn keep_attempts(&self, attempts: &Attempts) -> io::Result<()> {
        private_file::replace(&self.attempts_file(), serde_json::to_string(attempts)?.as_bytes())
    }

    pub(super) fn forget_attempts(&self) -> io::Result<()> {
        private_file::remove(&self.attempts_file())
    }

    /// Whoever removes this file lets the server try again at its next start.
    pub(super) fn attempts_file(&self) -> PathBuf {
        self.path("attempts.json")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn read(&self, name: &str) -> io::Result<Option<Zeroizing<String>>> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let text = Zeroizing::new(text);
                private_file::close_to_others(&path)?;
                Ok(Some(text))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let Some(text) = self.read(name)? else { return Ok(None) };
        let invalid = |error| io::Error::new(ErrorKind::InvalidData, error);
        serde_json::from_str(&text).map(Some).map_err(invalid)
    }
}

/// The host for people, and a hash because one host can be several CAs.
fn folder_name(directory_url: &str) -> String {
    let host = directory_url.split("://").nth(1).unwrap_or(directory_url);
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = |char: char| if char.is_ascii_alphanumeric() || char == '.' { char } else { '-' };
    let host: String = host.chars().map(plain).take(64).collect();
    let hash = Sha256::digest(directory_url.as_bytes());
    format!("{}-{}", host.trim_start_matches('.'), encoding::hex(&hash[..4]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("turnbridge-acme-{}-{name}", std::process::id())))
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn each_directory_url_has_a_folder_of_its_own() {
        let cases = [
            ("https://acme-v02.api.letsencrypt.org/directory", "acme-v02.api.letsencrypt.org-"),
            ("https://ca.example:9000/acme/one/directory", "ca.example-9000-"),
            ("https://ca.example:9000/acme/two/directory", "ca.example-9000-"),
            ("https://[::1]:14000/dir", "---1--14000-"),
            ("https://../../dir", "-"),
        ];
        let names = cases.map(|(url, prefix)| {
            let name = folder_name(url);
            let hash = name.strip_prefix(prefix).unwrap_or_else(|| panic!("{name}"));
            assert!(hash.len() == 8 && hash.chars().all(|char| char.is_ascii_hexdigit()), "{name}");
            name
        });
        assert_ne!(names[1], names[2]);
    }

    #[test]
    fn a_certificate_is_kept_with_mode_600_and_closed_when_it_was_open() {
        let directory = Directory::new("certificate");
        let files = Files::open(&directory.0, "https://ca.example/dir").unwrap();
        assert_eq!(files.certificate().unwrap(), None);
        files.keep_certificate("key and chain").unwrap();
        let path = files.path("certificate.pem");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(files.certificate().unwrap().unwrap().as_str(), "key and chain");
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn failures_are_remembered_for_the_order_they_are_of() {
        let directory = Directory::new("attempts");
        let files = Files::open(&directory.0, "https://ca.example/dir").unwrap();
        let fresh = |order: &str| Attempts { order: order.to_owned(), ..Attempts::default() };
        assert_eq!(files.attempts("a", 1_000).unwrap(), fresh("a"));
        let failed = Attempts { failures: 3, next_try: 2_000, order: "a".to_owned() };
        files.keep_attempts(&failed).unwrap();
        assert_eq!(files.attempts("a", 1_000).unwrap(), failed);
        assert_eq!(files.attempts("a, b", 1_000).unwrap(), fresh("a, b"));

        let far = Attempts { next_try: u64::MAX, ..failed };
        files.keep_attempts(&far).unwrap();
        assert_eq!(files.attempts("a", 1_000).unwrap().next_try, 1_000 + schedule::MAX_BACK_OFF);
        fs::write(files.attempts_file(), "{").unwrap();
        assert_eq!(files.attempts("a", 1_000).unwrap(), fresh("a"));
        files.forget_attempts().unwrap();
        files.forget_attempts().unwrap();
        assert!(!files.attempts_file().exists());
    }

    #[test]
    fn what_is_no_account_is_told_from_none() {
        let directory = Directory::new("account");
        let files = Files::open(&directory.0, "https://ca.example/dir").unwrap();
        assert!(files.account().unwrap().is_none());
        fs::write(files.path("account.json"), "{\"id\":\"x\"}").unwrap();
        let error = files.account().err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
