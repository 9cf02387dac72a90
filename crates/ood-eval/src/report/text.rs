//! Numbers and names as texts of the report.

/// A large count in words.
pub(super) fn millions(n: u64) -> String {
    if n < 1_000_000 {
        return grouped(n);
    }
    format!("{:.1} million", n as f64 / 1e6)
}

/// Digits in groups of three.
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

/// A share as a percentage that is not rounded to 0.
pub(super) fn share(share: f64) -> String {
    let percent = 100.0 * share;
    if percent > 0.0 && percent < 0.1 {
        format!("{percent:.3} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// Long names of runs would leave no room for the chart.
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
    }
}
