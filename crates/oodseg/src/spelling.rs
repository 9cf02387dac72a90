//! Command lines of stages from before some of their flags became subcommands.

use std::ffi::OsString;

/// Name of the only stage that has any.
const SEGMENT_METRICS: &str = "segment-metrics";

/// `arguments`, of which the first is the program, with the flags that the stages have now; `None` if they have these already.
pub(crate) fn translate(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let [program, stage, ..] = arguments else {
        return None;
    };
    if stage != SEGMENT_METRICS {
        return None;
    }
    let translated = segment_metrics::old_spelling::translate(&arguments[1..])?;
    Some(std::iter::once(program.clone()).chain(translated).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<&str>) {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let found = translate(&arguments).map(|found| found.join(" ".as_ref()));
        assert_eq!(found.as_deref(), expected.map(AsRef::as_ref), "{line}");
    }

    #[test]
    fn only_segments_have_an_old_spelling() {
        check(
            "x segment-metrics --merge a,b --output o",
            Some("x segment-metrics merge --output o a b"),
        );
        for line in ["x", "x segment-metrics", "x meta-clf --merge a,b"] {
            check(line, None);
        }
    }
}
