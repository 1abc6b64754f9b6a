//! Configuration from the outside: problems listed, exit codes, secrets kept.

use tickwire_rig::Tickwire;

#[track_caller]
fn check(args: &[&str], environment: &[(&str, &str)], code: i32, expected: &[&str]) -> String {
    let output = Tickwire::run(args, environment).unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    for line in expected {
        assert!(text.contains(line), "{args:?}: {line:?} is not in\n{text}");
    }
    text
}

const OPEN: [&str; 2] = ["--set", "auth.anonymous.symbols=#"];

#[test]
fn every_problem_is_listed_and_the_exit_code_is_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "listen = 7\n[limits]\nconnections_maxx = 5\n\n[feed]\nsource = \"kafka\"\n").unwrap();
    let path = file.to_str().unwrap();
    let expected = [
        "listen is not ADDRESS:PORT",
        "bad.toml:1",
        "limits.connections_maxx is not a known key; did you mean limits.connections_max?",
        "bad.toml:3",
        "feed.source is not one of amqp, simulated, recorded",
        "bad.toml:6",
        "shards is not a whole number from 0 to 256 (environment variable TICKWIRE_SHARDS)",
        "heartbeat_ms is not a whole number from 500 to 30000 (command line)",
        "auth.jwt.keys is empty",
    ];
    for command in [&["serve"][..], &["config", "check"]] {
        let args = [command, &["--config", path, "--set", "heartbeat_ms=1"]].concat();
        check(&args, &[("TICKWIRE_SHARDS", "-1")], 2, &expected);
    }
    check(&["config", "check", "--config", "/nowhere/t.toml", OPEN[0], OPEN[1]], &[], 2, &["/nowhere/t.toml", "cannot be read"]);
}

#[test]
fn good_is_ok_and_prints_without_secrets() {
    check(&["config", "check", OPEN[0], OPEN[1]], &[], 0, &["ok"]);
    let environment = [
        ("TICKWIRE_FEED__AMQP__URL", "amqp://me:hunter2@mq.example:5672/%2f"),
        ("TICKWIRE_FEED__RULES__0__FEED", "fx"),
        ("TICKWIRE_FEED__RULES__0__PATTERN", "fx.#"),
    ];
    let text = check(
        &["config", "print", OPEN[0], OPEN[1]],
        &environment,
        0,
        &["amqp://me:…@mq.example", "# environment variable TICKWIRE_FEED__AMQP__URL", "[[feed.rules]]"],
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn nobody_is_let_in_from_afar_by_accident() {
    check(
        &["demo", "--listen", "0.0.0.0:0"],
        &[],
        2,
        &["auth.anonymous.symbols gives everyone who reaches 0.0.0.0:0 access without a token"],
    );
    check(&["serve"], &[], 2, &["auth.jwt.keys is empty, so nobody could connect"]);
    drop(Tickwire::start(&["demo", "--listen", "0.0.0.0:0", "--allow-remote"]).unwrap());
}

#[test]
fn a_taken_port_is_said_and_fails() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check(&["demo", "--listen", &address], &[], 1, &["cannot listen on", &address]);
}

/// `docs/configuration.md` has the table that the program knows.
#[test]
fn the_documentation_has_every_key() {
    let table = check(&["config", "docs"], &[], 0, &["| `listen` |"]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let documented = std::fs::read_to_string(path).unwrap();
    for line in table.lines() {
        assert!(documented.contains(line), "docs/configuration.md misses:\n{line}\nbring it back with `tickwire config docs`");
    }
}
