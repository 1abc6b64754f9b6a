//! `cargo xtask bench guard`: the instructions of the tick path, step by step, against the committed baseline.
//!
//! Instructions, and not time: they are the same on a busy machine and on an idle one. Each step of `tests/guard` runs under callgrind
//! in a process of its own, with an empty environment.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::test::cargo;

/// Counts, and fails when a step takes more or less than the baseline says.
///
/// # Errors
/// A build or a step fails, the baseline cannot be read, or a count has left its bound.
pub(crate) fn check(root: &Path) -> Result<()> {
    let path = root.join(BASELINE);
    let text = fs::read_to_string(&path).with_context(|| format!("{} is missing: {UPDATE} writes it", path.display()))?;
    let baseline = Counts::parse(&text).with_context(|| format!("{} is not a baseline: {UPDATE} writes it anew", path.display()))?;
    let counted = count(root)?;
    let bound = baseline.bound(&counted.compiler);
    if bound > SAME_COMPILER {
        crate::say(&format!("ATTENTION: the baseline is of another compiler, so the bound is ±{bound} % and not ±{SAME_COMPILER} %"));
        crate::say(&format!("  baseline: {}", baseline.compiler));
        crate::say(&format!("  here:     {}", counted.compiler));
    }
    let mut strays = 0;
    for (name, now) in &counted.steps {
        let was = baseline.steps.iter().find(|(other, _)| other == name).map(|(_, was)| *was);
        let (verdict, within) = judge(was, *now, bound);
        crate::say(&format!("{now:>9}  {name}: {verdict}"));
        strays += usize::from(!within);
    }
    for (name, _) in baseline.steps.iter().filter(|(name, _)| counted.steps.iter().all(|(other, _)| other != name)) {
        crate::say(&format!("        -  {name}: in the baseline only"));
        strays += 1;
    }
    if strays > 0 {
        bail!("{strays} steps of the tick path left ±{bound} %. If that is meant, commit what {UPDATE} writes, and say why");
    }
    Ok(())
}

/// Counts, and writes the baseline.
///
/// # Errors
/// A build or a step fails, or the baseline cannot be written.
pub(crate) fn update(root: &Path) -> Result<()> {
    let counted = count(root)?;
    fs::write(root.join(BASELINE), counted.to_text()).with_context(|| format!("{BASELINE} cannot be written"))?;
    crate::say(&format!("wrote {BASELINE}, {} steps", counted.steps.len()));
    Ok(())
}

/// Instructions per step, and the compiler that made them.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    compiler: String,
    steps: Vec<(String, u64)>,
}

impl Counts {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        let compiler = lines.next().filter(|line| line.starts_with("rustc "))?.to_owned();
        let step = |line: &str| {
            let (count, name) = line.trim().split_once("  ")?;
            Some((name.to_owned(), count.parse().ok()?))
        };
        Some(Self { compiler, steps: lines.map(step).collect::<Option<_>>()? })
    }

    fn to_text(&self) -> String {
        let steps: String = self.steps.iter().map(|(name, count)| format!("{count:>9}  {name}\n")).collect();
        format!("# Instructions of one step of the tick path, written by {UPDATE}.\n{}\n{steps}", self.compiler)
    }

    /// Percent that a count may differ, either way.
    fn bound(&self, compiler: &str) -> u64 {
        if self.compiler == compiler { SAME_COMPILER } else { OTHER_COMPILER }
    }
}

/// What to say of a count, and whether it is within `bound` percent. Fewer instructions are told as well: a baseline that is too high
/// guards nothing.
fn judge(was: Option<u64>, now: u64, bound: u64) -> (String, bool) {
    let Some(was) = was.filter(|was| *was > 0) else { return ("not in the baseline".into(), false) };
    let percent = (now as f64 / was as f64 - 1.0) * 100.0;
    let within = now.abs_diff(was) * 100 <= was * bound;
    (format!("{percent:+.1} % of {was}{}", if within { "" } else { ", OUT OF BOUND" }), within)
}

fn count(root: &Path) -> Result<Counts> {
    setup::ensure(&[setup::VALGRIND])?;
    cargo(root, &["build", "--release", "--package", "tickwire-guard"])?;
    let program = root.join("target/release/tickwire-guard");
    let names = said(Command::new(&program))?.0;
    let steps = names.lines().map(|name| Ok((name.to_owned(), instructions(&program, name)?))).collect::<Result<_>>()?;
    let mut rustc = Command::new("rustc");
    rustc.arg("--version").current_dir(root);
    Ok(Counts { compiler: said(rustc)?.0.trim().to_owned(), steps })
}

/// Instructions of one step, once.
fn instructions(program: &Path, name: &str) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", MEASURED]).arg(program).arg(name);
    // What the environment holds moves the stack, and hash seeds with it.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("GLIBC_TUNABLES", PLAIN_COPIES);
    let (rounds, report) = said(command).with_context(|| format!("step {name:?}"))?;
    let rounds: u64 = rounds.trim().parse().context("the program says how often it took the step")?;
    let collected = report.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    let collected: u64 = collected.filter(|count| *count > 0).context("callgrind says what it collected")?;
    Ok(collected / rounds.max(1))
}

/// Runs a command that must succeed; what it said on its output and beside it.
fn said(mut command: Command) -> Result<(String, String)> {
    let output = command.output().with_context(|| format!("{:?} does not start", command.get_program()))?;
    let [said, beside] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if !output.status.success() {
        bail!("{:?} failed: {}\n{beside}", command.get_program(), output.status);
    }
    Ok((said, beside))
}

const BASELINE: &str = "tests/guard/baseline.txt";
const UPDATE: &str = "`cargo xtask bench guard --update`";
/// The function of `tests/guard` within which callgrind collects.
const MEASURED: &str = "--toggle-collect=tickwire_guard::measured*";
/// Lets glibc copy memory with what every x86-64 processor has: else it picks the code by the machine, and the counts with it.
const PLAIN_COPIES: &str =
    "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX2_Usable,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-SSSE3,-BMI2,-RTM";
/// Percent that a count may differ from the baseline, made by the same compiler.
const SAME_COMPILER: u64 = 3;
/// The same for another compiler, whose optimiser may have learnt or forgotten something.
const OTHER_COMPILER: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_percent_either_way_are_within_the_bound() {
        let within = |now| judge(Some(1_000), now, SAME_COMPILER).1;
        assert_eq!([969, 970, 1_000, 1_030, 1_031].map(within), [false, true, true, true, false]);
        assert!(!judge(None, 1_000, SAME_COMPILER).1, "a step without a baseline is told");
    }

    #[test]
    fn another_compiler_has_a_wider_bound_and_no_free_pass() {
        let counts = Counts { compiler: "rustc 1.95.0".into(), steps: vec![("a, b".into(), 1_000)] };
        assert_eq!((counts.bound("rustc 1.95.0"), counts.bound("rustc 1.96.0")), (3, 10));
        assert!(!judge(Some(1_000), 1_101, counts.bound("rustc 1.96.0")).1);
    }

    #[test]
    fn a_baseline_is_read_as_it_was_written() {
        let counts = Counts { compiler: "rustc 1.95.0".into(), steps: vec![("a, b".into(), 1), ("c".into(), 3_402_866)] };
        assert_eq!(Counts::parse(&counts.to_text()), Some(counts));
        assert_eq!(Counts::parse("nonsense"), None);
    }
}
