//! Frames as lines of text.

use std::fmt::Write;

use tickwire_proto::v1::{self, ErrorCode, FeedHealth, NoticeKind, Resume, TradingPhase, UpdateFlag, server_frame::Control, update::Body};

/// One frame on one line, its parts separated by ` | `.
pub(crate) fn frame(frame: &v1::ServerFrame, name: impl Fn(u32) -> String) -> String {
    let infos = frame.infos.iter().map(|info| match info.price_scale {
        2 => format!("info {}", info.symbol),
        places => format!("info {} at {places} places", info.symbol),
    });
    let control = frame.control.iter().map(|control| self::control(control, &name));
    let feeds = frame.feeds.iter().map(|feed| {
        let at = if feed.last_seq > 0 { format!(" at {}", feed.last_seq) } else { String::new() };
        format!("feed {} {}{at}", feed.feed, FeedHealth::try_from(feed.health).map_or("?", |h| h.as_str_name()))
    });
    let updates = frame.updates.iter().map(|update| self::update(update, &name));
    infos.chain(control).chain(feeds).chain(updates).collect::<Vec<_>>().join(" | ")
}

fn control(control: &Control, name: &impl Fn(u32) -> String) -> String {
    match control {
        Control::Welcome(welcome) => {
            let resume = Resume::try_from(welcome.resume).map_or("?", |resume| resume.as_str_name());
            let limits = welcome.limits.unwrap_or_default();
            let mut text = format!("welcome {resume} heartbeat={}", welcome.heartbeat_ms);
            if welcome.window_bytes > 0 {
                let _ = write!(text, " window={}", welcome.window_bytes);
            }
            if limits.conflate_ms_min > 0 {
                let _ = write!(text, " min={}", limits.conflate_ms_min);
            }
            if limits.subscriptions_max != 2_000 {
                let _ = write!(text, " max={}", limits.subscriptions_max);
            }
            text
        }
        Control::SubscribeAck(ack) => {
            let results = ack.results.iter().map(|result| match result.code {
                0 if result.id == 0 => format!(" {}@{}x{}", result.symbol, result.conflate_ms, result.matched),
                0 => format!(" {}@{}", result.symbol, result.conflate_ms),
                code => format!(" {}!{}", result.symbol, code_name(code)),
            });
            format!("ack{} images={}", results.collect::<String>(), ack.images_follow)
        }
        Control::SnapshotComplete(_) => "complete".into(),
        Control::UnsubscribeAck(ack) => format!("unsubscribed {}", ack.removed),
        Control::Ack(ack) => format!("ok conflate={}", ack.conflate_ms),
        Control::Heartbeat(heartbeat) => format!("heartbeat {}", if heartbeat.token.is_empty() { "-" } else { &heartbeat.token }),
        Control::Gap(gap) => format!("gap {} {}..{}", name(gap.id), gap.from, gap.to),
        Control::Notice(notice) => NoticeKind::try_from(notice.kind).map_or("?", |kind| kind.as_str_name()).to_string(),
        Control::Error(error) => {
            let after = error.retry_after_ms.map(|ms| format!(" after {ms}")).unwrap_or_default();
            let epoch = if error.epoch.is_empty() { String::new() } else { format!(" epoch={}", error.epoch) };
            format!("error {}{after}{epoch}: {}", code_name(error.code), error.text)
        }
        Control::TokenExpiring(expiring) => format!("token expires in {}", expiring.in_ms),
        Control::Goodbye(goodbye) => format!("goodbye {} + {}", goodbye.retry_after_ms, goodbye.spread_ms),
        Control::Pong(pong) => format!("pong {}", pong.nonce),
    }
}

fn update(update: &v1::Update, name: &impl Fn(u32) -> String) -> String {
    let mut text = match &update.body {
        Some(Body::Quote(quote)) => {
            let mut text = format!("quote {} #{}", name(update.id), update.seq);
            for (field, value) in [
                ("bid", quote.bid),
                ("ask", quote.ask),
                ("last", quote.last),
                ("volume", quote.volume),
                ("high", quote.interval_high),
                ("low", quote.interval_low),
            ] {
                if let Some(value) = value {
                    let _ = write!(text, " {field}={value}");
                }
            }
            text
        }
        Some(Body::Status(status)) => {
            let phase = TradingPhase::try_from(status.phase).map_or("?", |phase| phase.as_str_name());
            format!("status {} #{} {phase}", name(update.id), update.seq)
        }
        Some(Body::Score(score)) => {
            let mut text = format!("score {} #{}", name(update.id), update.seq);
            for (field, value) in [("home", score.home), ("away", score.away), ("period", score.period), ("clock", score.clock_s)] {
                if let Some(value) = value {
                    let _ = write!(text, " {field}={value}");
                }
            }
            if let Some(value) = score.r#final {
                let _ = write!(text, " final={value}");
            }
            text
        }
        Some(Body::Odds(odds)) => {
            let mut text = format!("odds {} #{}", name(update.id), update.seq);
            for outcome in &odds.outcomes {
                let _ = write!(text, " {}:", outcome.id);
                if let Some(back) = outcome.back {
                    let _ = write!(text, "back={back}");
                }
                if let Some(active) = outcome.active {
                    let _ = write!(text, "active={active}");
                }
                if let Some(result) = outcome.result {
                    let _ = write!(text, "result={result}");
                }
            }
            text
        }
        Some(Body::Bar(bar)) => {
            let done = if bar.r#final { " final" } else { "" };
            format!("bar {} #{} {}s@{} close={}{done}", name(update.id), update.seq, bar.length_s, bar.start_us, bar.close)
        }
        Some(Body::Trade(trade)) => {
            let kind = if trade.bust {
                " bust"
            } else if trade.correction {
                " correction"
            } else {
                ""
            };
            format!("trade {} #{} {}x{}{kind}", name(update.id), update.seq, trade.price, trade.quantity)
        }
        None => format!("nothing {} #{}", name(update.id), update.seq),
    };
    for field in &update.clear {
        let _ = write!(text, " clear={field}");
    }
    if update.merged > 0 {
        let _ = write!(text, " merged={}", update.merged);
    }
    for (flag, mark) in [(UpdateFlag::Image, " IMAGE"), (UpdateFlag::Correction, " CORRECTION"), (UpdateFlag::Event, " EVENT")] {
        if update.flags & flag as u32 != 0 {
            text.push_str(mark);
        }
    }
    assert_eq!(update.flags & UpdateFlag::Conflated as u32 != 0, update.merged > 0, "CONFLATED goes with merged: {update:?}");
    text
}

fn code_name(code: i32) -> &'static str {
    ErrorCode::try_from(code).map_or("?", ErrorCode::name)
}
