//! What all pages have in common: one file that loads nothing from elsewhere.

use anyhow::{Context, Result};
use minijinja::{Environment, value::Serde};
use serde::Serialize;

/// The opening lines of a page, which need its `title` and `style`.
const HEAD: &str = include_str!("head.html");

/// Colors, sizes and tables of all pages.
pub(crate) const STYLE: &str = include_str!("../report/report.css");

/// A page as one file. `template` may include `head.html`; `name` ends in `.html`, so that values are escaped.
///
/// # Errors
/// Returns an error if the template does not fit what it is given, which is a mistake in the program.
pub(crate) fn render(name: &str, template: &str, content: &impl Serialize) -> Result<String> {
    let mut environment = Environment::new();
    environment.add_template("head.html", HEAD)?;
    environment.add_template(name, template)?;
    environment
        .get_template(name)?
        .render(Serde(content))
        .with_context(|| format!("could not render {name}"))
}
