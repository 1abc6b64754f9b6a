//! Merging updates of one instrument. Small numbers, so that updates meet in the same fields, outcomes, keys and bars.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use tickwire_proto::image::{Changed, Image, Kinds};
use tickwire_proto::v1::{self, UpdateFlag, update::Body};

/// An update that touches few fields, clears some, and now and then replaces the whole body.
fn update() -> impl Strategy<Value = v1::Update> {
    let price = || option::weighted(0.4, 0..9_i64);
    let count = || option::weighted(0.4, 0..4_u32);
    let quote = (price(), price(), price(), price()).prop_map(|(bid, ask, last, volume)| {
        (Body::Quote(v1::Quote { bid, ask, last, volume, interval_high: bid, ..Default::default() }), 16)
    });
    let status = (0..8_i32, option::of(0..3_u64))
        .prop_map(|(phase, resume_us)| (Body::Status(v1::Status { phase, resume_us, reason: phase.to_string() }), 4));
    let extra = btree_map(prop::sample::select(vec!["a", "b", "c"]).prop_map(String::from), 0..5_i64, 0..3);
    let score = (count(), count(), any::<Option<bool>>(), extra)
        .prop_map(|(home, clock_s, r#final, extra)| (Body::Score(v1::Score { home, clock_s, r#final, extra, ..Default::default() }), 9));
    // Ids 1 and 65 share a bit of the mask.
    let outcome = (prop::sample::select(vec![1, 2, 65]), price(), any::<Option<bool>>(), count())
        .prop_map(|(id, back, active, result)| v1::Outcome { id, back, active, result, ..Default::default() });
    let odds = (vec(outcome, 0..3), price(), price())
        .prop_map(|(outcomes, line, matched)| (Body::Odds(v1::Odds { outcomes, line, matched }), 65 * 16 + 9));
    let bar = (prop::sample::select(vec![0, 10, 60, 300]), 0..4_u64, 0..9_i64)
        .prop_map(|(length_s, start_us, close)| (Body::Bar(v1::Bar { length_s, start_us, close, ..Default::default() }), 1));
    let trade = (0..9_i64).prop_map(|price| (Body::Trade(v1::Trade { price, ..Default::default() }), 1));
    let body = prop_oneof![4 => quote, 1 => status, 2 => score, 3 => odds, 2 => bar, 1 => trade];
    (body, vec(any::<prop::sample::Index>(), 0..3), prop::bool::weighted(0.15)).prop_map(|((body, numbers), clear, image)| v1::Update {
        clear: clear.into_iter().map(|index| index.index(numbers) as u32).collect(),
        flags: if image { UpdateFlag::Image as u32 } else { 0 },
        body: Some(body),
        ..Default::default()
    })
}

/// Applies all, and returns what they touched.
fn apply(image: &mut Image, updates: &[v1::Update]) -> Changed {
    let mut changed = Changed::default();
    updates.iter().for_each(|update| changed.merge(&image.apply(update)));
    changed
}

/// What a lane sends for what was touched.
fn records(image: &Image, changed: &Changed) -> Vec<v1::Update> {
    let mut records = Vec::new();
    image.records(changed, |_, record| records.push(record));
    records
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Law: an update that is applied twice changes nothing the second time, and a record neither.
    #[test]
    fn merging_is_idempotent(before in vec(update(), 0..8), updates in vec(update(), 1..8)) {
        let mut image = Image::default();
        apply(&mut image, &before);
        let mut holder = image.clone();
        for update in &updates {
            image.apply(update);
            let once = image.clone();
            image.apply(update);
            prop_assert_eq!(&image, &once, "{:?}", update);
        }
        let mut image = holder.clone();
        let changed = apply(&mut image, &updates);
        for record in records(&image, &changed) {
            holder.apply(&record);
            let once = holder.clone();
            holder.apply(&record);
            prop_assert_eq!(&holder, &once, "{:?}", record);
        }
    }

    /// Law: what was touched adds up in any grouping, adding the same again adds nothing, and nothing is nothing.
    #[test]
    fn what_was_touched_adds_up_associatively(updates in vec(update(), 3), before in vec(update(), 0..4)) {
        let mut image = Image::default();
        apply(&mut image, &before);
        let [a, b, c] = [0, 1, 2].map(|n: usize| image.apply(&updates[n]));
        let sum = |left: &Changed, right: &Changed| {
            let mut sum = *left;
            sum.merge(right);
            sum
        };
        prop_assert_eq!(sum(&sum(&a, &b), &c), sum(&a, &sum(&b, &c)));
        prop_assert_eq!(sum(&a, &a), a);
        prop_assert_eq!(sum(&a, &Changed::default()), a);
        prop_assert_eq!(sum(&Changed::default(), &a), a);
    }

    /// Law: however a lane groups its inputs into records, whoever follows them ends with the same image.
    #[test]
    fn merging_is_associative_over_the_inputs_of_a_lane(
        before in vec(update(), 0..6),
        updates in vec((update(), any::<bool>()), 1..14),
    ) {
        let mut truth = Image::default();
        apply(&mut truth, &before);
        let (mut grouped, mut at_once, mut one_by_one) = (truth.clone(), truth.clone(), truth.clone());
        let (mut since, mut all) = (Changed::default(), Changed::default());
        for (update, ends_group) in &updates {
            let changed = truth.apply(update);
            since.merge(&changed);
            all.merge(&changed);
            apply(&mut one_by_one, &records(&truth, &changed));
            if *ends_group {
                apply(&mut grouped, &records(&truth, &std::mem::take(&mut since)));
            }
        }
        apply(&mut grouped, &records(&truth, &since));
        apply(&mut at_once, &records(&truth, &all));
        prop_assert_eq!(&grouped, &truth, "in groups");
        prop_assert_eq!(&at_once, &truth, "all at once");
        prop_assert_eq!(&one_by_one, &truth, "one by one");
    }

    /// Law: the image at any moment and the deltas after it make the image of now, whatever the holder had before.
    #[test]
    fn an_image_and_the_deltas_after_it_are_the_image(
        old in vec(update(), 0..6),
        updates in vec(update(), 1..14),
        at in any::<prop::sample::Index>(),
    ) {
        let (before, after) = updates.split_at(at.index(updates.len() + 1));
        let (mut truth, mut newcomer, mut stale) = (Image::default(), Image::default(), Image::default());
        apply(&mut stale, &old);
        apply(&mut truth, before);
        apply(&mut newcomer, &records(&truth, &Changed::images(truth.kinds())));
        apply(&mut stale, &records(&truth, &Changed::replaced(Kinds::ALL)));
        prop_assert_eq!(&newcomer, &truth, "a snapshot is the image");
        prop_assert_eq!(&stale, &truth, "an image replaces whatever was held");
        let changed = apply(&mut truth, after);
        for holder in [&mut newcomer, &mut stale] {
            apply(holder, &records(&truth, &changed));
            prop_assert_eq!(&*holder, &truth);
        }
    }
}
