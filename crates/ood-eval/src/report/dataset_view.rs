//! What the page shows of one data set.

use serde::Serialize;

use super::changes::Change;
use super::chart::Chart;
use super::gallery::SampleView;
use super::published::{PublishedFile, PublishedView};
use super::text::{grouped, millions, share, slug};
use crate::results::{DatasetResults, Results, row_name};
use crate::tables::table::Table;
use crate::tables::{
    distance_table, froc_interval_table, froc_table, main_interval_table, main_table, score_table,
    size_table, unknown_scores_of,
};

/// Everything that is shown of one data set.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DatasetView {
    name: String,
    /// Target of links within the page.
    anchor: String,
    summary: String,
    /// Names of the two rows that `changes` compares.
    compared: [String; 2],
    changes: Vec<Change>,
    main: Table,
    published: PublishedView,
    scores: Table,
    /// Which scores are left out there, and why.
    unknown_scores: Option<String>,
    /// Confidence intervals of the metrics in `main`; `results.md` has those of all metrics.
    intervals: Option<Table>,
    sizes: Table,
    distances: Table,
    /// Objects found at budgets of false alarms, and their intervals.
    froc: Vec<Table>,
    charts: Vec<Chart>,
    pub(super) samples: Vec<SampleView>,
    /// What is missing in the gallery.
    gallery_notes: Vec<String>,
}

impl DatasetView {
    /// The tables of a data set with the changes from its first row to its last, without charts and gallery.
    pub(super) fn new(
        results: &Results,
        dataset: &DatasetResults,
        changes: Vec<Change>,
        published: &PublishedFile,
    ) -> Self {
        let main = main_table(results, dataset);
        let ends = [dataset.rows.first(), dataset.rows.last()];
        let names = ends.map(|row| row.map(|r| row_name(&r.run, r.with_meta)));
        Self {
            name: dataset.dataset.clone(),
            anchor: slug(&dataset.dataset),
            summary: summary(dataset),
            compared: names.map(Option::unwrap_or_default),
            changes,
            published: published.view(&dataset.dataset, &main),
            main,
            scores: score_table(dataset),
            unknown_scores: unknown_scores_of(dataset),
            intervals: main_interval_table(dataset),
            sizes: size_table(dataset),
            distances: distance_table(dataset),
            froc: froc_table(dataset)
                .into_iter()
                .chain(froc_interval_table(dataset))
                .collect(),
            charts: Vec::new(),
            samples: Vec::new(),
            gallery_notes: Vec::new(),
        }
    }

    /// Whether there are pictures of its samples, or a note why there are none.
    pub(super) fn has_gallery(&self) -> bool {
        !self.samples.is_empty() || !self.gallery_notes.is_empty()
    }

    /// The same with charts and gallery.
    pub(super) fn with_pictures(
        self,
        charts: Vec<Chart>,
        samples: Vec<SampleView>,
        gallery_notes: Vec<String>,
    ) -> Self {
        Self {
            charts: charts.into_iter().map(Chart::inlined).collect(),
            samples,
            gallery_notes,
            ..self
        }
    }
}

/// Numbers of images, objects and pixels.
fn summary(dataset: &DatasetResults) -> String {
    let Some(row) = dataset.rows.first() else {
        return String::new();
    };
    let n_pixels = row.n_in + row.n_out;
    format!(
        "{} images with {} unknown objects. Of {} evaluated pixels, {} are unknown.",
        grouped(dataset.n_samples),
        grouped(row.segments.n_objects),
        millions(n_pixels),
        share(row.n_out as f64 / n_pixels.max(1) as f64)
    )
}
