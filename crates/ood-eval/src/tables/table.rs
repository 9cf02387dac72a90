//! A table of texts, for the terminal, as Markdown, as LaTeX and for the report.

use std::fmt::Write;
use std::io::IsTerminal;

use comfy_table::{CellAlignment, presets};
use serde::Serialize;

/// A table of texts; the first column is its rows' names.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// What the table shows.
    pub title: String,
    /// Column titles.
    pub columns: Vec<String>,
    /// Rows of cells.
    pub rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// Its text; `–` for a metric that is not defined.
    pub text: String,
    /// Whether no other row is better in this column.
    pub is_best: bool,
}

impl Cell {
    /// A cell that is not marked as the best.
    pub fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_best: false,
        }
    }

    fn escaped(&self, escape: fn(&str) -> String) -> Self {
        Self {
            text: escape(&self.text),
            is_best: self.is_best,
        }
    }

    /// The text, between the marks if it is the best.
    fn marked(&self, before: &str, after: &str) -> String {
        let text = &self.text;
        if self.is_best {
            format!("{before}{text}{after}")
        } else {
            text.clone()
        }
    }
}

/// Stands around bold cells while the table is laid out: it has no width, as the control sequences on a terminal, which the layout
/// would count.
const BOLD_MARK: &str = "\u{2063}";

/// What switches bold on and off on a terminal.
const BOLD: [&str; 2] = ["\u{1b}[1m", "\u{1b}[0m"];

/// Whether stdout is a terminal on which the best of a column is bold. `NO_COLOR` (no-color.org) and `TERM=dumb` forbid it.
pub fn shows_bold() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

fn without_mark(text: &str) -> String {
    text.replace(BOLD_MARK, "")
}

/// The own width of a table, or that of the text if it is less.
const LATEX_WIDTH: &str = r"\ifdim\width>\linewidth\linewidth\else\width\fi";

impl Table {
    /// As text with lines; the best of a column is bold if stdout [shows it](shows_bold).
    pub fn terminal(&self) -> String {
        self.text(shows_bold())
    }

    /// As text with lines; the best of a column is bold, or it is not marked.
    fn text(&self, has_bold: bool) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(&self.columns);
        let cell = |c: &Cell| c.escaped(without_mark).marked(BOLD_MARK, BOLD_MARK);
        for row in &self.rows {
            table.add_row(row.iter().map(cell));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let table = table.to_string();
        let mut text = format!("{}\n", self.title);
        for (number, part) in table.split(BOLD_MARK).enumerate() {
            let is_bold = has_bold && number % 2 == 1;
            let [before, after] = if is_bold { BOLD } else { [""; 2] };
            text.extend([before, part, after]);
        }
        text
    }

    /// Name of its file, and of its label in LaTeX: the title in lower case, with one `-` in place of everything between letters and
    /// digits of ASCII.
    pub fn name(&self) -> String {
        let lower = self.title.to_ascii_lowercase();
        let words = lower.split(|c: char| !c.is_ascii_alphanumeric());
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return "table".to_owned();
        }
        words.join("-")
    }

    /// As a LaTeX table for the packages `booktabs` and `graphicx`, with the label `tab:NAME`; the best of a column is bold, and a
    /// table that is wider than the text is made smaller.
    pub fn latex(&self, name: &str) -> String {
        let line = |cells: Vec<String>| format!("    {} \\\\\n", cells.join(" & "));
        let header = self.columns.iter().map(|c| latex_text(c)).collect();
        let cell = |c: &Cell| c.escaped(latex_text).marked("\\textbf{", "}");
        let rows: String = self
            .rows
            .iter()
            .map(|row| line(row.iter().map(cell).collect()))
            .collect();
        format!(
            "\\begin{{table}}\n  \\centering\n  \\caption{{{}}}\n  \\label{{tab:{name}}}\n  \\resizebox{{{LATEX_WIDTH}}}{{!}}{{%\n  \\begin{{tabular}}{{l{}}}\n    \\toprule\n{}    \\midrule\n{rows}    \\bottomrule\n  \\end{{tabular}}}}\n\\end{{table}}\n",
            latex_text(&self.title),
            "r".repeat(self.columns.len().saturating_sub(1)),
            line(header),
        )
    }

    /// As Markdown; the best of a column is bold.
    pub fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let cell = |c: &Cell| c.escaped(markdown_text).marked("**", "**");
        let mut text = format!("## {}\n\n", markdown_text(&self.title));
        text += &line(self.columns.iter().map(|c| markdown_text(c)).collect());
        let _ = writeln!(text, "|---|{}", "---:|".repeat(self.columns.len() - 1));
        for row in &self.rows {
            text += &line(row.iter().map(cell).collect());
        }
        text
    }
}

/// A text in one line in which everything is escaped that Markdown would read as a column, HTML, code or a link: names of runs and
/// data sets are free.
pub fn markdown_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '|' | '`' | '[' | ']' | '\\' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A text in which everything is escaped that LaTeX would read as a command.
fn latex_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped += "\\textbackslash{}",
            '~' => escaped += "\\textasciitilde{}",
            '^' => escaped += "\\textasciicircum{}",
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '↑' => escaped += "$\\uparrow$",
            '↓' => escaped += "$\\downarrow$",
            '±' => escaped += "$\\pm$",
            '–' => escaped += "--",
            '−' => escaped += "$-$",
            '≥' => escaped += "$\\geq$",
            '≤' => escaped += "$\\leq$",
            '\u{202f}' => escaped += "\\,",
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bold_on_a_terminal_takes_no_room() {
        let best = Cell {
            text: "91.42".to_owned(),
            is_best: true,
        };
        let row = |name: &str, cell| vec![Cell::plain(name), cell];
        let table = Table {
            title: "lost".to_owned(),
            columns: vec!["run".to_owned(), "F1* ↑".to_owned()],
            rows: vec![row("a\u{2063}b", best), row("c", Cell::plain("1"))],
        };
        let plain = table.text(false);
        let expected = "lost
┌─────┬───────┐
│ run ┆ F1* ↑ │
╞═════╪═══════╡
│ ab  ┆ 91.42 │
│ c   ┆     1 │
└─────┴───────┘";
        assert_eq!(plain, expected);
        let bold = table.text(true);
        assert_eq!(bold, plain.replace("91.42", "\u{1b}[1m91.42\u{1b}[0m"));
    }

    #[test]
    fn names_are_no_markup() {
        let table = Table {
            title: "<script>alert(1)</script>".to_owned(),
            columns: vec!["run".to_owned(), "F1* ↑".to_owned()],
            rows: vec![vec![
                Cell::plain("<b onclick='x'>a|b & `c` [d](e)\n"),
                Cell::plain("1"),
            ]],
        };
        let expected = r"## &lt;script&gt;alert(1)&lt;/script&gt;

| run | F1* ↑ |
|---|---:|
| &lt;b onclick='x'&gt;a\|b &amp; \`c\` \[d\](e)  | 1 |
";
        assert_eq!(table.markdown(), expected);
    }

    #[test]
    fn tables_are_valid_latex() {
        let best = Cell {
            text: "91.42".to_owned(),
            is_best: true,
        };
        let table = Table {
            title: "lost_and_found: 100 %".to_owned(),
            columns: vec!["run".to_owned(), "AUROC ↑".to_owned()],
            rows: vec![vec![Cell::plain("a & b \\ {c} ±– ≥".to_owned()), best]],
        };
        let expected = r"\begin{table}
  \centering
  \caption{lost\_and\_found: 100 \%}
  \label{tab:lost-and-found-100}
  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%
  \begin{tabular}{lr}
    \toprule
    run & AUROC $\uparrow$ \\
    \midrule
    a \& b \textbackslash{} \{c\} $\pm$-- $\geq$ & \textbf{91.42} \\
    \bottomrule
  \end{tabular}}
\end{table}
";
        assert_eq!(table.latex(&table.name()), expected);
    }
}
