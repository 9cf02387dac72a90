//! Fields and lines of CSV.

/// A number; empty if it is not defined.
pub fn csv_number(value: Option<f64>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

/// A text, quoted where necessary. Spreadsheets take a text that begins with `=`, `+`, `-` or `@` for a formula and compute it; an
/// apostrophe before it tells them that it is a text.
pub fn csv_text(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = format!("{}{text}", if is_formula { "'" } else { "" });
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// A line of fields.
pub fn csv_line(fields: impl IntoIterator<Item = String>) -> String {
    let fields: Vec<String> = fields.into_iter().collect();
    fields.join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_and_no_formulas() {
        for (text, expected) in [
            ("plain = text", "plain = text"),
            ("a,b", "\"a,b\""),
            ("say \"a\"", "\"say \"\"a\"\"\""),
            ("=1+2", "'=1+2"),
            ("-x", "'-x"),
            ("@SUM(1,2)", "\"'@SUM(1,2)\""),
            ("+1\r", "\"'+1\r\""),
        ] {
            assert_eq!(csv_text(text), expected);
        }
    }
}
