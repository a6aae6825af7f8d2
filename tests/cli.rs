//! The commands as a shell sees them: arguments in; output, warnings and exit code out.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output, Stdio},
};
use turnbridge::auth::{Secret, rest::RestSecret};

/// A directory of its own for each test, which is also the home of the commands it runs.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("turnbridge-cli-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file that only its owner can read, and returns its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[], "")
    }

    fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_turnbridge"))
            .args(arguments)
            .env_clear()
            // What decides where the state directory is; the tests may run as root, who has another one.
            .env("XDG_STATE_HOME", &self.0)
            .envs(environment.iter().copied())
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Ran::new(child.wait_with_output().unwrap())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

/// A server with this flag cannot open its socket (RFC 5737), so it ends after everything that comes before.
const NOT_OURS: [&str; 2] = ["--listen", "192.0.2.254:3478"];

#[test]
fn help_and_version_are_results() {
    let home = Home::new("help");
    for arguments in [&["--help"][..], &["serve", "--help"], &["check", "--help"], &["credential", "--help"]]
    {
        let ran = home.run(arguments).expect(0);
        assert!(ran.out.contains("Usage:") && ran.err.is_empty(), "{ran:?}");
    }
    for arguments in [
        &["--help"][..],
        &["check", "--help"],
        &["credential", "--help"],
        &["credential", "verify", "--help"],
        &["import", "--help"],
    ] {
        assert!(home.run(arguments).expect(0).out.contains("Example"), "{arguments:?}");
    }
    assert_eq!(home.run(&["--version"]).expect(0).out, format!("turnbridge {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_exits_with_2_and_a_hint() {
    let home = Home::new("usage");
    let cases: &[(&[&str], &str)] = &[
        (&["--cofnig", "x"], "'--config'"),
        (&["serv"], "'serve'"),
        (&["--listen", "nonsense"], "is not a listening address"),
        (&["--log-level", "loud"], "expected \"error\", \"warn\", \"info\", \"debug\" or \"trace\""),
        (&["credential", "--ttl", "5 parsecs"], "is not a duration"),
        (&["credential", "--url", "http://x"], "expected \"turn:host:port\""),
        (&["credential", "--secret", "x", "--secret-file", "y"], "cannot be used with"),
        (
            &["credential", "--secret", "sixteen-bytes-it-is", "--user", "a\nb"],
            "--user makes no user name: it contains a control",
        ),
        (&["credential", "verify", "only-a-name"], "<PASSWORD>"),
    ];
    for (arguments, hint) in cases {
        let ran = home.run(arguments).expect(2);
        assert!(ran.err.contains(hint) && ran.out.is_empty(), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn a_wrong_configuration_exits_with_78_and_shows_the_line() {
    let home = Home::new("wrong");
    home.file("t.toml", "[server]\nrealm = \"x\"\n\n[limits]\nmax_lifetime = \"10 parsecs\"\n");
    let expected = "\
error: t.toml:5:16: limits.max_lifetime: \"10 parsecs\" is not a duration: expected a whole number of s, m, h, d or w, like \"30s\", \"10m\" or \"1h30m\"
  |
5 | max_lifetime = \"10 parsecs\"
  |                ^^^^^^^^^^^^
";
    for arguments in
        [&["check", "t.toml"][..], &["--config", "t.toml"], &["serve", "--config", "t.toml", "--check"]]
    {
        let ran = home.run(arguments).expect(78);
        assert_eq!((ran.err.as_str(), ran.out.as_str()), (expected, ""), "{arguments:?}");
    }
    assert!(
        home.run(&["check", "missing.toml"])
            .expect(78)
            .err
            .starts_with("error: missing.toml: cannot be read: ")
    );
    let two = home
        .run_with(&["check"], &[("TURNBRIDGE_LOG__FORMT", "x"), ("TURNBRIDGE_SERVER__RELM", "y")], "")
        .expect(78);
    assert_eq!(two.err.matches("error: TURNBRIDGE_").count(), 2, "{two:?}");
    assert!(two.err.contains("did you mean TURNBRIDGE_LOG__FORMAT?"), "{two:?}");
}

#[test]
fn the_shipped_configuration_is_good() {
    let home = Home::new("shipped");
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/turnbridge.toml");
    let ran = home.run(&["check", shipped]).expect(0);
    assert_eq!(ran.err, "the configuration is good\n");
    assert_eq!(home.run(&["check"]).expect(0).out, ran.out, "it is the defaults");
}

#[test]
fn check_shows_between_which_addresses_nats_are_discovered() {
    let home = Home::new("check-nat");
    let addresses = ["check", "--set", "nat_discovery.addresses=127.0.0.1,127.0.0.2"];
    let external = ["--set", "relay.external=203.0.113.7/127.0.0.1,203.0.113.8/127.0.0.2"];
    let ran = home.run_with(&[&addresses[..], &external].concat(), &[], "").expect(0);
    for line in [
        "#   listens on  udp:127.0.0.1:3479\n#   listens on  udp:127.0.0.2:3479\n",
        "#   tells NATs  by answers from 203.0.113.7 and 203.0.113.8, ports 3478 and 3479\n",
    ] {
        assert!(ran.out.contains(line), "{line} in {}", ran.out);
    }
    assert!(!home.run_with(&["check"], &[], "").expect(0).out.contains("NATs"));
}

#[test]
fn check_shows_what_is_in_effect_with_secrets_masked() {
    let home = Home::new("check");
    home.file(
        "t.toml",
        "[[listener]]\naddress = \"127.0.0.1:3478\"\n[relay]\naddresses = [\"127.0.0.1\", \"192.0.2.254\"]\n\
         external = [\"203.0.113.7/127.0.0.1\"]\n[auth]\nsecrets = [\"hidden-hidden-hidden\"]\n\
         [[auth.user]]\nname = \"bob\"\npassword = \"hidden\"\n[metrics]\nlisten = [\"127.0.0.1:9641\"]\n",
    );
    let environment = [("TURNBRIDGE_LIMITS__MAX_LIFETIME", "30m"), ("TURNBRIDGE_LOG", "debug")];
    let ran = home.run_with(&["check", "t.toml", "--log-format", "json"], &environment, "").expect(0);
    assert!(!ran.out.contains("hidden") && !ran.err.contains("hidden"), "{ran:?}");
    let shown: toml::Table = toml::from_str(&ran.out).unwrap();
    assert_eq!(shown["limits"]["max_lifetime"].as_str(), Some("30m"));
    assert_eq!(
        (shown["log"]["level"].as_str(), shown["log"]["format"].as_str()),
        (Some("debug"), Some("json"))
    );
    for line in [
        "#   listens on  udp:127.0.0.1:3478\n",
        "#   relays from 203.0.113.7, bound to 127.0.0.1\n",
        "#   logs in     with time-limited credentials, by secret 1 (auth.secrets[0])\n",
        "#   measured at 127.0.0.1:9641\n",
        "#   logs in     as the static user bob\n",
        "#   clients use turn:203.0.113.7:3478?transport=udp\n",
    ] {
        assert!(ran.out.contains(line), "{line} in {}", ran.out);
    }
    let expected = "warning: 192.0.2.254 is not an address of this host; a server here could not use it\nthe configuration is good\n";
    assert_eq!(ran.err, expected);
    assert!(!home.0.join("turnbridge").exists(), "checking makes no state");
}

#[test]
fn flags_go_over_the_environment_and_that_over_the_file() {
    let home = Home::new("precedence");
    home.file("t.toml", "[log]\nlevel = \"error\"\nformat = \"json\"\n[server]\nrealm = \"file\"\n");
    let level = |arguments: &[&str], environment: &[(&str, &str)]| {
        let ran = home.run_with(&[&["check", "t.toml"], arguments].concat(), environment, "").expect(0);
        let shown: toml::Table = toml::from_str(&ran.out).unwrap();
        assert_eq!(shown["server"]["realm"].as_str(), Some("file"));
        shown["log"]["level"].as_str().unwrap().to_owned()
    };
    let (key, mirror) = (("TURNBRIDGE_LOG__LEVEL", "warn"), ("TURNBRIDGE_LOG", "debug"));
    assert_eq!(level(&[], &[]), "error");
    assert_eq!(level(&[], &[key]), "warn");
    assert_eq!(level(&[], &[key, mirror]), "debug");
    assert_eq!(level(&["--log-level", "trace"], &[key, mirror]), "trace");
    // The configuration file itself can be named by the environment, also for a subcommand.
    let ran = home.run_with(&["check"], &[("TURNBRIDGE_CONFIG", "t.toml")], "").expect(0);
    assert!(ran.out.contains("realm = \"file\""), "{ran:?}");
}

#[test]
fn credentials_are_made_from_the_secret_that_is_named() {
    let home = Home::new("mint");
    home.file("secret", "a secret from a file\n");
    home.file(
        "t.toml",
        "[auth]\nsecrets = [\"the newest one of all\", \"an older one, still good\"]\nseparator = \"|\"\n",
    );
    let config = &[("TURNBRIDGE_CONFIG", "t.toml")][..];
    let variable = &[("TURNBRIDGE_AUTH__SECRETS", "a secret from a variable, another")][..];
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str, &'a str, char);
    let cases: &[Case<'_>] = &[
        (&["--secret-file", "secret"], &[], "", "a secret from a file", ':'),
        (&["--secret-file", "-"], &[], "a secret from a pipe\n", "a secret from a pipe", ':'),
        (&["--config", "t.toml"], &[], "", "the newest one of all", '|'),
        (&[], config, "", "the newest one of all", '|'),
        (&["--secret-file", "secret"], config, "", "a secret from a file", '|'),
        (&[], variable, "", "a secret from a variable", ':'),
    ];
    for (arguments, environment, input, secret, separator) in cases {
        let arguments =
            [&["credential", "--user", "alice", "--json", "--url", "turn:t.example:3478"], *arguments]
                .concat();
        let ran = home.run_with(&arguments, environment, input).expect(0);
        assert_eq!(ran.err, "", "{arguments:?}");
        let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let server = &json["iceServers"][0];
        assert_eq!(server["urls"], serde_json::json!(["turn:t.example:3478"]));
        let username = server["username"].as_str().unwrap();
        assert!(username.ends_with(&format!("{separator}alice")), "{username}");
        let expected = RestSecret::new(&Secret::new(*secret)).password(username);
        assert_eq!(server["credential"], expected.expose(), "{arguments:?}");
    }
}

#[test]
fn a_credential_as_text_lasts_as_long_as_asked_for() {
    let home = Home::new("text");
    let secret = "sixteen-bytes-it-is";
    let before = turnbridge::control::utc::unix_now();
    let ran = home.run(&["credential", "--secret", secret, "--ttl", "1h30m", "--listen-nowhere"]);
    assert_eq!(ran.code, Some(2), "an unknown flag is never ignored");
    let ran = home.run(&["credential", "--secret", secret, "--ttl", "1h30m"]).expect(0);
    let after = turnbridge::control::utc::unix_now();
    let expiry: u64 = ran.out.lines().next().unwrap().strip_prefix("username: ").unwrap().parse().unwrap();
    assert!((before + 5400..=after + 5400).contains(&expiry), "{ran:?}");
    assert!(ran.out.contains("\npassword: ") && ran.out.contains("\nexpires:  20"), "{ran:?}");
    assert!(ran.err.contains("warning: --secret can be seen in the process list"), "{ran:?}");

    let environment = [("TURNBRIDGE_AUTH__MAX_TTL", "1h")];
    let ran = home.run_with(&["credential", "--secret", secret], &environment, "").expect(0);
    assert!(ran.err.contains("the server will refuse this credential"), "{ran:?}");
}

#[test]
fn verify_tells_a_good_credential_from_a_bad_one() {
    let home = Home::new("verify");
    home.file("t.toml", "[auth]\nsecrets = [\"the newest one of all\", \"rest-secret\"]\n[[auth.user]]\nname = \"bob\"\npassword = \"builder\"\n");
    let verify = |arguments: &[&str], input: &str| {
        home.run_with(&[&["credential", "verify", "--config", "t.toml"], arguments].concat(), &[], input)
    };
    let expired = verify(&["1760000000:alice", "zJPXkwuqCr56jVDlqk1KOUl6mGM="], "").expect(1);
    assert!(
        expired.out.starts_with("refused: expired ")
            && expired.out.ends_with("; the password matches secret 2 (auth.secrets[1])\n"),
        "{expired:?}"
    );

    let minted = home.run(&["credential", "--config", "t.toml", "--user", "alice"]).expect(0).out;
    let field = |name: &str| minted.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    let good = verify(&[field("username:"), field("password:")], "").expect(0);
    assert!(
        good.out.starts_with(
            "good: matches secret 1 (auth.secrets[0]), user \"alice\", realm \"turn\", expires in "
        ),
        "{good:?}"
    );
    let piped = verify(&[field("username:"), "-"], field("password:")).expect(0);
    assert!(piped.out.starts_with("good: "), "{piped:?}");
    let wrong = verify(&[field("username:"), "wrong"], "").expect(1);
    assert_eq!(wrong.out, "refused: the password does not match any of the 2 secrets\n");
    assert_eq!(
        verify(&["bob", "builder"], "").expect(0).out,
        "good: matches static user, user \"bob\", realm \"turn\", does not expire\n"
    );
}

#[test]
fn a_server_without_a_secret_makes_one_that_the_other_commands_find() {
    let home = Home::new("state");
    let before = home.run(&["credential"]).expect(1);
    assert!(
        before.err.starts_with("error: no secret is configured, and the server has not made one yet:"),
        "{before:?}"
    );

    let ran = home.run(&NOT_OURS);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    let path = home.0.join("turnbridge/secret");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = fs::read_to_string(&path).unwrap();
    assert!(!ran.out.contains(secret.trim()) && !ran.err.contains(secret.trim()), "{ran:?}");
    home.run(&NOT_OURS);
    assert_eq!(fs::read_to_string(&path).unwrap(), secret, "kept at the next start");

    let minted = home.run(&["credential", "--json"]).expect(0);
    let json: serde_json::Value = serde_json::from_str(&minted.out).unwrap();
    let server = &json["iceServers"][0];
    let password =
        RestSecret::new(&Secret::new(secret.trim())).password(server["username"].as_str().unwrap());
    assert_eq!(server["credential"], password.expose());
}

#[test]
fn a_server_with_users_of_its_own_makes_no_secret() {
    let home = Home::new("no-state");
    home.file("t.toml", "[[auth.user]]\nname = \"bob\"\npassword = \"builder\"\n");
    home.run(&[&NOT_OURS[..], &["--config", "t.toml"]].concat());
    assert!(!home.0.join("turnbridge/secret").exists());
    let ran = home.run(&["credential", "--config", "t.toml"]).expect(1);
    assert!(ran.err.contains("has static users and no secret"), "{ran:?}");
}

#[test]
fn the_log_of_a_server_is_json_lines_unless_text_is_asked_for() {
    let home = Home::new("log");
    let ran = home.run(&NOT_OURS);
    assert!(!ran.err.is_empty());
    for line in ran.err.lines() {
        let parsed: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(
            parsed["ts"].is_string() && parsed["level"].is_string() && parsed["event"].is_string(),
            "{line}"
        );
    }
    let ran = home.run(&[&NOT_OURS[..], &["--log-format", "text"]].concat());
    assert!(ran.err.lines().all(|line| line.starts_with("20") && !line.contains('{')), "{ran:?}");
    let quiet = home.run(&[&NOT_OURS[..], &["--log-level", "error"]].concat());
    assert!(quiet.err.lines().count() == 1 && quiet.err.contains("\"level\":\"error\""), "{quiet:?}");
}

#[test]
fn check_shows_what_would_be_ordered_and_by_which_name_clients_come() {
    let home = Home::new("check-acme");
    let text = "[[listener]]\naddress = \"127.0.0.1:443\"\ntransport = \"auto\"\n\
                [tls.acme]\nnames = [\"turn.example.org\"]\nagree_to_terms = true\neab_kid = \"kid\"\n\
                eab_hmac_key = \"hidden-hidden-hi\"\n";
    fs::write(home.0.join("t.toml"), text).unwrap();
    let ran = home.run(&["check", "t.toml"]).expect(0);
    let (directory, challenge) = ("https://acme-v02.api.letsencrypt.org/directory", "tls-alpn-01");
    for line in [
        &format!("#   certificate for turn.example.org, ordered from {directory} by {challenge}\n"),
        "#   clients use turns:turn.example.org:443?transport=tcp\n",
    ] {
        assert!(ran.out.contains(line), "{line} in {}", ran.out);
    }
    assert!(!format!("{ran:?}").contains("hidden"), "{ran:?}");
}

#[test]
fn an_imported_configuration_goes_to_a_file_that_only_its_owner_reads() {
    let home = Home::new("import");
    home.file(
        "turnserver.conf",
        "use-auth-secret\nstatic-auth-secret=hidden-hidden-hi\ncli-password=hidden\n",
    );
    let ran = home.run(&["import", "turnserver.conf", "-o", "t.toml"]).expect(0);
    assert!(ran.out.is_empty() && ran.err.contains("line 3, cli-password: "), "{ran:?}");
    assert!(!ran.err.contains("hidden"), "{ran:?}");
    let path = home.0.join("t.toml");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    home.run(&["check", "t.toml"]).expect(0);

    let ran = home.run(&["import", "turnserver.conf", "-o", "t.toml"]).expect(1);
    assert_eq!(ran.err, "error: t.toml is there already; --force replaces it\n");
    home.file("turnserver.conf", "realm=other.example\n");
    home.run(&["import", "turnserver.conf", "-o", "t.toml", "--force"]).expect(0);
    assert!(fs::read_to_string(&path).unwrap().contains("other.example"));
    home.run(&["import", "turnserver.conf", "--force"]).expect(2);
}

#[test]
fn an_import_prints_for_programs_and_for_people() {
    let home = Home::new("import-output");
    let text = "listening-port=3400\nlistning-port=1\nrealm=\"x\"\ncert=chain.pem\npkey=key.pem\n";
    let ran = home.run_with(&["import", "-"], &[], text).expect(0);
    let toml: toml::Table = toml::from_str(&ran.out).unwrap();
    assert_eq!(toml["listener"][0]["address"].as_str(), Some(":3400"));
    // Relative paths start where the file is, or the shell.
    let chain = home.0.canonicalize().unwrap().join("chain.pem");
    assert_eq!(toml["tls"]["certificate"][0]["chain"].as_str(), chain.to_str());
    assert!(
        ran.err.contains("line 2, listning-port: not an option of coturn; did you mean listening-port?"),
        "{ran:?}"
    );

    let ran = home.run_with(&["import", "-", "--json"], &[], text).expect(0);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let entry = |at: usize| {
        (&json["entries"][at]["line"], &json["entries"][at]["verdict"], &json["entries"][at]["keys"][0])
    };
    assert_eq!(entry(0), (&1.into(), &"mapped".into(), &"listener.address".into()));
    assert_eq!((entry(1).0, entry(1).1), (&2.into(), &"unknown".into()));
    assert!(json["toml"].as_str().unwrap().contains("realm = \"x\""));
    let ran = home.run_with(&["import", "-", "--json", "-o", "t.toml"], &[], text).expect(0);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert!(json["toml"].is_null() && json["entries"].is_array(), "{ran:?}");
}

#[test]
fn a_database_that_was_asked_for_must_be_there_and_another_need_not() {
    let home = Home::new("import-database");
    home.file("turnserver.conf", "userdb=nowhere/turndb\nlistening-port=3400\n");
    let ran = home.run(&["import", "turnserver.conf"]).expect(0);
    assert!(ran.err.starts_with("warning: nowhere/turndb: "), "{ran:?}");
    assert!(ran.err.contains("line 1, userdb: the database was not read"), "{ran:?}");
    assert!(ran.out.contains("address = \":3400\""), "{ran:?}");
    let ran = home.run(&["import", "turnserver.conf", "--userdb", "turndb"]).expect(1);
    assert!(ran.err.starts_with("error: turndb: "), "{ran:?}");
    let ran = home.run(&["import", "nothing.conf"]).expect(1);
    assert!(ran.err.starts_with("error: nothing.conf cannot be read: "), "{ran:?}");
}

#[test]
fn each_command_has_a_manual_page_and_each_shell_its_completions() {
    let home = Home::new("manual");
    let ran = home.run(&["man", "--out", "pages"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let mut pages: Vec<_> = fs::read_dir(home.0.join("pages"))
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    for page in ["turnbridge.1", "turnbridge-serve.1", "turnbridge-check.1", "turnbridge-credential-verify.1"]
    {
        assert!(pages.iter().any(|there| there == page), "{page} is not among {pages:?}");
    }
    let page = fs::read_to_string(home.0.join("pages/turnbridge-check.1")).unwrap();
    assert!(page.contains(".SH SYNOPSIS") && page.contains("TURNBRIDGE_CONFIG"), "{page}");

    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef turnbridge"), ("fish", "complete -c turnbridge")]
    {
        let ran = home.run(&["completions", shell]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert!(ran.out.contains(word) && ran.out.contains("credential"), "{shell}: {}", ran.out);
    }
    let ran = home.run(&["man", "--out", "/proc/pages"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("cannot write to /proc/pages"), "{}", ran.err);
}
