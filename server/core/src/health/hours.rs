//! When a feed trades: sessions of each week in a time zone, and days that are different.
//!
//! A session is `Mon-Fri 09:30-16:00`; one that ends at or before its beginning ends on the next day (`Sun-Thu 18:00-17:00`), and
//! `24:00` is the end of a day. A day that is different is `2026-12-25`, without any session, or `2026-11-27 09:30-13:00`. A session belongs
//! to the day on which it begins. Where a clock is put back or forward, a session begins and ends by the clock on the wall.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use thiserror::Error;

/// The hours of one feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradingHours {
    zone: TimeZone,
    sessions: Vec<(Weekday, Session)>,
    /// Instead of the sessions of their weekday; several of one day are all its sessions.
    different: Vec<(Date, Option<Session>)>,
}

/// Minutes after the midnight at which its day begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    opens: i64,
    closes: i64,
}

/// Whether a market is open, and how long that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// Inside of a session.
    pub is_open: bool,
    /// When to look again, microseconds since 1970 UTC. A market that is closed opens then, if `None` not within [`DAYS_AHEAD`] days.
    pub until_us: Option<u64>,
}

/// A text that says no hours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} {problem}")]
pub struct HoursError {
    /// What was written.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl TradingHours {
    /// The sessions of every week, and the days that are different.
    ///
    /// # Errors
    /// One of them is not of its form, or there are too many.
    pub fn parse(sessions: &[String], different: &[String], zone: TimeZone) -> Result<Self, HoursError> {
        let wrong = |text: &str, problem| HoursError { text: text.chars().take(QUOTED_CHARS_MAX).collect(), problem };
        let mut hours = Self { zone, sessions: Vec::new(), different: Vec::new() };
        for text in sessions {
            let parsed = text.trim().split_once(' ').and_then(|(days, times)| Some((weekdays(days)?, session(times)?)));
            let (days, session) = parsed.ok_or_else(|| wrong(text, "is not of the form Mon-Fri 09:30-16:00"))?;
            hours.sessions.extend(days.into_iter().map(|day| (day, session)));
        }
        for text in different {
            let (day, times) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
            let date = day.parse().map_err(|_| wrong(text, "is not of the form 2026-12-25 or 2026-11-27 09:30-13:00"))?;
            let session = match times {
                "" => None,
                times => Some(session(times).ok_or_else(|| wrong(text, "is not of the form 2026-12-25 or 2026-11-27 09:30-13:00"))?),
            };
            hours.different.push((date, session));
        }
        if hours.sessions.len() > SESSIONS_MAX || hours.different.len() > DIFFERENT_MAX {
            return Err(wrong("", "is one of more than 64 sessions of weekdays or 1024 days"));
        }
        Ok(hours)
    }

    /// What holds at a time. Costs a look at the sessions of some days, so ask again only when the answer says so.
    pub fn at(&self, unix_us: u64) -> Hours {
        let unknown = Hours { is_open: true, until_us: None };
        let Some(now) = i64::try_from(unix_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok()) else { return unknown };
        let today = self.zone.to_datetime(now).date();
        let mut opens_us: Option<u64> = None;
        for ahead in -1..=DAYS_AHEAD {
            let Ok(day) = today.checked_add(Span::new().days(ahead)) else { break };
            for session in self.sessions_of(day) {
                let Some((opens, closes)) = self.times_us(day, session) else { continue };
                if (opens..closes).contains(&unix_us) {
                    return Hours { is_open: true, until_us: Some(closes) };
                }
                if opens > unix_us {
                    opens_us = Some(opens_us.map_or(opens, |earlier| earlier.min(opens)));
                }
            }
            // Tomorrow's sessions begin later than today's.
            if opens_us.is_some() {
                break;
            }
        }
        Hours { is_open: false, until_us: opens_us }
    }

    fn sessions_of(&self, day: Date) -> Vec<Session> {
        let is_different = self.different.iter().any(|(date, _)| *date == day);
        if is_different {
            return self.different.iter().filter(|(date, _)| *date == day).filter_map(|(_, session)| *session).collect();
        }
        self.sessions.iter().filter(|(weekday, _)| *weekday == day.weekday()).map(|(_, session)| *session).collect()
    }

    /// When a session of `day` begins and ends.
    fn times_us(&self, day: Date, session: Session) -> Option<(u64, u64)> {
        let at = |minutes: i64| {
            let day = day.checked_add(Span::new().days(minutes / DAY_MINUTES)).ok()?;
            let (hour, minute) = (minutes % DAY_MINUTES / 60, minutes % 60);
            let wall = day.at(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0);
            u64::try_from(self.zone.to_timestamp(wall).ok()?.as_microsecond()).ok()
        };
        Some((at(session.opens)?, at(session.closes)?))
    }
}

/// A time for people.
pub(super) fn shown(unix_us: u64) -> String {
    let time = i64::try_from(unix_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    time.map_or_else(|| format!("{unix_us} µs"), |time| format!("{time}"))
}

/// `Mon`, `Mon-Fri`, `Mon+Wed`, `Sat-Mon` or `daily`.
fn weekdays(text: &str) -> Option<Vec<Weekday>> {
    if text == "daily" {
        return Some(WEEK.map(|(_, day)| day).to_vec());
    }
    let mut days = Vec::new();
    for part in text.split('+') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let place = |name: &str| WEEK.iter().position(|(known, _)| *known == name);
        let (first, last) = (place(first)?, place(last)?);
        let count = (last + WEEK.len() - first) % WEEK.len() + 1;
        days.extend((first..first + count).map(|at| WEEK[at % WEEK.len()].1));
    }
    Some(days)
}

/// `09:30-16:00`.
fn session(text: &str) -> Option<Session> {
    let (opens, closes) = text.trim().split_once('-')?;
    let (opens, closes) = (minutes(opens)?, minutes(closes)?);
    let closes = if closes <= opens { closes + DAY_MINUTES } else { closes };
    (opens < DAY_MINUTES).then_some(Session { opens, closes })
}

fn minutes(text: &str) -> Option<i64> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<i64>().ok())?;
    let (hour, minute) = (number(hour)?, number(minute)?);
    (minute < 60 && (hour < 24 || (hour == 24 && minute == 0))).then_some(hour * 60 + minute)
}

const WEEK: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];
const DAY_MINUTES: i64 = 24 * 60;
/// How far the next opening is looked for. A market that is closed for longer is looked at again.
pub const DAYS_AHEAD: i64 = 15;
/// Sessions of weekdays: nine a day.
const SESSIONS_MAX: usize = 64;
/// Days that are different: the holidays of a century.
const DIFFERENT_MAX: usize = 1_024;
/// Characters of a foreign text in an error.
const QUOTED_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn hours(sessions: &[&str], different: &[&str]) -> Result<TradingHours, HoursError> {
        let own = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        // New York, by its rules since 2007.
        TradingHours::parse(&own(sessions), &own(different), TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap())
    }

    /// `open until …` or `closed until …`.
    fn at(hours: &TradingHours, time: &str) -> String {
        let time: Timestamp = time.parse().unwrap();
        let Hours { is_open, until_us } = hours.at(u64::try_from(time.as_microsecond()).unwrap());
        format!("{} until {}", if is_open { "open" } else { "closed" }, until_us.map_or("some day".to_string(), shown))
    }

    #[test]
    fn sessions_follow_the_clock_on_the_wall() {
        let nyse = hours(&["Mon-Fri 09:30-16:00"], &["2026-12-25", "2026-11-27 09:30-13:00"]).unwrap();
        for (time, expected) in [
            // A Tuesday in winter, and one in summer.
            ("2026-01-06T14:29:59Z", "closed until 2026-01-06T14:30:00Z"),
            ("2026-01-06T14:30:00Z", "open until 2026-01-06T21:00:00Z"),
            ("2026-01-06T21:00:00Z", "closed until 2026-01-07T14:30:00Z"),
            ("2026-07-07T13:30:00Z", "open until 2026-07-07T20:00:00Z"),
            // The clock goes forward on Sunday 8 March.
            ("2026-03-06T22:00:00Z", "closed until 2026-03-09T13:30:00Z"),
            // Christmas is a Friday, and the day after Thanksgiving is short.
            ("2026-12-24T22:00:00Z", "closed until 2026-12-28T14:30:00Z"),
            ("2026-11-27T17:59:59Z", "open until 2026-11-27T18:00:00Z"),
            ("2026-11-27T18:00:00Z", "closed until 2026-11-30T14:30:00Z"),
        ] {
            assert_eq!(at(&nyse, time), expected, "{time}");
        }
    }

    #[test]
    fn sessions_may_go_on_over_midnight() {
        let futures = hours(&["Sun-Thu 18:00-17:00"], &["2026-07-02"]).unwrap();
        assert_eq!(at(&futures, "2026-06-30T03:00:00Z"), "open until 2026-06-30T21:00:00Z");
        assert_eq!(at(&futures, "2026-06-30T21:30:00Z"), "closed until 2026-06-30T22:00:00Z");
        assert_eq!(at(&futures, "2026-06-26T23:00:00Z"), "closed until 2026-06-28T22:00:00Z", "Friday evening");
        assert_eq!(at(&futures, "2026-07-02T23:00:00Z"), "closed until 2026-07-05T22:00:00Z", "a session belongs to its first day");
        let always = hours(&["daily 00:00-24:00"], &[]).unwrap();
        assert_eq!(at(&always, "2026-06-30T03:59:59Z"), "open until 2026-06-30T04:00:00Z");
        assert_eq!(at(&always, "2026-06-30T04:00:00Z"), "open until 2026-07-01T04:00:00Z");
        let never = hours(&[], &[]).unwrap();
        assert_eq!(at(&never, "2026-06-30T04:00:00Z"), "closed until some day");
    }

    #[test]
    fn two_sessions_a_day_and_days_in_any_order() {
        let tokyo = hours(&["Sat-Mon+Thu 09:00-11:30", "Thu 12:30-15:00"], &["2026-06-27 10:00-11:00", "2026-06-27 12:00-13:00"]).unwrap();
        assert_eq!(at(&tokyo, "2026-06-25T15:45:00Z"), "closed until 2026-06-25T16:30:00Z", "lunch on a Thursday");
        assert_eq!(at(&tokyo, "2026-06-27T15:30:00Z"), "closed until 2026-06-27T16:00:00Z", "between the sessions of a different Saturday");
        assert_eq!(at(&tokyo, "2026-06-29T15:30:00Z"), "closed until 2026-07-02T13:00:00Z", "Monday noon: Thursday is next");
    }

    #[test]
    fn what_says_no_hours_is_told() {
        for text in ["", "Mon", "Mon 9:30-16:00", "Mon 09:30", "Mon 24:00-25:00", "Mon 09:60-10:00", "Noon 09:00-10:00", "Mon 24:00-02:00"]
        {
            assert_eq!(hours(&[text], &[]).unwrap_err().problem, "is not of the form Mon-Fri 09:30-16:00", "{text}");
        }
        for text in ["", "2026-02-30", "tomorrow", "2026-01-01 noon"] {
            assert!(hours(&[], &[text]).is_err(), "{text}");
        }
        assert!(hours(&["daily 00:00-01:00"; 10], &[]).is_err());
        assert!(hours(&["Mon-Fri 09:30-16:00"], &[]).unwrap().at(u64::MAX).is_open, "a time that is none closes nothing");
    }
}
