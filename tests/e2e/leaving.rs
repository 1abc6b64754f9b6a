//! How a node leaves, and how it treats those who cannot keep up.

use std::time::{Duration, Instant};

use tickwire_proto::v1::{ErrorCode, NoticeKind, server_frame::Control};
use tickwire_rig::Tickwire;
use tickwire_simulator::steady_price;

use crate::peer::{Peer, Transport};
use crate::wire::{PATIENCE, Wire};

#[test]
fn sigterm_says_goodbye_to_everyone_and_ends_well() {
    let mut server = Tickwire::start(&["demo", "--steady", "10x1000"]).unwrap();
    let mut peers: Vec<_> = (0..30)
        .map(|n| Peer::subscribed(server.address(), Transport::ALL[n % 3], &["bench.*"], if n % 2 == 0 { 0 } else { 100 }))
        .collect();
    peers.iter_mut().for_each(|peer| drop(peer.quote()));
    server.terminate().unwrap();
    for (n, peer) in peers.iter_mut().enumerate() {
        let goodbye = peer.until(|frame| match &frame.control {
            Some(Control::Goodbye(goodbye)) => Some(*goodbye),
            _ => None,
        });
        assert_eq!(goodbye.code(), ErrorCode::ShuttingDown);
        assert!(goodbye.retry_after_ms > 0 && goodbye.spread_ms > 0, "{goodbye:?}");
        if Transport::ALL[n % 3] != Transport::Sse {
            assert_eq!(peer.wire.close_code(), 4_502);
        }
    }
    drop(peers);
    assert!(server.wait(PATIENCE).unwrap().success(), "{}", server.log());
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut server = Tickwire::start(&["demo", "--steady", "1x10", "--set", "drain.within_ms=600000"]).unwrap();
    // One who does not leave.
    let stubborn = Peer::subscribed(server.address(), Transport::Sse, &["bench.S0"], 0);
    // While it drains, health checks are answered and newcomers refused. Before it drains, they are not.
    server.terminate().unwrap();
    let by = Instant::now() + PATIENCE;
    while Wire::connect(server.address()).ask("GET /readyz", "").status == 200 {
        assert!(Instant::now() < by, "never drains");
    }
    let refused = Wire::upgrade(server.address(), "").err();
    assert!(refused.is_none_or(|response| response.status == 503 && response.code() == "SHUTTING_DOWN"));
    let _ = server.terminate();
    let status = server.wait(PATIENCE).unwrap();
    drop(stubborn);
    // Everyone may have left before the second signal came; what matters is that nothing waits for ten minutes.
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
}

#[test]
fn a_slow_reader_costs_little_and_gets_the_newest() {
    let server = Tickwire::start(&["demo", "--steady", "200x20000"]).unwrap();
    let mut quick = Peer::subscribed(server.address(), Transport::Protobuf, &["bench.*"], 0);
    quick.quote();
    let mut slow: Vec<_> = (0..20).map(|_| Peer::subscribed(server.address(), Transport::Protobuf, &["bench.*"], 0)).collect();
    let before = server.resident_bytes().unwrap();
    // They do not read while the others get many times what sockets could hold.
    let mut bytes = 0;
    while bytes < 64 << 20 {
        let frame = quick.next();
        bytes += frame.updates.len() * 60 * slow.len();
    }
    let grown = server.resident_bytes().unwrap().saturating_sub(before);
    assert!(grown < (slow.len() as u64) * (512 << 10), "20 slow readers cost {grown} bytes");
    for peer in &mut slow {
        let mut told = false;
        // What the sockets held is old; soon comes what is new, told as such.
        let by = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < by, "never catches up");
            let frame = peer.next();
            told |= matches!(&frame.control, Some(Control::Notice(notice)) if notice.kind() == NoticeKind::Slow);
            for update in &frame.updates {
                if let Some(tickwire_proto::v1::update::Body::Quote(quote)) = &update.body {
                    let index: u64 = peer.symbols[&update.id].strip_prefix("bench.S").unwrap().parse().unwrap();
                    if let (Some(last), Some(trades)) = (quote.last, quote.trades) {
                        assert_eq!(last, steady_price(index, trades));
                    }
                }
            }
            let age = quick_age(frame.ts_send_us);
            if told && age < Duration::from_secs(1) {
                break;
            }
        }
    }
}

/// How long ago a frame was written.
fn quick_age(ts_send_us: u64) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.saturating_sub(Duration::from_micros(ts_send_us))
}
