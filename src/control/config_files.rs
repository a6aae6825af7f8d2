//! The files a configuration was read from: the file itself, and those that secrets come from.

use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

use crate::config::{ConfigError, Loaded};

/// Notices when they change. Their content is compared, which is a few kilobytes: times and inodes miss what happens
/// behind a link, as Kubernetes has it.
#[derive(Debug)]
pub struct ConfigFiles {
    /// Those that are read whatever the configuration says.
    always: Vec<PathBuf>,
    /// Those that it names.
    named: Vec<PathBuf>,
    /// What was in them when they were last read, for good or for bad.
    known: Hash,
    /// What was in them at the last look, where that is something else.
    seen: Option<Hash>,
    looked: Option<Instant>,
}

type Hash = [u8; 32];

/// How often the files are looked at, and for how long they must stay the same: an editor may be amid its work.
const LOOK: Duration = Duration::from_secs(1);
/// What is longer is compared up to here.
const LONGEST: u64 = 16 << 20;

impl ConfigFiles {
    /// Reads the configuration. It comes from the files in `always`, and from those that it names.
    pub fn load(
        always: Vec<PathBuf>,
        load: impl FnOnce() -> Result<Loaded, ConfigError>,
    ) -> Result<(Self, Loaded), ConfigError> {
        let (named, known) = (Vec::new(), hash(&always));
        let mut files = Self { always, named, known, seen: None, looked: None };
        let loaded = files.follow(load)?;
        Ok((files, loaded))
    }

    /// Reads it again; from here on what comes after that is a change.
    pub(super) fn follow(
        &mut self,
        load: impl FnOnce() -> Result<Loaded, ConfigError>,
    ) -> Result<Loaded, ConfigError> {
        // What changes while it is read is a change.
        let before = self.hash();
        let loaded = load();
        let named = match &loaded {
            Ok(loaded) => loaded.secret_files.clone(),
            // Also those of what runs: it is not known how far the reading came.
            Err(error) => {
                let new = error.secret_files.iter().filter(|path| !self.named.contains(path));
                self.named.iter().chain(new).cloned().collect()
            }
        };
        self.known = if named == self.named {
            before
        } else {
            self.named = named;
            self.hash()
        };
        self.seen = None;
        loaded
    }

    /// Whether they have changed and are to be read again. To be called often; most calls do nothing.
    pub(super) fn have_changed(&mut self, now: Instant) -> bool {
        if self.looked.is_some_and(|looked| now.duration_since(looked) < LOOK) {
            return false;
        }
        self.looked = Some(now);
        let hash = self.hash();
        let is_settled = self.seen == Some(hash);
        self.seen = (hash != self.known).then_some(hash);
        is_settled && self.seen.is_some()
    }

    fn hash(&self) -> Hash {
        hash(self.always.iter().chain(&self.named))
    }
}

fn hash<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Hash {
    let mut hash = Sha256::new();
    for path in paths {
        // A file that cannot be read is like none other, too.
        match content(path) {
            Some(content) => {
                hash.update([1]);
                hash.update(content.len().to_be_bytes());
                hash.update(&content[..]);
            }
            None => hash.update([0]),
        }
    }
    hash.finalize().into()
}

/// Secrets may be in it.
fn content(path: &Path) -> Option<Zeroizing<Vec<u8>>> {
    // A pipe would have nothing more to say, and keep us waiting for it.
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut content = Zeroizing::new(Vec::new());
    File::open(path).ok()?.take(LONGEST).read_to_end(&mut content).ok()?;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Inputs};
    use std::fs;

    /// A directory with a configuration that names a secret's file, and somebody who looks every second.
    struct Scene {
        directory: PathBuf,
        files: ConfigFiles,
        now: Instant,
    }

    const GOOD: &str = "[auth]\nsecret_files = [\"secret\"]\n";

    impl Scene {
        fn new(name: &str) -> Self {
            let directory =
                std::env::temp_dir().join(format!("turnbridge-{}-files-{name}", std::process::id()));
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("t.toml"), GOOD).unwrap();
            fs::write(directory.join("secret"), "north-north-north-north").unwrap();
            let file = directory.join("t.toml");
            let (files, _) = ConfigFiles::load(vec![file.clone()], || read(&file)).unwrap();
            Self { directory, files, now: Instant::now() }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.directory.join(name), text).unwrap();
        }

        /// What the next looks say; who hears of a change reads all again.
        fn look(&mut self, times: usize) -> Vec<bool> {
            let file = self.directory.join("t.toml");
            let mut look = || {
                self.now += LOOK;
                let changed = self.files.have_changed(self.now);
                assert!(!self.files.have_changed(self.now), "once in a second");
                if changed {
                    let _ = self.files.follow(|| read(&file));
                }
                changed
            };
            (0..times).map(|_| look()).collect()
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }

    fn read(file: &Path) -> Result<Loaded, ConfigError> {
        config::load(Inputs { file: Some(file.to_owned()), overrides: Vec::new() })
    }

    #[test]
    fn a_change_is_one_when_it_has_settled_and_only_once() {
        let mut scene = Scene::new("settled");
        assert_eq!(scene.look(2), [false, false]);
        for name in ["t.toml", "secret"] {
            scene.write(name, &format!("{GOOD}# half"));
            assert_eq!(scene.look(1), [false], "{name}");
            scene.write(name, &format!("{GOOD}# half and half"));
            assert_eq!(scene.look(4), [false, true, false, false], "{name}");
            scene.write(name, GOOD);
            assert_eq!(scene.look(1), [false], "{name}");
            scene.write(name, &format!("{GOOD}# half and half"));
            assert_eq!(scene.look(2), [false, false], "{name}: as it was");
        }
    }

    #[test]
    fn what_is_broken_is_read_again_when_it_or_a_file_it_names_changes() {
        let mut scene = Scene::new("broken");
        scene.write("t.toml", "[auth");
        assert_eq!(scene.look(4), [false, true, false, false]);
        scene.write("secret", "south-south-south-south");
        assert_eq!(scene.look(3), [false, true, false]);
        scene.write("t.toml", "[auth]\nsecret_files = [\"secret\", \"other\"]\n");
        assert_eq!(scene.look(4), [false, true, false, false], "there is no such file");
        scene.write("other", "east-east-east-east");
        assert_eq!(scene.look(3), [false, true, false]);
        fs::remove_file(scene.directory.join("t.toml")).unwrap();
        assert_eq!(scene.look(4), [false, true, false, false]);
        scene.write("t.toml", GOOD);
        assert_eq!(scene.look(3), [false, true, false]);
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_a_change() {
        let mut scene = Scene::new("link");
        for (version, secret) in [("1", "north-north-north-north"), ("2", "south-south-south-south")] {
            fs::create_dir(scene.directory.join(version)).unwrap();
            scene.write(&format!("{version}/secret"), secret);
        }
        let (data, secret) = (scene.directory.join("data"), scene.directory.join("secret"));
        fs::remove_file(&secret).unwrap();
        std::os::unix::fs::symlink("1", &data).unwrap();
        std::os::unix::fs::symlink("data/secret", &secret).unwrap();
        assert_eq!(scene.look(2), [false, false], "the same content");
        fs::remove_file(&data).unwrap();
        std::os::unix::fs::symlink("2", &data).unwrap();
        assert_eq!(scene.look(3), [false, true, false]);
    }
}
