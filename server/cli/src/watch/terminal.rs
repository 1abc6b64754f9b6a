//! The live table on a terminal: raw mode, keys, drawing at most twenty times a second.

use std::io::{self, Stdout, Write, stdout};
use std::sync::Once;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{execute, queue};
use tickwire::{Events, State};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::table::{Head, Line, Table, Tone, rates};
use super::{Watched, describe};

/// Shows the table until the user quits or there is nothing left to watch.
pub(super) async fn run(mut watched: Watched, mut events: Events) -> Result<()> {
    let mut screen = Screen::open()?;
    let mut keys = keys();
    let mut terminated = signal(SignalKind::terminate())?;
    let mut tick = tokio::time::interval(FRAME_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut table = Table::default();
    let mut meter = Meter::new(&watched);
    let (mut dirty, mut drawn_at) = (true, Instant::now());
    loop {
        tokio::select! {
            Some(change) = watched.subscription.next() => {
                table.apply(Instant::now(), change);
                dirty = true;
            }
            event = events.next() => {
                let Some(event) = event else { return Ok(()) };
                watched.judge(&event)?;
                if let tickwire::Event::State { state: State::Live, .. } = event {
                    table.message.clear();
                } else if let Some(text) = describe(&event) {
                    table.message = text;
                }
                dirty = true;
            }
            input = keys.recv() => {
                match input.map(|input| command_of(&input)) {
                    None | Some(Command::Quit) => return Ok(()),
                    Some(Command::Scroll(rows)) => table.scroll(rows),
                    Some(Command::Page(pages)) => table.scroll(pages * screen.page()?),
                    Some(Command::Redraw) => screen.clear()?,
                    Some(Command::Nothing) => {}
                }
                dirty = true;
            }
            _ = terminated.recv() => return Ok(()),
            _ = tick.tick() => {
                // Ages grow without a change.
                if dirty || drawn_at.elapsed() > AGES_EVERY {
                    meter.read(&watched);
                    screen.draw(&watched, &table, &meter)?;
                    (dirty, drawn_at) = (false, Instant::now());
                }
            }
        }
    }
}

/// The terminal while it is ours. Dropping it gives it back as it was.
struct Screen {
    out: Stdout,
}

impl Screen {
    fn open() -> Result<Self> {
        // A panic says its last words on the screen that the user knows.
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
            }));
        });
        terminal::enable_raw_mode()?;
        let mut screen = Self { out: stdout() };
        execute!(screen.out, EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    fn draw(&mut self, watched: &Watched, table: &Table, meter: &Meter) -> Result<()> {
        let (width, height) = terminal::size()?;
        let feeds = watched.client.feeds();
        let head = Head {
            url: &watched.url,
            state: watched.client.state(),
            feeds: &feeds,
            records_per_s: meter.records_per_s,
            merged_per_s: meter.merged_per_s,
        };
        let lines = table.render(Instant::now(), &head, |one| watched.client.age(one), width.into(), height.into());
        // One write for the whole frame, so that nothing flickers.
        let mut frame = Vec::new();
        for (y, line) in (0..).zip(&lines) {
            queue!(frame, MoveTo(0, y))?;
            put(&mut frame, line)?;
            queue!(frame, Clear(ClearType::UntilNewLine))?;
        }
        self.out.write_all(&frame)?;
        self.out.flush()?;
        Ok(())
    }

    fn clear(&mut self) -> Result<()> {
        execute!(self.out, Clear(ClearType::All))?;
        Ok(())
    }

    /// Rows that a page key moves.
    fn page(&self) -> Result<isize> {
        Ok(isize::from(terminal::size()?.1 as i16).saturating_sub(5).max(1))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Counters a second apart.
struct Meter {
    stats: tickwire::Stats,
    read_at: Instant,
    records_per_s: u64,
    merged_per_s: u64,
}

impl Meter {
    fn new(watched: &Watched) -> Self {
        Self { stats: watched.client.stats(), read_at: Instant::now(), records_per_s: 0, merged_per_s: 0 }
    }

    fn read(&mut self, watched: &Watched) {
        if self.read_at.elapsed() >= METER_EVERY {
            let stats = watched.client.stats();
            (self.records_per_s, self.merged_per_s) = rates(self.stats, stats, self.read_at.elapsed());
            (self.stats, self.read_at) = (stats, Instant::now());
        }
    }
}

/// What a key means.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Nothing,
    Quit,
    Redraw,
    Scroll(isize),
    Page(isize),
}

fn command_of(input: &Input) -> Command {
    let Input::Key(KeyEvent { code, modifiers, kind, .. }) = input else {
        return if matches!(input, Input::Resize(..)) { Command::Redraw } else { Command::Nothing };
    };
    match (code, modifiers) {
        _ if *kind == KeyEventKind::Release => Command::Nothing,
        // In raw mode Ctrl-C is a key like others.
        (KeyCode::Char('c' | 'd'), &KeyModifiers::CONTROL) | (KeyCode::Char('q') | KeyCode::Esc, _) => Command::Quit,
        (KeyCode::Char('l'), &KeyModifiers::CONTROL) => Command::Redraw,
        (KeyCode::Up | KeyCode::Char('k'), _) => Command::Scroll(-1),
        (KeyCode::Down | KeyCode::Char('j'), _) => Command::Scroll(1),
        (KeyCode::PageUp, _) => Command::Page(-1),
        (KeyCode::PageDown | KeyCode::Char(' '), _) => Command::Page(1),
        (KeyCode::Home, _) => Command::Scroll(-ROWS_FAR),
        (KeyCode::End, _) => Command::Scroll(ROWS_FAR),
        _ => Command::Nothing,
    }
}

/// Keys and resizes. Reading a terminal blocks, so a thread does it; it ends with the program, or with its reader.
fn keys() -> mpsc::Receiver<Input> {
    let (tell, told) = mpsc::channel(KEYS_WAITING_MAX);
    std::thread::spawn(move || {
        while !tell.is_closed() {
            let input = match event::poll(KEYS_EVERY) {
                Ok(true) => event::read(),
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            // Keys wait for the table, which is never busy for long.
            if input.is_err() || input.is_ok_and(|input| tell.blocking_send(input).is_err()) {
                break;
            }
        }
    });
    told
}

fn put(frame: &mut Vec<u8>, line: &Line) -> io::Result<()> {
    for (tone, text) in line {
        match tone {
            Tone::Plain => {}
            Tone::Bold => queue!(frame, SetAttribute(Attribute::Bold))?,
            Tone::Dim => queue!(frame, SetAttribute(Attribute::Dim))?,
            Tone::Up => queue!(frame, SetForegroundColor(Color::Green))?,
            Tone::Down => queue!(frame, SetForegroundColor(Color::Red))?,
            Tone::Alert => queue!(frame, SetForegroundColor(Color::Yellow))?,
        }
        queue!(frame, Print(text), SetAttribute(Attribute::Reset), ResetColor)?;
    }
    Ok(())
}

/// Leaves the alternate screen and raw mode. Doing so twice does no harm; an error has nobody left to go to.
fn give_back() {
    let _ = execute!(stdout(), Show, LeaveAlternateScreen);
    let _ = terminal::disable_raw_mode();
}

/// At most one frame in this time; what changes in between is drawn together.
const FRAME_EVERY: Duration = Duration::from_millis(50);
/// Without any change a frame after this time, for the ages.
const AGES_EVERY: Duration = Duration::from_millis(500);
/// How long the rates are averaged.
const METER_EVERY: Duration = Duration::from_secs(1);
/// How often the key thread looks whether it is still needed.
const KEYS_EVERY: Duration = Duration::from_millis(200);
/// Keys that wait. More stay in the terminal's own buffer.
const KEYS_WAITING_MAX: usize = 64;
/// More rows than any table has.
const ROWS_FAR: isize = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_people_expect() {
        let key = |code, modifiers| command_of(&Input::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Command::Quit);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), Command::Nothing);
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Command::Quit);
        assert_eq!(key(KeyCode::Down, KeyModifiers::NONE), Command::Scroll(1));
        assert_eq!(command_of(&Input::Resize(80, 24)), Command::Redraw);
    }
}
