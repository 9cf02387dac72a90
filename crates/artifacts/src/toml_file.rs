//! Files that people write: TOML whose faults are told in one line, with the number of their line.

use anyhow::{Result, anyhow};
use serde::de::DeserializeOwned;

/// What the text of a TOML file describes. A byte order mark, which some editors write, is left out.
///
/// # Errors
/// Returns an error with the number of the line if it is not valid TOML, or a field is unknown, missing or of another type.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    let text = text.trim_start_matches('\u{FEFF}');
    toml::from_str(text).map_err(|error| {
        // the text of the error itself has several lines
        let before = &text[..error.span().map_or(0, |span| span.start)];
        let line = before.matches('\n').count() + 1;
        let message = error.message().trim().replace('\n', ", ");
        anyhow!("line {line}: {message}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers = std::collections::BTreeMap<String, u8>;

    #[test]
    fn faults_have_a_line() {
        for (text, line) in [
            ("a = 1\nb = 300", "line 2: "),
            ("a = 1\nb = \"c\"", "line 2: "),
            ("\n\na = 1\na = 2", "line 4: "),
            ("a = 1\nb", "line 2: "),
            ("\u{FEFF}a = \n", "line 1: "),
        ] {
            let error = parse::<Numbers>(text).expect_err(text).to_string();
            assert!(
                error.starts_with(line) && !error.contains('\n'),
                "{error:?}"
            );
        }
        assert_eq!(
            parse::<Numbers>("\u{FEFF}a = 1").map(|n| n.len()).ok(),
            Some(1)
        );
    }
}
