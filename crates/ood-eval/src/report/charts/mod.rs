//! The charts of a data set.

mod coefficients;
mod curves;
mod errors;
mod froc;
mod histogram;
pub(super) mod known_classes;
mod meta_threshold;
mod score_names;
mod thresholds;

use anyhow::Result;

use super::chart::Chart;
use super::member::Member;
use super::text::slug;
use crate::args::Bootstrap;
use crate::results::DatasetResults;

/// All charts of `dataset`, of which `members` are the runs; `bootstrap` gives their intervals.
///
/// # Errors
/// Returns an error if a chart cannot be drawn.
pub(super) fn dataset_charts(
    dataset: &DatasetResults,
    members: &[Member<'_>],
    bootstrap: Bootstrap,
) -> Result<Vec<Chart>> {
    let mut charts = vec![errors::chart(dataset, members)?];
    charts.extend(froc::chart(members, bootstrap)?);
    charts.extend(curves::charts(dataset, members)?);
    for member in members {
        charts.extend(histogram::chart(member)?);
    }
    charts.extend(thresholds::charts(dataset, members)?);
    for member in members {
        charts.extend(meta_threshold::chart(member)?);
    }
    for member in members {
        charts.extend(coefficients::chart(member)?);
    }
    for chart in &mut charts {
        // names of data sets are names of folders, so they can be used in file names as they are
        chart.file = format!("{}_{}", dataset.dataset, slug(&chart.file));
    }
    Ok(charts)
}
