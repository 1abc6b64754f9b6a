use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::*;

fn delta(body: Body) -> v1::Update {
    v1::Update { body: Some(body), ..v1::Update::default() }
}

fn quote(quote: v1::Quote) -> v1::Update {
    delta(Body::Quote(quote))
}

fn image(mut update: v1::Update) -> v1::Update {
    update.flags = v1::UpdateFlag::Image as u32;
    update
}

fn clearing(mut update: v1::Update, clear: &[u32]) -> v1::Update {
    update.clear = clear.to_vec();
    update
}

fn bar(length_s: u32, start_us: u64, close: i64) -> v1::Update {
    delta(Body::Bar(v1::Bar { length_s, start_us, close, ..v1::Bar::default() }))
}

fn outcome(id: u32, back: i64) -> v1::Outcome {
    v1::Outcome { id, back: Some(back), ..v1::Outcome::default() }
}

/// Applies `updates` to an image; a holder of the image before them gets one merged set of records and must end up with the same.
fn check(before: &[v1::Update], updates: &[v1::Update]) -> Image {
    let mut image = Image::default();
    for update in before {
        image.apply(update);
    }
    let mut holder = image.clone();
    let mut changed = Changed::default();
    for update in updates {
        changed.merge(&image.apply(update));
        let once = image.clone();
        image.apply(update);
        assert_eq!(image, once, "applying {update:?} twice differs from once");
    }
    let mut records = Vec::new();
    image.records(&changed, |_, record| records.push(record));
    for record in &records {
        holder.apply(record);
    }
    assert_eq!(holder, image, "records {records:?}");
    image
}

#[test]
fn absent_fields_stay_and_cleared_ones_go() {
    let image = check(
        &[quote(v1::Quote { bid: Some(1), ask: Some(3), last: Some(2), ..Default::default() })],
        &[clearing(quote(v1::Quote { bid: Some(2), ..Default::default() }), &[3])],
    );
    assert_eq!(image.quote, Some(v1::Quote { bid: Some(2), last: Some(2), ..Default::default() }));
}

#[test]
fn a_field_that_is_cleared_and_set_is_set() {
    let image = check(&[], &[clearing(quote(v1::Quote { bid: Some(2), ..Default::default() }), &[1])]);
    assert_eq!(image.quote, Some(v1::Quote { bid: Some(2), ..Default::default() }));
}

#[test]
fn an_image_replaces_the_whole_body_of_its_kind_only() {
    let halted = delta(Body::Status(v1::Status { phase: 4, ..Default::default() }));
    let image = check(
        &[quote(v1::Quote { bid: Some(1), ask: Some(3), ..Default::default() }), halted],
        &[image(quote(v1::Quote { last: Some(9), ..Default::default() }))],
    );
    assert_eq!(image.quote, Some(v1::Quote { last: Some(9), ..Default::default() }));
    assert_eq!(image.status.map(|status| status.phase), Some(4));
}

#[test]
fn an_empty_image_empties_the_body() {
    let image = check(&[quote(v1::Quote { bid: Some(1), ..Default::default() })], &[image(quote(v1::Quote::default()))]);
    assert_eq!(image, Image::default());
}

#[test]
fn interval_extremes_are_not_state() {
    let image = check(&[], &[quote(v1::Quote { last: Some(5), interval_high: Some(7), interval_low: Some(3), ..Default::default() })]);
    assert_eq!(image.quote, Some(v1::Quote { last: Some(5), ..Default::default() }));
}

#[test]
fn outcomes_merge_by_id() {
    let first = delta(Body::Odds(v1::Odds { outcomes: vec![outcome(1, 200), outcome(2, 300)], ..Default::default() }));
    let second = delta(Body::Odds(v1::Odds { outcomes: vec![outcome(2, 310), outcome(9, 900)], matched: Some(4), ..Default::default() }));
    let odds = check(&[first], &[second]).odds.expect("there are odds");
    assert_eq!(odds.outcomes, [outcome(1, 200), outcome(2, 310), outcome(9, 900)]);
    assert_eq!(odds.matched, Some(4));
}

#[test]
fn a_field_of_an_outcome_is_cleared_by_id_and_number() {
    let first = delta(Body::Odds(v1::Odds { outcomes: vec![outcome(1, 200), outcome(2, 300)], line: Some(1), ..Default::default() }));
    let second = clearing(delta(Body::Odds(v1::Odds::default())), &[2, 2 * 16 + 2, 77 * 16 + 2]);
    let odds = check(&[first], &[second]).odds.expect("there are odds");
    assert_eq!(odds.outcomes, [outcome(1, 200)], "an outcome of which nothing is known is none");
    assert_eq!(odds.line, None);
}

#[test]
fn outcomes_that_share_a_bit_of_the_mask_are_sent_together() {
    let many = |price| Body::Odds(v1::Odds { outcomes: (1..=100).map(|id| outcome(id, price)).collect(), ..Default::default() });
    check(&[delta(many(10))], &[delta(Body::Odds(v1::Odds { outcomes: vec![outcome(90, 11)], ..Default::default() }))]);
}

#[test]
fn outcomes_are_bounded() {
    let outcomes = (1..=OUTCOMES_MAX as u32 + 1).map(|id| outcome(id, 1)).collect();
    let odds = check(&[], &[delta(Body::Odds(v1::Odds { outcomes, ..Default::default() }))]).odds.expect("there are odds");
    assert_eq!(odds.outcomes.len(), OUTCOMES_MAX);
}

#[test]
fn extra_counts_merge_by_key_and_can_be_emptied() {
    let extra = |pairs: &[(&str, i64)]| pairs.iter().map(|(key, value)| (key.to_string(), *value)).collect();
    let first = delta(Body::Score(v1::Score { home: Some(1), extra: extra(&[("cards", 1), ("corners", 2)]), ..Default::default() }));
    let second = delta(Body::Score(v1::Score { extra: extra(&[("cards", 2)]), ..Default::default() }));
    let score = check(core::slice::from_ref(&first), &[second]).score.expect("there is a score");
    assert_eq!(score.extra, extra(&[("cards", 2), ("corners", 2)]));
    let third = clearing(delta(Body::Score(v1::Score { extra: extra(&[("sets", 1)]), ..Default::default() })), &[8]);
    let score = check(&[first], &[third]).score.expect("there is a score");
    assert_eq!(score.extra, extra(&[("sets", 1)]));
    assert_eq!(score.home, Some(1));
}

#[test]
fn a_status_says_phase_and_reason_anew_and_keeps_the_time_until_cleared() {
    let halt = delta(Body::Status(v1::Status { phase: 4, reason: "news".to_string(), resume_us: Some(7) }));
    let open = delta(Body::Status(v1::Status { phase: 2, ..Default::default() }));
    let status = check(core::slice::from_ref(&halt), core::slice::from_ref(&open)).status.expect("there is a status");
    assert_eq!(status, v1::Status { phase: 2, reason: "".to_string(), resume_us: Some(7) });
    let status = check(&[halt], &[clearing(open, &[3])]).status.expect("there is a status");
    assert_eq!(status.resume_us, None);
}

#[test]
fn the_newest_bar_of_each_length_is_kept_shortest_first() {
    let image = check(&[bar(300, 0, 1), bar(60, 0, 2)], &[bar(60, 60, 3), bar(10, 0, 4)]);
    let kept: Vec<_> = image.bars.iter().map(|bar| (bar.length_s, bar.start_us, bar.close)).collect();
    assert_eq!(kept, [(10, 0, 4), (60, 60, 3), (300, 0, 1)]);
}

#[test]
fn an_earlier_bar_replaces_a_later_one_only_as_an_image() {
    let kept = check(&[bar(60, 120, 1)], &[bar(60, 60, 2)]).bars;
    assert_eq!(kept[0].start_us, 120);
    let replaced = check(&[bar(60, 120, 1)], &[image(bar(60, 60, 2))]).bars;
    assert_eq!(replaced[0].start_us, 60);
}

#[test]
fn an_image_without_length_empties_all_bars() {
    let image = check(&[bar(60, 0, 1), bar(300, 0, 2)], &[image(bar(0, 0, 0)), bar(10, 0, 3)]);
    assert_eq!(image.bars.len(), 1);
}

#[test]
fn bar_lengths_are_bounded() {
    let bars: Vec<_> = (1..=BARS_MAX as u32 + 1).map(|length| bar(length, 0, 1)).collect();
    assert_eq!(check(&[], &bars).bars.len(), BARS_MAX);
}

#[test]
fn trades_change_nothing() {
    let mut image = Image::default();
    assert!(image.apply(&delta(Body::Trade(v1::Trade { price: 5, ..Default::default() }))).is_empty());
    assert_eq!(image, Image::default());
}
