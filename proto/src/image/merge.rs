//! The merge rules, one function per kind of body, and their inverse: the record of what was touched.

use alloc::vec::Vec;

use super::changed::{Changed, Kind};
use super::{BARS_MAX, EXTRA_KEYS_MAX, OUTCOMES_MAX};
use crate::planted::{Fault, planted};
use crate::v1::{self, update::Body};

/// Runs `$visit!(number, field)` for each state field of a quote.
macro_rules! quote_fields {
    ($visit:ident) => {
        $visit!(1, bid);
        $visit!(2, bid_quantity);
        $visit!(3, ask);
        $visit!(4, ask_quantity);
        $visit!(5, last);
        $visit!(6, last_quantity);
        $visit!(7, last_ts_us);
        $visit!(8, volume);
        $visit!(9, turnover);
        $visit!(10, trades);
        $visit!(11, open);
        $visit!(12, high);
        $visit!(13, low);
        $visit!(14, previous_close);
        $visit!(15, settlement);
    };
}

/// Runs `$visit!(number, field)` for each plain field of a score.
macro_rules! score_fields {
    ($visit:ident) => {
        $visit!(1, home);
        $visit!(2, away);
        $visit!(3, period);
        $visit!(4, clock_s);
        $visit!(5, clock_running);
        $visit!(6, in_play);
        $visit!(7, r#final);
    };
}

/// Runs `$visit!(number, field)` for each field of an outcome apart from its id.
macro_rules! outcome_fields {
    ($visit:ident) => {
        $visit!(2, back);
        $visit!(3, back_quantity);
        $visit!(4, lay);
        $visit!(5, lay_quantity);
        $visit!(6, last);
        $visit!(7, active);
        $visit!(8, result);
    };
}

pub(super) fn quote(state: &mut Option<v1::Quote>, input: &v1::Quote, clear: &[u32], image: bool, changed: &mut Changed) {
    let mut quote = if image { v1::Quote::default() } else { state.unwrap_or_default() };
    if image {
        changed.mark_image(Kind::Quote);
    }
    for number in clear {
        macro_rules! forget {
            ($number:literal, $field:ident) => {
                if *number == $number {
                    quote.$field = planted(Fault::ClientClearsToZero).then_some(0);
                    changed.quote |= 1 << $number;
                }
            };
        }
        quote_fields!(forget);
    }
    macro_rules! set {
        ($number:literal, $field:ident) => {
            if input.$field.is_some() {
                quote.$field = input.$field;
                changed.quote |= 1 << $number;
            }
        };
    }
    quote_fields!(set);
    *state = (quote != v1::Quote::default()).then_some(quote);
}

pub(super) fn quote_record(state: Option<&v1::Quote>, changed: &Changed) -> v1::Update {
    let state = state.copied().unwrap_or_default();
    let mut quote = v1::Quote::default();
    let mut clear = Vec::new();
    macro_rules! take {
        ($number:literal, $field:ident) => {
            if changed.quote & (1 << $number) != 0 {
                quote.$field = state.$field;
                if state.$field.is_none() && !planted(Fault::ForgetClear) {
                    clear.push($number);
                }
            }
        };
    }
    quote_fields!(take);
    v1::Update { clear, body: Some(Body::Quote(quote)), ..v1::Update::default() }
}

pub(super) fn status(state: &mut Option<v1::Status>, input: &v1::Status, clear: &[u32], image: bool, changed: &mut Changed) {
    let mut status = input.clone();
    if image {
        changed.mark_image(Kind::Status);
    } else {
        // Phase and reason have no "absent": every status says them.
        changed.status = true;
        let kept = state.as_ref().and_then(|before| before.resume_us).filter(|_| !clear.contains(&STATUS_RESUME_US));
        status.resume_us = status.resume_us.or(kept);
    }
    *state = (status != v1::Status::default()).then_some(status);
}

pub(super) fn status_record(state: Option<&v1::Status>) -> v1::Update {
    let status = state.cloned().unwrap_or_default();
    let clear = if status.resume_us.is_none() { alloc::vec![STATUS_RESUME_US] } else { Vec::new() };
    v1::Update { clear, body: Some(Body::Status(status)), ..v1::Update::default() }
}

pub(super) fn score(state: &mut Option<v1::Score>, input: &v1::Score, clear: &[u32], image: bool, changed: &mut Changed) {
    let mut score = if image { None } else { state.take() }.unwrap_or_default();
    if image {
        changed.mark_image(Kind::Score);
    }
    for number in clear {
        macro_rules! forget {
            ($number:literal, $field:ident) => {
                if *number == $number {
                    score.$field = None;
                    changed.score |= 1 << $number;
                }
            };
        }
        score_fields!(forget);
        if *number == SCORE_EXTRA {
            score.extra.clear();
            // Single keys cannot be named in `clear`: whoever holds the old keys needs the whole body.
            changed.mark_image(Kind::Score);
        }
    }
    macro_rules! set {
        ($number:literal, $field:ident) => {
            if input.$field.is_some() {
                score.$field = input.$field;
                changed.score |= 1 << $number;
            }
        };
    }
    score_fields!(set);
    for (key, value) in &input.extra {
        if score.extra.len() < EXTRA_KEYS_MAX || score.extra.contains_key(key) {
            score.extra.insert(key.clone(), *value);
            changed.score |= 1 << SCORE_EXTRA;
        }
    }
    *state = (score != v1::Score::default()).then_some(score);
}

pub(super) fn score_record(state: Option<&v1::Score>, changed: &Changed) -> v1::Update {
    let mut score = v1::Score::default();
    let mut clear = Vec::new();
    macro_rules! take {
        ($number:literal, $field:ident) => {
            if changed.score & (1 << $number) != 0 {
                score.$field = state.and_then(|state| state.$field);
                if score.$field.is_none() {
                    clear.push($number);
                }
            }
        };
    }
    score_fields!(take);
    if changed.score & (1 << SCORE_EXTRA) != 0 {
        score.extra = state.map(|state| state.extra.clone()).unwrap_or_default();
    }
    v1::Update { clear, body: Some(Body::Score(score)), ..v1::Update::default() }
}

pub(super) fn odds(state: &mut Option<v1::Odds>, input: &v1::Odds, clear: &[u32], image: bool, changed: &mut Changed) {
    let mut odds = if image { None } else { state.take() }.unwrap_or_default();
    if image {
        changed.mark_image(Kind::Odds);
    }
    for number in clear {
        match *number {
            ODDS_LINE => odds.line = None,
            ODDS_MATCHED => odds.matched = None,
            _ => {
                clear_outcome(&mut odds, *number, changed);
                continue;
            }
        }
        changed.odds |= 1 << *number;
    }
    if input.line.is_some() {
        odds.line = input.line;
        changed.odds |= 1 << ODDS_LINE;
    }
    if input.matched.is_some() {
        odds.matched = input.matched;
        changed.odds |= 1 << ODDS_MATCHED;
    }
    for outcome in input.outcomes.iter().filter(|outcome| !is_blank(outcome)) {
        set_outcome(&mut odds, outcome, changed);
    }
    if odds.outcomes.iter().any(is_blank) {
        odds.outcomes.retain(|outcome| !is_blank(outcome));
        // A mask cannot name what is gone.
        changed.mark_image(Kind::Odds);
    }
    *state = (odds != v1::Odds::default()).then_some(odds);
}

/// An outcome of which nothing is known.
fn is_blank(outcome: &v1::Outcome) -> bool {
    *outcome == v1::Outcome { id: outcome.id, ..v1::Outcome::default() }
}

fn clear_outcome(odds: &mut v1::Odds, number: u32, changed: &mut Changed) {
    let Ok(position) = odds.outcomes.binary_search_by_key(&(number / 16), |outcome| outcome.id) else { return };
    let outcome = &mut odds.outcomes[position];
    let field = number % 16;
    macro_rules! forget {
        ($number:literal, $field:ident) => {
            if field == $number {
                outcome.$field = None;
                changed.outcome_fields |= 1 << $number;
                changed.outcomes_cleared = true;
                changed.mark_outcome(outcome.id);
            }
        };
    }
    outcome_fields!(forget);
}

fn set_outcome(odds: &mut v1::Odds, input: &v1::Outcome, changed: &mut Changed) {
    let position = match odds.outcomes.binary_search_by_key(&input.id, |outcome| outcome.id) {
        Ok(position) => position,
        Err(_) if odds.outcomes.len() >= OUTCOMES_MAX => return,
        Err(position) => {
            odds.outcomes.insert(position, v1::Outcome { id: input.id, ..v1::Outcome::default() });
            position
        }
    };
    let outcome = &mut odds.outcomes[position];
    macro_rules! set {
        ($number:literal, $field:ident) => {
            if input.$field.is_some() {
                outcome.$field = input.$field;
                changed.outcome_fields |= 1 << $number;
            }
        };
    }
    outcome_fields!(set);
    changed.mark_outcome(outcome.id);
}

pub(super) fn odds_record(state: Option<&v1::Odds>, changed: &Changed) -> v1::Update {
    let mut odds = v1::Odds::default();
    let mut clear = Vec::new();
    for (number, field, value) in [
        (ODDS_LINE, &mut odds.line, state.and_then(|state| state.line)),
        (ODDS_MATCHED, &mut odds.matched, state.and_then(|state| state.matched)),
    ] {
        if changed.odds & (1 << number) != 0 {
            *field = value;
            if value.is_none() {
                clear.push(number);
            }
        }
    }
    for known in state.map(|state| state.outcomes.as_slice()).unwrap_or_default() {
        if !changed.touches_outcome(known.id) {
            continue;
        }
        let mut outcome = v1::Outcome { id: known.id, ..v1::Outcome::default() };
        macro_rules! take {
            ($number:literal, $field:ident) => {
                if changed.outcome_fields & (1 << $number) != 0 {
                    outcome.$field = known.$field;
                    if known.$field.is_none() && changed.outcomes_cleared {
                        clear.push(known.id.saturating_mul(16).saturating_add($number));
                    }
                }
            };
        }
        outcome_fields!(take);
        odds.outcomes.push(outcome);
    }
    v1::Update { clear, body: Some(Body::Odds(odds)), ..v1::Update::default() }
}

pub(super) fn bar(bars: &mut Vec<v1::Bar>, input: &v1::Bar, image: bool, changed: &mut Changed) {
    if input.length_s == 0 {
        if image {
            bars.clear();
            changed.bars_emptied = true;
        }
        return;
    }
    match bars.binary_search_by_key(&input.length_s, |bar| bar.length_s) {
        Ok(index) => {
            let backward = input.start_us < bars[index].start_us;
            if backward && !image {
                return;
            }
            bars[index] = *input;
            changed.mark_bar(input.length_s);
            // A holder of the later bar would pass over the earlier one.
            changed.bars_emptied |= backward;
        }
        Err(_) if bars.len() >= BARS_MAX => {}
        Err(index) => {
            bars.insert(index, *input);
            changed.mark_bar(input.length_s);
        }
    }
}

const STATUS_RESUME_US: u32 = 3;
const SCORE_EXTRA: u32 = 8;
const ODDS_LINE: u32 = 2;
const ODDS_MATCHED: u32 = 3;
