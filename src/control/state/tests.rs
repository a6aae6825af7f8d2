use super::*;
use std::os::unix::fs::PermissionsExt;

/// A directory of its own for each test, gone at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("turnbridge-state-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn state(&self) -> choice::StateDir {
        choice::StateDir::At(self.0.join("state"))
    }

    fn secret(&self) -> PathBuf {
        self.0.join("state/secret")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_secret_is_made_once_with_mode_600_and_then_kept() {
    let directory = Directory::new("made");
    let first = keep_secret(&directory.state(), &Surroundings::default()).unwrap();
    assert_eq!(first.path, directory.secret());
    assert_eq!((mode(&directory.secret()), mode(&directory.0.join("state"))), (0o600, 0o700));
    assert!(first.is_new && first.notes.is_empty());
    assert_eq!(first.secret.expose().len(), 64);
    assert_eq!(fs::read_dir(directory.0.join("state")).unwrap().count(), 1, "nothing else is left behind");

    let again = keep_secret(&directory.state(), &Surroundings::default()).unwrap();
    assert_eq!(again.secret, first.secret);
    assert!(!again.is_new && again.notes.is_empty());
    let found = find_secret(&directory.state(), &Surroundings::default()).unwrap();
    assert_eq!(found.secret, first.secret);

    let other = Directory::new("other");
    assert_ne!(keep_secret(&other.state(), &Surroundings::default()).unwrap().secret, first.secret);
}

#[test]
fn servers_that_start_at_once_agree_on_one_secret() {
    let directory = Directory::new("race");
    private_file::create_directory(&directory.0.join("state")).unwrap();
    // What the slower of two does: the name is taken when it comes to link.
    make_secret(&directory.secret()).unwrap();
    let first = fs::read_to_string(directory.secret()).unwrap();
    make_secret(&directory.secret()).unwrap();
    assert_eq!(fs::read_to_string(directory.secret()).unwrap(), first);
    assert_eq!(fs::read_dir(directory.0.join("state")).unwrap().count(), 1);
}

#[test]
fn a_file_that_others_can_read_is_closed_to_them_and_said_so() {
    let directory = Directory::new("open");
    keep_secret(&directory.state(), &Surroundings::default()).unwrap();
    fs::set_permissions(directory.secret(), fs::Permissions::from_mode(0o644)).unwrap();
    let own = keep_secret(&directory.state(), &Surroundings::default()).unwrap();
    assert_eq!(mode(&directory.secret()), 0o600);
    assert!(own.notes[0].contains("had mode 644 and now has 600"), "{:?}", own.notes);
}

#[test]
fn an_empty_file_is_not_taken_for_a_secret() {
    let directory = Directory::new("empty");
    private_file::create_directory(&directory.0.join("state")).unwrap();
    fs::write(directory.secret(), "\n").unwrap();
    let error = keep_secret(&directory.state(), &Surroundings::default()).unwrap_err();
    assert!(error.to_string().contains("does not hold a secret; remove it"), "{error}");
    assert!(!error.no_permission);
}

#[test]
fn an_unusable_directory_is_fallen_back_from_with_a_note() {
    let directory = Directory::new("fallback");
    // A file stands where the directory should be: unusable for root as well.
    let blocked = directory.0.join("blocked");
    fs::write(&blocked, "").unwrap();
    let around = Surroundings {
        xdg_state_home: Some(blocked.clone().into()),
        home: Some(directory.0.join("home").into()),
        ..Surroundings::default()
    };
    let own = keep_secret(&choice::StateDir::Auto, &around).unwrap();
    assert_eq!(own.path, directory.0.join("home/.local/state/turnbridge/secret"));
    assert!(
        own.notes.iter().any(|note| note.contains("blocked/turnbridge cannot keep the secret")),
        "{:?}",
        own.notes
    );
    // A directory that was named is not fallen back from.
    let error = keep_secret(&choice::StateDir::At(blocked.join("x")), &around).unwrap_err();
    assert!(error.to_string().starts_with("no directory can keep the server's secret:"), "{error}");
}

#[test]
fn nothing_is_made_by_looking() {
    let directory = Directory::new("look");
    let error = find_secret(&directory.state(), &Surroundings::default()).unwrap_err();
    assert!(
        error.to_string().starts_with("no secret is configured, and the server has not made one yet:"),
        "{error}"
    );
    assert!(!directory.0.join("state").exists());
    let error = keep_secret(&choice::StateDir::Auto, &Surroundings::default()).unwrap_err();
    assert!(error.to_string().contains("neither $HOME nor $STATE_DIRECTORY is set"), "{error}");
}

#[test]
fn the_candidates_come_in_the_documented_order() {
    let around = Surroundings {
        state_directory: Some("/systemd/one:/systemd/two".into()),
        runtime_directory: None,
        xdg_state_home: Some("/xdg".into()),
        home: Some("/home/user".into()),
        is_root: true,
    };
    let shown = |around: &Surroundings| state_directories(&choice::StateDir::Auto, around);
    let all =
        ["/systemd/one", "/xdg/turnbridge", "/var/lib/turnbridge", "/home/user/.local/state/turnbridge"];
    assert_eq!(shown(&around), all.map(PathBuf::from));
    let user = Surroundings {
        state_directory: None,
        xdg_state_home: Some("relative".into()),
        is_root: false,
        ..around
    };
    assert_eq!(shown(&user), [PathBuf::from(all[3])]);
}

#[test]
fn a_missing_permission_is_told_from_other_failures() {
    let failed = |kind: ErrorKind| {
        nowhere("x", vec![("/a".into(), ErrorKind::NotFound.into()), ("/b".into(), kind.into())])
    };
    assert!(
        failed(ErrorKind::PermissionDenied).no_permission
            && failed(ErrorKind::ReadOnlyFilesystem).no_permission
    );
    assert!(!failed(ErrorKind::NotADirectory).no_permission);
}

#[test]
fn a_part_of_the_server_gets_the_first_directory_that_can_be_written_to() {
    let directory = Directory::new("parts");
    let found = keep_directory(&directory.state(), &Surroundings::default(), "acme").unwrap();
    assert_eq!(found, directory.0.join("state/acme"));
    assert_eq!((mode(&found), fs::read_dir(&found).unwrap().count()), (0o700, 0));

    fs::write(directory.0.join("file"), "").unwrap();
    let around = Surroundings {
        xdg_state_home: Some(directory.0.join("file").into()),
        home: Some(directory.0.join("home").into()),
        ..Surroundings::default()
    };
    let found = keep_directory(&choice::StateDir::Auto, &around, "acme").unwrap();
    assert_eq!(found, directory.0.join("home/.local/state/turnbridge/acme"));

    let error = keep_directory(&choice::StateDir::At(directory.0.join("file")), &around, "acme").unwrap_err();
    assert!(!error.no_permission && error.to_string().contains("no directory can keep acme:\n  "), "{error}");
}
