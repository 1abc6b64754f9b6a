//! Mappings of foreign JSON: whatever an operator writes in one is a mapping or a problem, and whatever a feed then sends keeps what
//! engines rely on.

use tickwire_core::Batch;
use tickwire_core::intake::{Intake, IntakeConfig, Mapping, MappingSpec, Message, TimeUnit};

use crate::intake::{self, Book};
use crate::tape::Tape;

/// A mapping, of usual pieces and others, then messages for it.
pub(crate) fn run(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let spec = spec(&mut tape);
    match Mapping::new(&spec) {
        Ok(mapping) => read(mapping, &mut tape),
        Err(problem) => assert!(!problem.field.is_empty() && !problem.text.is_empty() && !problem.to_string().contains('\n'), "{problem}"),
    }
}

fn read(mapping: Mapping, tape: &mut Tape<'_>) {
    let mut intake = Intake::new(IntakeConfig { mappings: vec![mapping], ..intake::config() });
    let mut book = Book::default();
    for seq in 1..=MESSAGES_MAX {
        if tape.is_over() {
            break;
        }
        let routing_key = tape.pick(&["theirs.A", "theirs.A.b", "stock.A", "soccer.theirs.x"]);
        // The last message has no length of its own, so that a whole body can be a seed.
        let body = if tape.flag() { tape.rest() } else { tape.piece() };
        let mut batch = Batch::default();
        intake.take(Message { seq, routing_key, content_type: Some("application/json"), body }, &mut batch);
        book.take(seq, &batch);
    }
}

fn spec(tape: &mut Tape<'_>) -> MappingSpec {
    let text = |tape: &mut Tape<'_>, usual: &[&str]| match tape.flag() {
        true => String::from_utf8_lossy(tape.piece()).into_owned(),
        false => tape.pick(usual).to_owned(),
    };
    let texts = |tape: &mut Tape<'_>, usual: &[&str]| (0..tape.below(6)).map(|_| text(tape, usual)).collect();
    MappingSpec {
        pattern: text(tape, &["#", "theirs.#", "theirs.*", "soccer.theirs.#"]),
        each: text(tape, &["", "/d", "/d/0/e", "/", "/a~1b"]),
        when: texts(tape, &["/t=q", "/t=1", "/n=null", "/b=true"]),
        symbol: text(tape, &["", "stock.{/s}", "{key}", "{key}.{/s}", "x.{/d/0}"]),
        body: text(tape, &["quote", "odds", "score", "bar", "trade", "status"]),
        fields: texts(tape, FIELDS),
        values: texts(tape, &["side:b=BUY", "phase:H=HALTED", "outcomes.active:1=true", "bid:-=0", "final:yes=true"]),
        time: text(tape, &["", "/at", "/d/at"]),
        time_unit: TimeUnit::named(tape.pick(&TimeUnit::NAMES)).expect("a unit"),
        image: tape.flag(),
    }
}

/// Fields of every kind of body.
const FIELDS: &[&str] = &[
    "bid=/b",
    "ask=/a",
    "last=/l",
    "volume=/v",
    "price=/p",
    "quantity=/q",
    "side=/side",
    "trade_id=/id",
    "bust=/bust",
    "phase=/t",
    "reason=/r",
    "resume_us=/at",
    "home=/h",
    "away=/g",
    "extra.corners=/c",
    "final=/f",
    "start_us=/at",
    "length_s=/n",
    "close=/l",
    "line=/line",
    "outcomes=/o",
    "outcomes.id=/id",
    "outcomes.back=/b",
    "outcomes.active=/x",
    "outcomes.result=/r",
];
/// Messages of one input. Further bytes are left.
const MESSAGES_MAX: u64 = 16;
