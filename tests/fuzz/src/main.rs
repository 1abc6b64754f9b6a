//! `tickwire-fuzz unpack|pack TARGET FOLDER`: between the committed corpora and the folders that libFuzzer works in.
//! `tickwire-fuzz run TARGET FILE`: one input, as a debugger wants it. `tickwire-fuzz list`: the targets.

use std::path::Path;

use anyhow::{Result, bail};
use tickwire_fuzz::{TARGETS, corpus, target};

#[expect(clippy::print_stdout, reason = "its output is what it is called for")]
fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["list"] => TARGETS.iter().for_each(|target| println!("{}", target.name)),
        ["unpack", name, folder] => println!("{} inputs", corpus::unpack(name, Path::new(folder))?),
        ["pack", name, folder] => println!("{} inputs kept", corpus::pack(name, Path::new(folder))?),
        ["run", name, file] => match target(name) {
            Some(target) => (target.run)(&std::fs::read(file)?),
            None => bail!("no target {name}"),
        },
        _ => bail!("tickwire-fuzz list | unpack TARGET FOLDER | pack TARGET FOLDER | run TARGET FILE"),
    }
    Ok(())
}
