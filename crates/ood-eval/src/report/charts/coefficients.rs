//! The largest coefficients of a linear meta classifier, as bars.

use anyhow::Result;
use artifacts::classes::ClassSet;

use crate::report::chart::Chart;
use crate::report::colors::{BLUE, VERMILLION};
use crate::report::drawing::bars::{self, Bar, Panel};
use crate::report::member::Member;

/// Number of coefficients that are drawn.
const SHOWN: usize = 15;

/// The chart of a run; `None` if it has no linear meta classifier.
pub(super) fn chart(member: &Member<'_>) -> Result<Option<Chart>> {
    let Some(model) = &member.model else {
        return Ok(None);
    };
    let shown = || model.coefficients.iter().take(SHOWN);
    let names: Vec<String> = shown().map(|c| with_class(&c.0, &member.classes)).collect();
    let panel = Panel {
        title: "coefficient",
        bars: shown().map(|c| bar(c.1)).collect(),
    };
    Ok(Some(Chart {
        file: format!("meta coefficients {} {}", member.index, member.run.name),
        title: format!("Coefficients of the meta classifier, {}", member.run.name),
        caption: format!(
            "The {} largest of {} coefficients of the logistic regression on standardized segment metrics (intercept {:+.2}). Positive coefficients (orange, to the right) indicate a false alarm, negative ones (blue, to the left) an unknown object.",
            names.len(),
            model.coefficients.len(),
            model.intercept
        ),
        svg: bars::draw(&names, &[panel])?,
    }))
}

fn bar(value: f64) -> Bar {
    Bar {
        value,
        text: format!("{value:+.2}"),
        color: if value < 0.0 { BLUE } else { VERMILLION },
    }
}

/// The name of a segment metric. If the metric belongs to a class, the name of the class follows.
fn with_class(metric: &str, classes: &ClassSet) -> String {
    let mut prefixes = ["class_prob_", "neighbor_class_"].into_iter();
    let number = prefixes.find_map(|prefix| metric.strip_prefix(prefix)?.parse::<usize>().ok());
    match number.and_then(|n| classes.names().nth(n)) {
        Some(class) => format!("{metric} ({class})"),
        None => metric.to_owned(),
    }
}
