//! The largest coefficients of a linear meta classifier, as bars.

use anyhow::Result;

use crate::colors::{BLUE, VERMILLION};
use crate::report::chart::Chart;
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
    let names: Vec<String> = shown().map(|c| c.0.clone()).collect();
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
