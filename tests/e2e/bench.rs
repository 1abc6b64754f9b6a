//! `tickwire bench` as other programs use it. What is fast is not asserted; what is right is.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tickwire_rig::Tickwire;
use tickwire_tests::Authority;

use crate::wire::PATIENCE;

/// Runs `tickwire bench WORDS` to its end.
fn bench(words: &str) -> Result<Output> {
    let args: Vec<&str> = std::iter::once("bench").chain(words.split(' ')).collect();
    Tickwire::run(&args, &[])
}

#[test]
fn every_update_is_accounted_for_in_every_encoding() -> Result<()> {
    for encoding in ["protobuf", "json", "sse"] {
        let words = "fanout --serve --connections 20 --rate 500 --duration 1 --warm-up 0 --json - --encoding";
        let output = bench(&format!("{words} {encoding}"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{encoding}: {said} {}", String::from_utf8_lossy(&output.stdout));
        let figures: Value = serde_json::from_slice(&output.stdout)?;
        let fanout = &figures["measurements"][0];
        assert_eq!((&figures["workload"], &fanout["encoding"]), (&"fanout".into(), &encoding.into()));
        for fault in ["lost", "disordered", "wrong", "refused", "cut"] {
            assert_eq!(fanout[fault], 0, "{fault}: {fanout:#}");
        }
        for figure in ["delivered", "bytes_per_delivered", "checked_messages"] {
            assert!(fanout[figure].as_f64() > Some(0.0), "{figure}: {fanout:#}");
        }
        assert!(fanout["latency_ms"]["p99"].is_f64() && fanout["age_ms"]["p50"].is_f64(), "{fanout:#}");
        assert!(fanout["server"]["cpu_us_per_delivered"].as_f64() > Some(0.0), "{fanout:#}");
    }
    Ok(())
}

/// Each workload prints what it is there for, nothing is wrong in it, and it says meanwhile how it goes.
#[test]
fn every_workload_has_its_figures() -> Result<()> {
    const DELIVERIES: [&str; 9] = [
        "/delivered_per_s",
        "/bytes_per_delivered",
        "/latency_ms/p50",
        "/latency_ms/p90",
        "/latency_ms/p99",
        "/latency_ms/p99_9",
        "/age_ms/p50",
        "/server/cpu_us_per_delivered",
        "/server/cpu_us_per_published",
    ];
    const SERVER: [&str; 3] = ["/ready_ms/p99", "/server/cpu_share", "/server/rss_bytes"];
    let workloads: [(&str, &[&str], &[&str]); 5] = [
        ("fanout --rate 500", &["fanout"], &DELIVERIES),
        ("conflate --rate 2000 --market 10", &["conflate", "conflate", "conflate"], &DELIVERIES),
        ("slow --rate 1000 --slow-bytes 20000", &["slow: the others", "slow: the slow"], &DELIVERIES),
        ("idle", &["idle"], &[]),
        ("storm", &["storm"], &["/images"]),
    ];
    for (workload, rows, figures) in workloads {
        let output = bench(&format!("{workload} --serve --connections 20 --duration 2 --warm-up 1 --json -"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{workload}: {said} {}", String::from_utf8_lossy(&output.stdout));
        assert!(said.contains("bench: starting a server") && said.contains("bench: "), "{workload}: {said}");
        let all: Value = serde_json::from_slice(&output.stdout)?;
        let measured = all["measurements"].as_array().into_iter().flatten().collect::<Vec<_>>();
        let names = measured.iter().filter_map(|row| row["name"].as_str()).collect::<Vec<_>>();
        assert_eq!(names, rows, "{workload}");
        for row in &measured {
            for figure in figures.iter().chain(&SERVER) {
                assert!(row.pointer(figure).and_then(Value::as_f64) > Some(0.0), "{workload} has no {figure}: {row:#}");
            }
            assert!(row.pointer("/server/rss_bytes_per_connection").is_some_and(Value::is_f64), "{workload}: {row:#}");
        }
        if workload.starts_with("conflate") {
            let merged = measured.iter().map(|row| row["merged"].as_u64().unwrap_or(0) * 1_000 / row["delivered"].as_u64().unwrap_or(1));
            assert!(merged.is_sorted(), "more is merged at a lower rate: {all:#}");
            assert!(measured[1]["records_per_message"].as_f64() > Some(2.0), "lanes of a connection leave together: {all:#}");
        }
    }
    Ok(())
}

#[test]
fn an_idle_connection_holds_no_buffer() -> Result<()> {
    for encoding in ["protobuf", "json", "sse"] {
        let output = bench(&format!("idle --serve --connections 1000 --duration 1 --warm-up 0 --json - --encoding {encoding}"))?;
        let figures: Value = serde_json::from_slice(&output.stdout)?;
        let each = figures["measurements"][0]["server"]["rss_bytes_per_connection"].as_f64();
        // What is promised of an optimised server is in docs/performance.md; one buffer would be 4 KiB and more.
        assert!(each.is_some_and(|bytes| bytes < 4_000.0), "{encoding}: {each:?}");
    }
    Ok(())
}

#[test]
fn a_storm_gives_everyone_all_images() -> Result<()> {
    let output = bench("storm --serve --connections 400 --duration 1 --warm-up 0 --json -")?;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: Value = serde_json::from_slice(&output.stdout)?;
    let storm = &figures["measurements"][0];
    assert_eq!((&storm["images"], &storm["refused"], &storm["cut"]), (&(400 * 20).into(), &0.into(), &0.into()), "{storm:#}");
    Ok(())
}

#[test]
fn a_server_that_runs_is_loaded_and_looked_at() -> Result<()> {
    let server = Tickwire::start(&["demo", "--steady", "10x500"])?;
    let (url, pid) = (server.http(""), server.pid());
    let output = bench(&format!("fanout --url {url} --pid {pid} --connections 5 --symbols bench.* --duration 1 --warm-up 0"))?;
    let (text, said) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    assert_eq!(output.status.code(), Some(0), "{said}{text}");
    for figure in [
        "delivered",
        "bytes each",
        "latency        p50",
        "age of values  p50",
        "server CPU",
        "µs for each update delivered",
        "µs for each update published",
        "bytes for each connection",
        "0 lost, 0 out of order, 0 wrong",
    ] {
        assert!(text.contains(figure), "no {figure} in {text}");
    }

    let output = bench(&format!("fanout --url {url} --connections 2 --symbols bench.S1,bench.S77 --duration 1 --warm-up 0"))?;
    let (text, code) = (String::from_utf8(output.stdout)?, output.status.code());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("2 refused") && text.contains("bench.S77 was refused: UNKNOWN_SYMBOL"), "{text}");
    Ok(())
}

#[test]
fn an_encrypted_server_is_loaded_as_any_other() -> Result<()> {
    let (authority, stranger, folder) = (Authority::new(), Authority::new(), tempfile::tempdir()?);
    authority.issue(folder.path(), &["localhost", "127.0.0.1"]);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (ca, other) = (file("ca.pem"), file("other.pem"));
    std::fs::write(&ca, authority.pem())?;
    std::fs::write(&other, stranger.pem())?;
    let (cert, key) = (format!("tls.cert={}", file("cert.pem")), format!("tls.key={}", file("key.pem")));
    let set = format!("--set {cert} --set {key}");
    for words in ["fanout --rate 500", "fanout --encoding json", "fanout --encoding sse", "slow --rate 1000 --slow-bytes 20000", "storm"] {
        let output = bench(&format!("{words} --serve {set} --ca {ca} --connections 20 --duration 1 --warm-up 0 --json -"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{words}: {said} {}", String::from_utf8_lossy(&output.stdout));
        let all: Value = serde_json::from_slice(&output.stdout)?;
        for row in all["measurements"].as_array().into_iter().flatten() {
            assert!(row["delivered"].as_u64() > Some(0) && row["lost"] == 0 && row["wrong"] == 0, "{words}: {row:#}");
        }
    }

    let server = Tickwire::start(&["demo", "--steady", "10x500", "--set", &cert, "--set", &key])?;
    let url = format!("https://localhost:{}", server.address().port());
    let trusted = bench(&format!("fanout --url {url} --ca {ca} --connections 5 --symbols bench.* --duration 1 --warm-up 0"))?;
    assert_eq!(trusted.status.code(), Some(0), "{}", String::from_utf8_lossy(&trusted.stdout));
    let mistrusted = bench(&format!("fanout --url {url} --ca {other} --connections 5"))?;
    let said = String::from_utf8_lossy(&mistrusted.stderr);
    assert!(mistrusted.status.code() == Some(2) && said.contains("certificate"), "{said}");
    Ok(())
}

/// A server of its own does not outlive it, however it ends.
#[test]
fn a_killed_bench_leaves_no_server_behind() -> Result<()> {
    let mut bench = Command::new(Tickwire::program()?)
        .args(["bench", "fanout", "--serve", "--connections", "5", "--duration", "600"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(bench.stderr.take().context("stderr is piped")?).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains(" of 600 s: ")), "it measures");
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", bench.id()))?;
    let server = children.split_whitespace().find(|pid| {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.contains("tickwire\0demo\0")
    });
    let server = format!("/proc/{}", server.context("its server runs")?);
    bench.kill()?;
    bench.wait()?;
    let by = Instant::now() + PATIENCE;
    while Path::new(&server).exists() {
        assert!(Instant::now() < by, "{server} still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[test]
fn what_cannot_be_measured_is_said() -> Result<()> {
    for (words, why) in [
        ("fanout --url http://127.0.0.1:1", "cannot connect"),
        ("fanout --url http://127.0.0.1:1 --connections 1", "cannot connect"),
        ("idle --url https://127.0.0.1:1 --ca /nowhere/ca.pem", "roots /nowhere/ca.pem"),
        ("fanout --rate 5", "belong to --serve"),
        ("fanout --serve --connections 4000000000", "file descriptors"),
    ] {
        let output = bench(words)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(why), "{words}: {said}");
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
    }
    Ok(())
}
