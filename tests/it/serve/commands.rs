//! How `mosaicd` is started, refused and looked into: keys, configuration, exit codes, the store's commands.

use super::*;

#[track_caller]
fn check_refused(arguments: &[&str], code: i32, words: &str) {
    let output = run(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_the_same_data_is_refused() {
    let server = DevServer::start().await;
    let data = server.data();
    let arguments = ["serve", "--dev", "--listen", "127.0.0.1:0", "--data"];
    let arguments = [&arguments[..], &[data.to_str().unwrap()]].concat();
    check_refused(&arguments, 1, "in use by another process");
    server.stop_cleanly().await;
}

#[test]
fn development_is_for_this_machine_only() {
    let folder = TempDir::new().unwrap();
    let data = path(folder.path(), "data");
    let arguments = ["serve", "--dev", "--data", &data, "--listen", "0.0.0.0:0"];
    check_refused(&arguments, 2, "`listen` is \"0.0.0.0:0\"");
    assert!(!folder.path().join("data").exists(), "nothing was made");
}

#[test]
fn the_keys_in_certs_are_refused_where_others_could_see_them() {
    let folder = TempDir::new().unwrap();
    let certs = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs");
    let key_file = path(&certs, "DEVELOPMENT-ONLY-server.key");
    let config = path(folder.path(), "mosaicd.toml");
    std::fs::write(&config, format!("key_file = \"{key_file}\"")).unwrap();
    let arguments = ["serve", "--config", &config, "--listen", "0.0.0.0:0"];
    check_refused(&arguments, 1, "development identity");
    assert!(!folder.path().join("data").exists(), "nothing was made");
}

#[test]
fn wrong_usage_and_wrong_configuration_end_with_code_2() {
    check_refused(&["sreve"], 2, "serve");
    check_refused(
        &["serve", "--config", "/does/not/exist.toml"],
        2,
        "/does/not/exist.toml",
    );
    let folder = TempDir::new().unwrap();
    let config = path(folder.path(), "mosaicd.toml");
    std::fs::write(&config, "[user]\nmode = \"open\"").unwrap();
    check_refused(
        &["serve", "--config", &config],
        2,
        "nearest known key is `users.mode`",
    );
    std::fs::write(&config, "").unwrap();
    let arguments = ["serve", "--config", &config, "--set", "users.max=0"];
    check_refused(&arguments, 2, "`users.max` is 0; allowed: 1 to");
    check_refused(&["serve", "--config", &config], 1, "server.key");
}

#[test]
fn the_environment_is_held_against_the_same_rules() {
    let folder = TempDir::new().unwrap();
    let config = path(folder.path(), "mosaicd.toml");
    std::fs::write(&config, "").unwrap();
    let check = |name: &str, value: &str, words: &str| {
        let mut command = mosaicd();
        command.env("MOSAICD_CONFIG", &config).env(name, value);
        let output = command.arg("serve").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    };
    check("MOSAICD_USERS_MAX", "0", "`users.max` is 0");
    check("MOSAICD_USERS_MOD", "open", "`users.mode`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_key_serves_with_its_password_alone() {
    let folder = TempDir::new().unwrap();
    let (dir, password) = (path(folder.path(), "new"), path(folder.path(), "password"));
    std::fs::write(&password, "correct horse\n").unwrap();
    let init = [
        "init",
        "--encrypt",
        "--password-file",
        &password,
        "--dir",
        &dir,
    ];
    assert!(run(&init).status.success());
    check_refused(&init, 1, "exists already");
    let config = std::fs::read_to_string(Path::new(&dir).join("mosaicd.toml")).unwrap();
    let key_file = format!("{dir}/server.key");
    let config = config.replace("\"server.key\"", &format!("{key_file:?}"));
    let server = DevServer::start_with(&[], &config).await;
    assert!(server.client(None).await.info().await.is_ok());
    server.stop_cleanly().await;
    std::fs::write(&password, "wrong\n").unwrap();
    let config_file = format!("{dir}/mosaicd.toml");
    check_refused(&["serve", "--config", &config_file], 1, "server.key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_of_a_stopped_server_can_be_counted_and_verified() {
    let mut server = DevServer::start().await;
    let author = key(1);
    let client = server.client(Some(&author)).await;
    for number in 0..3 {
        let record = post(&author, number.to_string());
        assert_eq!(submit(&client, &record).await, ResultCode::Accepted);
    }
    server.terminate();
    assert!(server.ended().await.success());
    let data = server.data();
    let data = data.to_str().unwrap();

    let stats = run(&["store", "stats", "--json", "--data", data]);
    assert!(stats.status.success());
    let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).unwrap();
    assert_eq!(stats["records"], 3);
    assert_eq!(stats["users"], 1);
    assert_eq!(stats["roles"]["outbox"]["records"], 3);
    let verified = run(&["store", "verify", "--json", "--data", data]);
    assert!(verified.status.success());
    let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(report["problems"], serde_json::json!([]));
    let text = String::from_utf8(run(&["store", "stats", "--data", data]).stdout).unwrap();
    assert!(text.contains("records"), "{text}");

    let folder = TempDir::new().unwrap();
    let elsewhere = path(folder.path(), "data");
    check_refused(
        &["store", "stats", "--data", &elsewhere],
        1,
        "no record store",
    );
    assert!(!folder.path().join("data").exists(), "nothing was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_table_makes_store_verify_end_with_code_1() {
    let mut server = DevServer::start().await;
    let author = key(1);
    let client = server.client(Some(&author)).await;
    assert_eq!(
        submit(&client, &post(&author, "x")).await,
        ResultCode::Accepted
    );
    server.terminate();
    assert!(server.ended().await.success());
    let store = server.data().join("store");
    let mut broken = 0;
    for file in std::fs::read_dir(&store).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|ending| ending == "sst") {
            let mut bytes = std::fs::read(&file).unwrap();
            let middle = bytes.len() / 3;
            bytes[middle] ^= 1;
            std::fs::write(&file, bytes).unwrap();
            broken += 1;
        }
    }
    assert!(broken > 0, "a clean stop leaves tables");
    let data = server.data();
    let output = run(&["store", "verify", "--data", data.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
}
