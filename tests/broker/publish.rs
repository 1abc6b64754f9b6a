//! `tickwire publish`: lines of CSV and JSON become prices, bad lines cost no other, and Ctrl-C waits for the last confirms.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};

use tickwire::v1::Quote;
use tickwire_rig::Tickwire;

use super::house::House;
use super::oracle;
use super::view::{wait_for_versions, wait_until};
use super::watch_ws;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_become_prices_and_bad_ones_cost_no_other() {
    let house = House::open().await;
    let mut view = watch_ws::watch(house.address, "stock.*", 0, false);
    let csv = concat!(
        "Ticker,at,bid,ask,Last,status.phase\n",
        "AAPL,1764000000000,187.42,187.44,187.43,OPEN\n",
        "MSFT,1764000000100,1,2\n",
        "no symbol,1764000000200,1,2,3,\n",
        "GOOG,1764000000300,x,2,3,\n",
        "IBM,1764000000400,,,301.5,\n",
    );
    let settings = ["--format", "csv", "--symbol", "Ticker", "--symbol-prefix", "stock.", "--column", "last=Last", "--time", "at"];
    let settings = [&settings[..], &["--time-unit", "ms", "--speed", "max"]].concat();
    let output = ended(start(&house, &settings, csv));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    for expected in [
        "publish: line 3: bad_row: has 4 values, the header 6\n",
        "publish: line 4: bad_symbol: ",
        "publish: line 5: bad_update: updates[0].quote.bid: is not a decimal number\n",
        "publish: 2 lines published, 3 lines refused (bad_row 1, bad_symbol 1, bad_update 1)\n",
    ] {
        assert!(said.contains(expected), "{expected} is missing in {said}");
    }
    wait_until(&mut view, "the last line is there", |view| view.quotes.contains_key("stock.IBM")).await;
    assert_eq!(view.borrow().quotes["stock.AAPL"].bid, Some(18_742));
    assert_eq!(view.borrow().quotes["stock.IBM"].last, Some(3_015), "as exact as it was written");
    assert_eq!(view.borrow().quotes.len(), 2, "{:?}", view.borrow().quotes);

    // Of several lines that say the same of an instrument the newest holds, and a bad one ends a strict reading.
    let json = concat!(
        r#"{"symbol":"stock.IBM","quote":{"last":"301.50"}}"#,
        "\n",
        r#"{"updates":[{"symbol":"stock.IBM","quote":{"last":"301.75"}},{"symbol":"stock.SAP","quote":{"last":7}}]}"#,
        "\n\n{\n",
        r#"{"symbol":"stock.LATE","quote":{"last":"1"}}"#,
        "\n",
    );
    let output = ended(start(&house, &["--strict", "--quiet"], json));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.starts_with("publish: line 4: bad_json: "), "{said}");
    wait_until(&mut view, "the lines before it are there", |view| view.quotes.contains_key("stock.SAP")).await;
    assert_eq!(view.borrow().quotes["stock.IBM"].last, Some(30_175));
    assert!(!view.borrow().quotes.contains_key("stock.LATE"));

    let output = ended(start(&house, &["--format", "csv"], "symbol,colour\n"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("line 1: unknown_column: "), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_waits_for_the_last_confirms() {
    let house = House::open().await;
    let mut view = watch_ws::watch(house.address, "stock.*", 0, false);
    let mut publish = start(&house, &["--alive", "stock.alive", "--rate", "1000"], "");
    let mut stdin = publish.stdin.take().unwrap();
    stdin.write_all(b"{\"symbol\":\"stock.AAPL\",\"quote\":{\"last\":\"187.43\"}}\n").unwrap();
    stdin.flush().unwrap();
    // The pipe stays open: the command would wait for ever.
    wait_until(&mut view, "the line is there", |view| view.quotes.contains_key("stock.AAPL")).await;
    interrupt(&publish);
    let output = publish.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("interrupted") && said.contains("1 line published, 0 lines refused"), "{said}");
    drop(stdin);

    // While the broker stands still, the last confirms do not come: they are waited for, and whoever does not want that is told so.
    for is_resumed in [true, false] {
        let mut publish = start(&house, &[], "");
        let mut said = BufReader::new(publish.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut stdin = publish.stdin.take().unwrap();
        let symbol = format!("stock.{is_resumed}");
        writeln!(stdin, r#"{{"symbol":"{symbol}","quote":{{"last":"1"}}}}"#).unwrap();
        wait_until(&mut view, "it publishes", |view| view.quotes.contains_key(&symbol)).await;
        house.broker.pause().unwrap();
        writeln!(stdin, r#"{{"symbol":"{symbol}","quote":{{"last":"2"}}}}"#).unwrap();
        // The end of the lines is no reason not to wait.
        drop(stdin);
        assert!(said.by_ref().any(|line| line.contains("2 messages, 1 confirmed")));
        interrupt(&publish);
        assert!(said.by_ref().any(|line| line == "publish: interrupted: waits for the last confirms"));
        if is_resumed {
            house.broker.resume().unwrap();
        } else {
            interrupt(&publish);
        }
        let rest: Vec<String> = said.collect();
        let (code, expected) =
            if is_resumed { (0, ["2 lines published", "2 confirmed"]) } else { (1, ["2 lines read", "interrupted again: 1 of 2"]) };
        assert_eq!(publish.wait().unwrap().code(), Some(code), "{rest:?}");
        assert!(expected.iter().all(|part| rest.iter().any(|line| line.contains(part))), "{rest:?}");
    }
    house.broker.resume().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_meet_a_memory_alarm_wait_for_its_end() {
    let house = House::open().await;
    let mut view = watch_ws::watch(house.address, "stock.#", 0, true);
    house.broker.control(&["set_vm_memory_high_watermark", "0.000001"]).unwrap();
    let mut last = HashMap::new();
    let mut lines = String::new();
    for n in 0..LINES {
        let (index, version) = (n % oracle::SYMBOLS, n / oracle::SYMBOLS + 1);
        let Quote { bid, ask, last: price, volume, .. } = oracle::quote(index, version);
        let cents = |value: Option<i64>| format!("{}.{:02}", value.unwrap() / 100, value.unwrap() % 100);
        let (bid, ask, price, volume) = (cents(bid), cents(ask), cents(price), volume.unwrap());
        lines += &format!("stock.S{index},{bid},{ask},{price},{volume}\n");
        last.insert(format!("stock.S{index}"), version);
    }
    let mut publish = start(&house, &["--format", "csv"], &format!("symbol,bid,ask,last,volume\n{lines}"));
    drop(publish.stdin.take());
    // All lines are read soon. The first word about the alarm comes at once, the next ones later.
    let mut said = BufReader::new(publish.stderr.take().unwrap()).lines().map(Result::unwrap);
    let blocked: Vec<_> = said.by_ref().filter(|line| line.contains("(the broker takes nothing: ")).take(4).collect();
    assert!(blocked.len() == 4 && blocked[3].contains("low on memory"), "{blocked:?}");
    assert!(publish.try_wait().unwrap().is_none(), "it waits");
    house.broker.control(&["set_vm_memory_high_watermark", "0.6"]).unwrap();
    let rest: Vec<_> = said.collect();
    assert!(publish.wait().unwrap().success() && rest.contains(&format!("publish: {LINES} lines published, 0 lines refused")), "{rest:?}");
    wait_for_versions(&mut view, "class 0", &last).await;
    assert_eq!(view.borrow().gaps(), 0);
}

/// Starts `tickwire publish` with `lines` as its standard input.
fn start(house: &House, arguments: &[&str], lines: &str) -> Child {
    let mut command = Command::new(Tickwire::program().unwrap());
    command.args(["publish", "--amqp", &house.broker.url()]).args(arguments);
    let mut publish = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    publish.stdin.as_mut().unwrap().write_all(lines.as_bytes()).unwrap();
    publish
}

/// Ctrl-C.
fn interrupt(publish: &Child) {
    assert!(Command::new("kill").args(["-INT", &publish.id().to_string()]).status().unwrap().success());
}

/// Closes its standard input, and waits for its end.
fn ended(mut publish: Child) -> Output {
    drop(publish.stdin.take());
    publish.wait_with_output().unwrap()
}

/// Lines in the time of an alarm.
const LINES: i64 = 1_000;
