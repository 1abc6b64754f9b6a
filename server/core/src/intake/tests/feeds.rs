//! Stories of feeds beside each other: what one of them does wrong costs no other anything.

use tickwire_proto::decimal::Decimal;

use super::*;

/// Two feeds, of which `stock` has what `change` gives it.
fn story(change: impl FnOnce(&mut FeedRule)) -> Story {
    let mut rules = config().rules;
    let stock = rules.iter_mut().find(|rule| rule.feed == "stock").unwrap();
    change(stock);
    Story::with(IntakeConfig { rules, ..config() })
}

fn cause(receipt: &Receipt) -> Option<Cause> {
    receipt.poison.first().map(|poison| poison.cause)
}

#[test]
fn a_feed_that_has_all_its_instruments_keeps_those_and_takes_none_of_others() {
    let mut story = story(|stock| stock.instruments_max = 2);
    let quote = r#"{"quote":{"bid":1}}"#;
    let mut take = |symbol: &str| cause(&story.json(symbol, quote));
    assert_eq!(
        [take("stock.A"), take("stock.B"), take("stock.C"), take("stock.D")],
        [None, None, Some(Cause::TooManyInstruments), Some(Cause::TooManyInstruments)]
    );
    assert_eq!([take("stock.A"), take("crypto.A"), take("crypto.B"), take("crypto.C"), take("nobody.A")], [None; 5]);
    let batch = r#"{"updates":[{"symbol":"stock.B","quote":{"bid":2}},{"symbol":"stock.E","quote":{"bid":2}}]}"#;
    let receipt = story.json("stock.batch", batch);
    assert_eq!((receipt.accepted, cause(&receipt)), (1, Some(Cause::TooManyInstruments)), "the rest of a batch stays");
    assert_eq!(receipt.poison[0].detail, r#""stock.E" would be one more than the 2 of the feed "stock""#);
    // A restored checkpoint does not count twice.
    let checkpoint = story.checkpoint();
    story.intake.restore(&checkpoint, &mut story.batch);
    assert_eq!(cause(&story.json("stock.A", quote)), None);
    assert_eq!(cause(&story.json("stock.C", quote)), Some(Cause::TooManyInstruments));
}

#[test]
fn a_feed_writes_below_its_namespace_only() {
    let mut story = story(|stock| stock.namespace = "stock.us.".into());
    let quote = r#"{"quote":{"bid":1}}"#;
    let mut take = |symbol: &str| cause(&story.json(symbol, quote));
    assert_eq!(
        [take("stock.us.A"), take("stock.de.A"), take("stock.us"), take("crypto.A")],
        [None, Some(Cause::OutsideNamespace), Some(Cause::OutsideNamespace), None]
    );
    let batch = r#"{"updates":[{"symbol":"stock.us.A","quote":{"bid":2}},{"symbol":"stock.fr.A","quote":{"bid":2}},{"symbol":"crypto.A","quote":{"bid":2}}]}"#;
    let receipt = story.json("stock.us.batch", batch);
    assert_eq!(receipt.accepted, 1);
    assert_eq!(receipt.poison.iter().map(|poison| poison.cause).collect::<Vec<_>>(), [Cause::OutsideNamespace, Cause::BadSymbol]);
    assert_eq!(receipt.poison[0].detail, r#""stock.fr.A" does not begin with "stock.us.", as symbols of the feed "stock" do"#);
    let info = r#"{"info":{"price_scale":2}}"#;
    assert_eq!(cause(&story.json("stock.de.B", info)), Some(Cause::OutsideNamespace), "not by an announcement either");
}

#[test]
fn a_price_that_is_far_from_the_last_one_is_believed_when_it_is_said_again() {
    let mut story = story(|stock| stock.plausible.jump_percent_max = Some(20));
    let mut last = |symbol: &str, price: &str| cause(&story.json(symbol, &format!(r#"{{"quote":{{"last":"{price}"}}}}"#)));
    assert_eq!(last("stock.A", "187.42"), None, "there is nothing to compare it with");
    assert_eq!(last("stock.A", "1874.2"), Some(Cause::Implausible), "a digit too many");
    assert_eq!(last("stock.A", "187.50"), None);
    assert_eq!(last("stock.A", "0"), Some(Cause::Implausible));
    assert_eq!(last("stock.A", "225"), None, "20 % of 187.50");
    // A split, or the market fell while the feed was away.
    assert_eq!(
        [last("stock.A", "22"), last("stock.A", "22.1"), last("stock.A", "22.05")],
        [Some(Cause::Implausible), Some(Cause::Implausible), None]
    );
    assert_eq!(last("stock.A", "22.2"), None);
    // What contradicts itself is not believed.
    assert!([last("stock.A", "900"), last("stock.A", "1"), last("stock.A", "900"), last("stock.A", "1")].iter().all(Option::is_some));
    assert_eq!(last("crypto.A", "1"), None);
    assert_eq!(last("crypto.A", "1000000"), None, "another feed has other rules");

    let trade = r#"{"trade":{"price":"500","quantity":1}}"#;
    assert_eq!(cause(&story.json("stock.A", trade)), Some(Cause::Implausible));
    assert_eq!(cause(&story.json("stock.A", r#"{"trade":{"price":"500","quantity":1,"trade_id":"7","bust":true}}"#)), None);
    assert_eq!(cause(&story.json("stock.A", r#"{"flags":["CORRECTION"],"quote":{"last":"100"}}"#)), None, "whoever corrects means it");
    let receipt = story.json("stock.A", r#"{"quote":{"last":"150.001"}}"#);
    assert_eq!(receipt.poison[0].detail, "150.001 is more than 20 % from the last price 100.000", "also when the places grow");
}

#[test]
fn prices_stay_between_bounds_and_quotes_uncrossed() {
    let decimal = |text| Some(Decimal::parse(text).unwrap());
    let mut story = story(|stock| {
        stock.plausible =
            Plausible { price_min: decimal("0.01"), price_max: decimal("1000"), refuses_crossed: true, jump_percent_max: None };
    });
    let mut said = |body: &str| story.json("stock.A", body).poison.first().map(|poison| poison.detail.clone()).unwrap_or_default();
    assert_eq!(said(r#"{"quote":{"bid":"0.010","ask":"1000.00","turnover":"5000000"}}"#), "");
    assert_eq!(said(r#"{"quote":{"bid":"0.009"}}"#), "quote.bid 0.009 is below 0.01");
    assert_eq!(said(r#"{"quote":{"high":"1000.5"}}"#), "quote.high 1000.50 is above 1000");
    assert_eq!(said(r#"{"trade":{"price":"-1","quantity":1}}"#), "trade.price -1.00 is below 0.01");
    assert_eq!(said(r#"{"bar":{"start_us":"0","length_s":60,"open":1,"high":2000,"low":1,"close":1}}"#), "bar.high 2000.00 is above 1000");
    assert_eq!(said(r#"{"odds":{"outcomes":[{"id":1,"back":"0"}]}}"#), "outcome.back 0.00 is below 0.01");

    assert_eq!(said(r#"{"quote":{"bid":"10","ask":"11"}}"#), "");
    assert_eq!(said(r#"{"quote":{"bid":"12"}}"#), "quote.bid 12.00 is above quote.ask 11.00", "as it would be then");
    assert_eq!(said(r#"{"quote":{"bid":"12","ask":"12"}}"#), "", "locked is not crossed");
    assert_eq!(said(r#"{"quote":{"bid":"13","ask":null}}"#), "");
    assert_eq!(said(r#"{"flags":["IMAGE"],"quote":{"ask":"9"}}"#), "", "the bid is unknown then");
    assert_eq!(said(r#"{"quote":{"last":"500"}}"#), "");
    assert_eq!(story.json("stock.B", r#"{"quote":{"bid":"5","ask":"4"}}"#).accepted, 0, "also in the first update");
    assert_eq!(story.json("crypto.A", r#"{"quote":{"bid":"5","ask":"4"}}"#).accepted, 1);
}
