//! Command lines from before `merge` was a subcommand.

use std::ffi::OsString;

const FLAG: &str = "--merge";

/// Turns `--merge DIR,DIR,...` among `arguments`, of which the first is the program, into the subcommand `merge` with the same
/// folders. All others stay, so the subcommand refuses what it does not take. Returns `None` if there is no `--merge`.
pub fn translate(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let at = arguments.iter().position(|argument| {
        let argument = argument.to_string_lossy();
        argument == FLAG || argument.starts_with("--merge=")
    })?;
    let argument = arguments[at].to_string_lossy().into_owned();
    let (folders, n_used) = match argument.split_once('=') {
        Some((_, folders)) => (folders.to_owned(), 1),
        None => (arguments.get(at + 1)?.to_str()?.to_owned(), 2),
    };
    let mut translated = vec![arguments[0].clone(), "merge".into()];
    translated.extend_from_slice(&arguments[1..at]);
    translated.extend_from_slice(&arguments[at + n_used..]);
    translated.extend(folders.split(',').map(OsString::from));
    Some(translated)
}

/// Tells the user how the flag is spelled now; logging must be set up.
pub fn warn() {
    tracing::warn!("--merge is a subcommand now: segment-metrics merge --output DIR DIR...");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<&str>) {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let translated = translate(&arguments).map(|t| t.join(" ".as_ref()));
        assert_eq!(translated.as_deref(), expected.map(AsRef::as_ref), "{line}");
    }

    #[test]
    fn the_flag_becomes_the_subcommand() {
        check("x --merge a,b --output o", Some("x merge --output o a b"));
        check("x -q --output o --merge=a", Some("x merge -q --output o a"));
        check("x --logits l --output o", None);
        check("x merge --output o a", None);
        check("x --merge", None);
    }
}
