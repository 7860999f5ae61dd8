use super::*;
use crate::base::{Role, RoleSet};
use crate::config::{Applications, Joining, Quotas, Submitters};
use crate::wire::SecretKey;

fn sources(file: &Path) -> Sources {
    Sources {
        file: Some(file.to_owned()),
        ..Sources::default()
    }
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mosaicd.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn load(text: &str) -> Result<Config, ConfigError> {
    let (_folder, path) = file(text);
    sources(&path).load()
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    let error = load(text).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn an_empty_file_is_the_documented_defaults() {
    let (folder, path) = file("");
    let config = sources(&path).load().unwrap();
    assert_eq!(config.mode, Mode::Public);
    assert_eq!(config.roles, RoleSet::ALL);
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.users.joining, Joining::Closed);
    assert_eq!(
        config.quotas,
        Quotas::default(),
        "whom the operator lists is trusted"
    );
    assert_eq!(config.applications, Applications::Listed(Vec::new()));
    assert_eq!(config.application_submitters, Submitters::Authenticated);
    assert_eq!(config.key_file, folder.path().join("server.key"));
    assert_eq!(config.data_dir, folder.path().join("data"));
}

#[test]
fn the_documented_defaults_are_the_ones_in_the_code() {
    let defaults = Table::try_from(RawConfig::default()).unwrap();
    let mut leaves = Vec::new();
    collect_leaves("", &defaults, &mut leaves);
    let page = include_str!("../../../docs/CONFIG.md");
    for key in KEYS {
        let row = format!("| `{}` | ", key.path);
        let rest = page.split_once(&row).unwrap().1;
        let cell = rest.split_once(" | ").unwrap().0;
        let default = leaves.iter().find(|(path, _)| path == key.path);
        let written = match default {
            Some((_, value)) => format!("`{value}`"),
            None => "none".to_owned(),
        };
        assert_eq!(cell, written, "{}", key.path);
    }
    assert!(leaves.iter().all(|(path, _)| find(path).is_some()));
}

#[test]
fn an_unknown_key_is_refused_and_names_the_nearest_one() {
    check_refused("lisen = []", "unknown key `lisen`");
    check_refused("lisen = []", "nearest known key is `listen`");
    check_refused("[user]\nmode = \"open\"", "`users.mode`");
    check_refused("[users]\nmod = \"open\"", "`users.mode`");
    check_refused("[name]\nx = 1", "`name` is");
    check_refused("[store.deep]\nx = 1", "unknown key `store.deep`");
}

#[test]
fn a_value_out_of_range_is_refused_with_key_value_and_range() {
    check_refused(
        "shutdown_timeout = 0",
        "`shutdown_timeout` is 0; allowed: 1 to 600",
    );
    check_refused(
        "[limits]\nconnections = -1",
        "`limits.connections` is -1; allowed: 1 to",
    );
    check_refused("[users]\nmode = \"closed\"", "`users.mode` is \"closed\"");
    check_refused(
        "[users]\nlist = [\"mopub0x\"]",
        "`users.list` is \"mopub0x\"",
    );
    check_refused("[users]\nmax = \"many\"", "an integer");
    check_refused(
        "listen = [\"localhost:1320\"]",
        "`listen` is \"localhost:1320\"",
    );
    check_refused("listen = []", "1 to 16 addresses");
    check_refused(
        "listen = [\"127.0.0.1:1\", \"127.0.0.1:1\"]",
        "no address twice",
    );
    check_refused("roles = [\"operator\"]", "`roles` is \"operator\"");
    check_refused("roles = []", "one or more of");
    check_refused("[application]\nids = [-1]", "`application.ids`");
    check_refused("[application]\nids = [\"1:x\"]", "`application.ids`");
    check_refused("[application]\nsubmit = [1]", "`application.submit`");
    check_refused("[store]\nfree_space_floor = -1", "0 and more");
    check_refused("[trace]\nlevel = \"a=b=c\"", "`trace.level`");
    check_refused("[trace]\nlevel = \"verbose\"", "`trace.level`");
    check_refused("[trace]\nformat = \"xml\"", "`trace.format`");
    check_refused("name = \"\"", "1 to 128 bytes");
    check_refused("key_file = \"\"", "`key_file`");
}

#[test]
fn broken_toml_is_refused_with_its_line() {
    check_refused("name = \"x\"\nlisten = [", "line 2");
}

#[test]
fn a_level_is_that_of_our_own_trace_and_directives_are_taken_as_they_are() {
    let directives = |level: &str| {
        let config = load(&format!("[trace]\nlevel = \"{level}\"")).unwrap();
        config.trace.directives
    };
    assert_eq!(directives("debug"), "warn,mosaicd=debug");
    assert_eq!(directives("error"), "error");
    assert_eq!(
        directives("info,mosaicd::net=trace"),
        "info,mosaicd::net=trace"
    );
}

#[test]
fn applications_are_ids_or_kinds_of_an_id_or_any() {
    let config = load("[application]\nids = [99, \"7\", \"1:4\"]").unwrap();
    let listed = vec![(99, None), (7, None), (1, Some(4))];
    assert_eq!(config.applications, Applications::Listed(listed));
    let config = load("[application]\nids = \"any\"").unwrap();
    assert_eq!(config.applications, Applications::Any);
}

#[test]
fn the_command_line_overrides_the_environment_and_that_the_file() {
    let (_folder, path) = file("name = \"file\"\ncontact = \"file\"\nterms = \"file\"");
    let mut sources = sources(&path);
    sources.environment = vec![
        ("MOSAICD_NAME".to_owned(), "environment".to_owned()),
        ("MOSAICD_CONTACT".to_owned(), "environment".to_owned()),
        ("MOSAICD_KEY_PASSWORD".to_owned(), "secret".to_owned()),
        ("MOSAICD_SERVICE_HOST".to_owned(), "10.0.0.1".to_owned()),
        ("MOSAICD_USERS_MAX".to_owned(), "5".to_owned()),
        ("MOSAICD_INBOX_PUBLIC".to_owned(), "false".to_owned()),
    ];
    sources.sets = vec![
        "name=command line = 1".to_owned(),
        "users.mode=open".to_owned(),
    ];
    let config = sources.load().unwrap();
    assert_eq!(config.name, "command line = 1");
    assert_eq!(config.contact.as_deref(), Some("environment"));
    assert_eq!(config.terms.as_deref(), Some("file"));
    assert_eq!(config.users.joining, Joining::Open);
    assert_eq!(config.users.open_max, 5);
    assert!(!config.inbox_public);
}

#[test]
fn a_slip_in_an_override_is_refused() {
    let (_folder, path) = file("");
    let refused = |environment: &[(&str, &str)], sets: &[&str]| {
        let mut sources = sources(&path);
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        sources.environment = environment.iter().map(owned).collect();
        sources.sets = sets.iter().map(|set| (*set).to_owned()).collect();
        sources.load().unwrap_err().to_string()
    };
    assert!(refused(&[("MOSAICD_USERS_MOD", "open")], &[]).contains("`users.mode`"));
    assert!(refused(&[("MOSAICD_USERS_MAX", "many")], &[]).contains("`users.max` is \"many\""));
    assert!(refused(&[], &["user.max=1"]).contains("`users.max`"));
    assert!(refused(&[], &["users.max"]).contains("key=value"));
    assert!(refused(&[], &["users.max=0"]).contains("`users.max` is 0"));
}

#[test]
fn an_overriding_list_is_toml_or_separated_by_commas() {
    let (_folder, path) = file("");
    let with = |set: &str| {
        let mut sources = sources(&path);
        sources.sets = vec![set.to_owned()];
        sources.load().unwrap()
    };
    assert_eq!(with("listen=127.0.0.1:0, 127.0.0.2:0").listen.len(), 2);
    assert_eq!(with("listen=[\"[::1]:0\"]").listen.len(), 1);
    let roles = RoleSet::of(Role::Inbox).with(Role::Outbox);
    assert_eq!(with("roles=inbox,outbox").roles, roles);
    let listed = Applications::Listed(vec![(99, None)]);
    assert_eq!(with("application.ids=99").applications, listed);
    assert_eq!(with("application.ids=any").applications, Applications::Any);
    let key = SecretKey::from_seed([7; 32]).public();
    let config = with(&format!("application.submit={key}"));
    assert_eq!(config.application_submitters, Submitters::Listed(vec![key]));
}

#[test]
fn paths_of_the_file_belong_to_its_folder_and_others_to_the_working_directory() {
    let (folder, path) = file("key_file = \"keys/a\"\nkey_password_file = \"/b\"");
    let mut sources = sources(&path);
    sources.data = Some(PathBuf::from("elsewhere"));
    let config = sources.load().unwrap();
    assert_eq!(config.key_file, folder.path().join("keys/a"));
    assert_eq!(config.key_password_file, Some(PathBuf::from("/b")));
    assert_eq!(config.data_dir, std::path::absolute("elsewhere").unwrap());
}

#[test]
fn a_listed_key_counts_once() {
    let key = SecretKey::from_seed([7; 32]).public();
    let config = load(&format!("[users]\nlist = [\"{key}\", \"{key}\"]")).unwrap();
    assert_eq!(config.users.listed, [key]);
}

#[test]
fn development_opens_everything_on_this_machine() {
    let sources = Sources {
        dev: true,
        data: Some(PathBuf::from("/somewhere")),
        ..Sources::default()
    };
    let config = sources.load().unwrap();
    assert_eq!(config.mode, Mode::Dev);
    assert!(
        config
            .listen
            .iter()
            .all(|address| address.ip().is_loopback())
    );
    assert_eq!(config.users.joining, Joining::Open);
    assert_eq!(config.quotas, Quotas::default());
    assert_eq!(config.applications, Applications::Any);
    assert_eq!(config.application_submitters, Submitters::Anyone);
    assert_eq!(config.key_file, Path::new("/somewhere/server.key"));
}

#[test]
fn development_refuses_every_address_that_is_not_of_this_machine() {
    for address in [
        "0.0.0.0:1320",
        "[::]:1320",
        "192.168.0.1:1320",
        "[2001:db8::1]:1320",
    ] {
        let sources = Sources {
            dev: true,
            listen: vec!["127.0.0.1:0".to_owned(), address.to_owned()],
            data: Some(PathBuf::from("/somewhere")),
            ..Sources::default()
        };
        let error = sources.load().unwrap_err().to_string();
        assert!(error.contains("--dev"), "{address}: {error}");
    }
}

#[test]
fn development_data_lives_in_the_state_folder_of_the_user() {
    let with = |environment: &[(&str, &str)]| {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let sources = Sources {
            dev: true,
            environment: environment.iter().map(owned).collect(),
            ..Sources::default()
        };
        sources.load()
    };
    let home = with(&[("HOME", "/home/a")]).unwrap();
    assert_eq!(home.data_dir, Path::new("/home/a/.local/state/mosaicd/dev"));
    let state = with(&[("HOME", "/home/a"), ("XDG_STATE_HOME", "/state")]).unwrap();
    assert_eq!(state.data_dir, Path::new("/state/mosaicd/dev"));
    assert_eq!(state.key_file, Path::new("/state/mosaicd/dev/server.key"));
    assert!(matches!(with(&[]), Err(ConfigError::NoStateDirectory)));
}
