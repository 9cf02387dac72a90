//! False alarms and missed objects of all runs, as bars.

use anyhow::Result;

use crate::colors::{BLUE, VERMILLION};
use crate::metrics::metric::{Definition, FALSE_NEGATIVES, FALSE_POSITIVES};
use crate::report::chart::Chart;
use crate::report::charts::score_names::scores_of;
use crate::report::drawing::bars::{self, Bar, Panel};
use crate::report::member::Member;
use crate::report::text::{FALSE_ALARMS, MISSED_OBJECTS, shortened};
use crate::results::{DatasetResults, RowResults, row_name};

/// The chart of a data set, with a row for each run, without and with meta classifier.
pub(super) fn chart(dataset: &DatasetResults, members: &[Member<'_>]) -> Result<Chart> {
    let name = |r: &RowResults| shortened(&row_name(&r.run, r.with_meta));
    let names: Vec<String> = dataset.rows.iter().map(name).collect();
    let panels = [
        panel(dataset, FALSE_ALARMS, BLUE, &FALSE_POSITIVES),
        panel(dataset, MISSED_OBJECTS, VERMILLION, &FALSE_NEGATIVES),
    ];
    Ok(Chart {
        file: "errors".into(),
        title: "Errors of segments".into(),
        caption: format!(
            "Segments are regions where {} is at least the threshold. False alarms are kept segments that overlap no unknown object; missed objects are unknown objects that no kept segment overlaps. The meta classifier drops segments that it takes for false alarms. It helps where it removes many false alarms and loses few objects.",
            scores_of(members)
        ),
        svg: bars::draw(&names, &panels)?,
    })
}

fn panel(
    dataset: &DatasetResults,
    title: &'static str,
    color: [u8; 3],
    definition: &Definition,
) -> Panel {
    let counts = dataset.rows.iter().map(|r| r.segments.count(definition));
    let bars = counts.map(|count| Bar {
        value: count as f64,
        text: count.to_string(),
        color,
    });
    Panel {
        title,
        bars: bars.collect(),
    }
}
