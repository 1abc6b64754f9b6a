//! Credit over a link in front of a client, without an engine.

use alloc::vec::Vec;

use super::*;

/// A link in front of a client that reports what it got, at most every 50 ms.
struct Link {
    credit: Credit,
    now: Moment,
    /// Bytes a millisecond.
    rate: u64,
    /// Milliseconds, both ways together.
    trip: u64,
    cseq: u64,
    /// Frames on their way: number, bytes left.
    queue: VecDeque<(u64, u64)>,
    reports: VecDeque<(Moment, u64)>,
    got: u64,
    told: u64,
    told_at: Moment,
}

impl Link {
    fn new(rate: u64, trip: u64) -> Self {
        Self {
            credit: Credit::new(Moment::ZERO, 4 << 20),
            now: Moment::ZERO,
            rate,
            trip,
            cseq: 0,
            queue: VecDeque::new(),
            reports: VecDeque::new(),
            got: 0,
            told: 0,
            told_at: Moment::ZERO,
        }
    }

    /// One millisecond in which the feed has `bytes` for it; `u64::MAX`: always more than fits. Returns bytes that the link carried.
    fn tick(&mut self, bytes: u64) -> u64 {
        let mut wanted = bytes;
        while wanted > 0 && self.credit.room() > 0 {
            let frame = wanted.min(u64::from(self.credit.room())).min(self.credit.frame_bytes_max() as u64);
            self.cseq += 1;
            self.credit.sent(self.now, self.cseq, frame as usize);
            self.queue.push_back((self.cseq, frame));
            wanted -= frame;
        }
        self.credit.settle(self.now, wanted > 0);
        self.now = self.now + Duration::from_millis(1);
        let mut free = self.rate;
        while let Some((cseq, left)) = self.queue.front_mut().filter(|_| free > 0) {
            let taken = free.min(*left);
            (free, *left) = (free - taken, *left - taken);
            if *left == 0 {
                self.got = *cseq;
                self.queue.pop_front();
            }
        }
        if self.got > self.told && self.now.since(self.told_at) >= TRIP_MIN {
            (self.told, self.told_at) = (self.got, self.now);
            self.reports.push_back((self.now + Duration::from_millis(self.trip), self.got));
        }
        while let Some((_, cseq)) = self.reports.front().copied().filter(|(at, _)| *at <= self.now) {
            self.reports.pop_front();
            assert_eq!(self.credit.report(self.now, cseq, self.cseq), Report::Progress);
            self.credit.resume();
        }
        self.rate - free
    }

    /// A control is written, whatever room there is.
    fn control(&mut self, bytes: u64) {
        self.cseq += 1;
        self.credit.sent(self.now, self.cseq, bytes as usize);
        self.queue.push_back((self.cseq, bytes));
    }

    fn overloaded(&mut self, millis: u64) -> u64 {
        (0..millis).map(|_| self.tick(u64::MAX)).sum()
    }

    /// Milliseconds that the window's bytes take on this link.
    fn window_ms(&self) -> u64 {
        u64::from(self.credit.window()) / self.rate
    }
}

#[test]
fn the_window_follows_every_link_under_load() {
    for rate in [27, 50, 200, 1_000, 5_000, 20_000] {
        for trip in [0, 5, 40, 100, 300] {
            let mut link = Link::new(rate, trip);
            link.overloaded(5_000);
            let carried = link.overloaded(25_000);
            let (window, full) = (link.window_ms(), link.credit.window() == 4 << 20);
            assert!(full || carried >= rate * 25_000 * 95 / 100, "{rate} B/ms, {trip} ms: carried {carried}");
            assert!(window <= 200 + trip * 7 / 4 || link.credit.window() == WINDOW_MIN, "{rate} B/ms, {trip} ms: a window of {window} ms");
            assert!(window >= 100 + trip || full, "{rate} B/ms, {trip} ms: a window of {window} ms");
        }
    }
}

#[test]
fn a_feed_that_has_little_to_say_teaches_nothing_about_the_link() {
    let mut link = Link::new(10_000, 10);
    let first = link.credit.window();
    (0..60_000).for_each(|ms| _ = link.tick(if ms % 100 == 0 { 500 } else { 0 }));
    assert!(link.credit.window() >= first * 99 / 100, "it shrank to {}", link.credit.window());
}

#[test]
fn a_link_that_fades_is_found_out_before_the_window_is_full() {
    let mut link = Link::new(1_000, 20);
    link.overloaded(5_000);
    assert!(link.credit.window() > 100_000);
    link.rate = 50;
    // 60 bytes a millisecond: more than it takes now, and far below what it took.
    (0..6_000).for_each(|_| _ = link.tick(60));
    assert!(link.window_ms() <= 250, "{} ms", link.window_ms());
    link.rate = 1_000;
    link.overloaded(2_000);
    assert!(link.credit.window() > 100_000, "it grows again: {}", link.credit.window());
}

#[test]
fn what_a_fast_link_loses_at_the_start_is_little() {
    let mut link = Link::new(20_000, 1);
    let carried = link.overloaded(300);
    assert!(carried >= 1_000_000, "{carried} bytes in 300 ms");
    assert!(link.overloaded(1_000) >= 19_000_000);
}

#[test]
fn controls_that_are_always_under_way_keep_nothing_waiting_for_an_empty_way() {
    let mut link = Link::new(27, 40);
    while !matches!(link.credit.probe, Probe::Emptying { to: 0, .. }) {
        link.overloaded(1);
        assert!(link.now < Moment::from_millis(60_000), "now and then the way is emptied");
    }
    let mut carried = 0;
    for ms in 0..5_000 {
        if ms % 20 == 0 {
            link.control(60);
        }
        carried += link.tick(u64::MAX);
    }
    assert!(carried > 27 * 4_000, "{carried} bytes in five seconds");
}

#[test]
fn reports_that_say_nothing_new_are_ignored() {
    let mut credit = Credit::new(Moment::ZERO, 1 << 20);
    (1..=10).for_each(|cseq| credit.sent(Moment::ZERO, cseq, 1_000));
    let (room, later) = (credit.room(), Moment::from_millis(30));
    for bogus in [11, u64::MAX, 0] {
        assert_eq!(credit.report(later, bogus, 10), Report::Ignored);
        assert_eq!(credit.room(), room);
    }
    assert_eq!(credit.report(later, 4, 10), Report::Progress);
    assert_eq!(credit.report(later, 4, 10), Report::Ignored);
    assert_eq!(credit.report(later, 3, 10), Report::Ignored);
    assert_eq!(credit.sent - credit.acked, 6_000);
}

#[test]
fn frames_under_way_are_bounded_and_no_byte_is_forgotten() {
    let mut credit = Credit::new(Moment::ZERO, 1 << 20);
    for cseq in 1..=10_000 {
        credit.sent(Moment::ZERO, cseq, 10);
        assert!(credit.flight.len() <= FLIGHT_MAX);
    }
    assert!(credit.flight.iter().map(|flight| flight.cseq).collect::<Vec<_>>().is_sorted());
    assert_eq!(credit.report(Moment::from_millis(30), 10_000, 10_000), Report::Progress);
    assert_eq!((credit.acked, credit.flight.len()), (100_000, 0));
}

#[test]
fn a_client_is_stalled_only_while_something_is_under_way() {
    let mut credit = Credit::new(Moment::ZERO, 1 << 20);
    let stalled_max = Duration::from_secs(30);
    assert_eq!(credit.stalled_at(stalled_max), None);
    credit.sent(Moment::from_millis(100), 1, 10);
    credit.sent(Moment::from_millis(200), 2, 10);
    assert_eq!(credit.stalled_at(stalled_max), Some(Moment::from_millis(30_100)));
    credit.report(Moment::from_millis(300), 1, 2);
    assert_eq!(credit.stalled_at(stalled_max), Some(Moment::from_millis(30_300)));
    credit.report(Moment::from_millis(400), 2, 2);
    assert_eq!(credit.stalled_at(stalled_max), None);
}

#[test]
fn a_watched_client_at_rest_has_nothing_under_way_and_never_stalls() {
    let mut credit = Credit::watched(Moment::ZERO, 1 << 20);
    let stalled_max = Duration::from_secs(30);
    for beat in 1..=20 {
        credit.sent(Moment::from_millis(5_000 * beat), beat, 150);
        assert_eq!((credit.room(), credit.flight.capacity()), (WINDOW_FIRST, 0));
    }
    // What comes soon after is followed, and so is what is large.
    credit.sent(Moment::from_millis(100_500), 21, 150);
    assert_eq!(credit.room(), WINDOW_FIRST - 150);
    assert_eq!(credit.stalled_at(stalled_max), None, "nothing waits");
    assert_eq!(credit.report(Moment::from_millis(101_000), 21, 21), Report::Progress);
    credit.sent(Moment::from_millis(200_000), 22, 1 << 20);
    assert_eq!(credit.room(), 0);
    credit.settle(Moment::from_millis(200_000), true);
    assert_eq!(credit.stalled_at(stalled_max), Some(Moment::from_millis(230_000)));
}

#[test]
fn it_is_small() {
    assert!(size_of::<Credit>() <= 168, "{} bytes", size_of::<Credit>());
}
