//! Numbers and names as texts of the report.

use crate::tables::text::UNDEFINED;

/// What a false positive is called in charts.
pub(super) const FALSE_ALARMS: &str = "false alarms (FP)";

/// What a false negative is called in charts.
pub(super) const MISSED_OBJECTS: &str = "missed objects (FN)";

/// A share in [0, 1] in percent with this number of decimals; `–` if it is not defined.
pub(super) fn percent(share: Option<f64>, decimals: usize) -> String {
    share.map_or(UNDEFINED.to_owned(), |s| {
        format!("{:.decimals$} %", 100.0 * s)
    })
}

/// A share in [0, 1] in percent, with so many decimals that a small share does not become 0.
pub(super) fn share(share: f64) -> String {
    let is_small = share > 0.0 && 100.0 * share < 0.1;
    percent(Some(share), if is_small { 3 } else { 1 })
}

/// A count with all its digits below a million, and rounded to a tenth of a million above.
pub(super) fn millions(n: u64) -> String {
    if n < 1_000_000 {
        return grouped(n);
    }
    format!("{:.1} million", n as f64 / 1e6)
}

/// A count with a thin space between groups of three digits.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `text` in lower case, with `_` in place of everything but letters and digits of ASCII: it can be part of a file name or the
/// target of a link.
pub(super) fn slug(text: &str) -> String {
    text.chars().map(slug_char).collect()
}

fn slug_char(c: char) -> char {
    if c.is_ascii_alphanumeric() {
        c.to_ascii_lowercase()
    } else {
        '_'
    }
}

/// At most 20 characters of a name, because longer names leave no room for the chart.
pub(super) fn shortened(name: &str) -> String {
    if name.chars().count() > 20 {
        let start: String = name.chars().take(19).collect();
        format!("{start}…")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(
            (grouped(12), grouped(123)),
            ("12".to_owned(), "123".to_owned())
        );
        assert_eq!(
            (share(0.000_12), share(0.12)),
            ("0.012 %".to_owned(), "12.0 %".to_owned())
        );
        assert_eq!(percent(Some(0.1234), 2), "12.34 %");
        assert_eq!(percent(None, 1), "–");
    }
}
