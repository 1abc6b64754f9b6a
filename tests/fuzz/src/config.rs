//! Configuration files: whatever is written in one, loading ends with settings or with problems.

use std::path::PathBuf;

use tickwire_server::config::{Config, Overrides};

/// The text of a file.
pub(crate) fn run(bytes: &[u8]) {
    // Files that a configuration names are read; those of the machine are not to be tried out.
    if bytes.contains(&b'/') {
        return;
    }
    let path = path();
    std::fs::write(&path, bytes).expect("the temporary folder takes files");
    let overrides = Overrides { file: Some(path), ..Overrides::default() };
    match Config::load(&overrides, &[]) {
        Ok(_) => {
            let text = Config::print(&overrides, &[]).expect("what loads prints");
            assert!(toml::from_str::<toml::Table>(&text).is_ok(), "what is printed is TOML: {text}");
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| !problem.to_string().contains('\n')), "a problem is one line: {problems:?}");
        }
    }
}

/// One file for each thread, written anew with each input.
fn path() -> PathBuf {
    let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "");
    std::env::temp_dir().join(format!("tickwire-fuzz-{}-{thread}.toml", std::process::id()))
}
