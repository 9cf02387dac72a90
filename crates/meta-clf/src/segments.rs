//! The segments of one or more tables `segments.parquet`, joined and sorted.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifacts::basis::Basis;
use artifacts::classes::ClassSet;
use artifacts::tables::columns::{ADJUSTED_IOU, IS_FALSE_POSITIVE, SAMPLE_ID, SEGMENT_ID};
use artifacts::tables::features::{basis_of, classes_in, features_of, title};
use artifacts::tables::schema::{self, Table};
use artifacts::tables::{check_columns, read_table_parts};
use polars::prelude::DataFrame;

/// Segments with their metrics, sorted by sample and segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segments {
    /// Sample of each segment.
    pub sample_ids: Vec<String>,
    /// Number of each segment within its sample.
    pub segment_ids: Vec<u32>,
    /// Whether the truth is known. If not, the next two are empty.
    pub has_truth: bool,
    /// The truth: whether no pixel of the segment is out-of-distribution.
    pub is_false_positive: Vec<bool>,
    /// Adjusted `IoU` with the true objects, in [0, 1].
    pub adjusted_iou: Vec<f64>,
    /// Metrics, row-major `[n, n_features]`.
    pub features: Vec<f64>,
    /// Names of the metrics, in the order of the columns.
    pub names: Vec<String>,
    /// The classes that metrics are about; `None` if no metric is about a class.
    pub classes: Option<ClassSet>,
    /// What the segments are measured from.
    pub basis: Basis,
}

/// The schema of the table that is read, with what all such tables have: what segments are measured from, its columns say.
pub fn table() -> Table {
    schema::segments_of(Basis::NOTHING).with_optional_truth()
}

/// What the first rows of a table say of all of them.
struct Kind {
    basis: Basis,
    classes: Option<ClassSet>,
    has_truth: bool,
}

impl Kind {
    fn of(folder: &Path, rows: &DataFrame) -> Result<Self> {
        let basis = basis_of(rows);
        let classes = classes_in(folder, basis.num_classes.unwrap_or(0))?;
        Ok(Self::new(basis, classes, rows))
    }

    fn new(basis: Basis, classes: Option<ClassSet>, rows: &DataFrame) -> Self {
        Self {
            basis,
            classes,
            has_truth: rows.column(IS_FALSE_POSITIVE).is_ok(),
        }
    }

    /// Refuses a table that cannot be joined with another one, that in the folder `first`.
    fn check_same(&self, folder: &Path, other: &Self, first: &Path) -> Result<()> {
        let (first, folder) = (first.display(), folder.display());
        let unlike = || format!("the segments in {first} and {folder} cannot be joined");
        ensure_same(self.classes.as_ref(), other.classes.as_ref()).with_context(unlike)?;
        ensure!(
            self.basis.has_context == other.basis.has_context,
            "{}: only those in {} have the metrics of their context: run `segment-metrics` for both with --context, or for both without",
            unlike(),
            if self.basis.has_context {
                &folder
            } else {
                &first
            }
        );
        ensure!(
            self.basis == other.basis,
            "{}: they were measured from {} and from {}",
            unlike(),
            sources(other.basis),
            sources(self.basis)
        );
        ensure!(
            self.has_truth == other.has_truth,
            "{}: only those in {} are of images with labels",
            unlike(),
            if self.has_truth { &folder } else { &first }
        );
        Ok(())
    }
}

/// What segments are measured from, in words.
fn sources(basis: Basis) -> &'static str {
    match (basis.num_classes.is_some(), basis.has_adopted) {
        (true, true) => "logits and score maps",
        (true, false) => "logits alone",
        (false, true) => "score maps alone",
        (false, false) => "nothing",
    }
}

/// Checks that the classes that metrics are about are the same.
///
/// # Errors
/// Returns an error that names the first difference.
pub fn ensure_same(classes: Option<&ClassSet>, other: Option<&ClassSet>) -> Result<()> {
    match (classes, other) {
        (None, None) => Ok(()),
        (Some(classes), Some(other)) => classes.ensure_same(other),
        (Some(some), None) | (None, Some(some)) => bail!(
            "only one of the two has metrics of classes, those of {:?}",
            some.name
        ),
    }
}

impl Segments {
    /// Reads and joins the tables of `folders`.
    ///
    /// # Errors
    /// Returns an error if a table is missing, damaged or not sorted, has the metrics of another number of classes, a value is out
    /// of range, or a segment occurs twice.
    pub fn read(folders: &[impl AsRef<Path>]) -> Result<Self> {
        let mut all = Self::default();
        let mut first_kind: Option<(&Path, Kind)> = None;
        for folder in folders {
            let folder = folder.as_ref();
            let path = folder.join(table().file_name());
            let first = all.len();
            let mut parts = read_table_parts(&path, &table())?.peekable();
            if let Some(Ok(rows)) = parts.peek() {
                let kind = Kind::of(folder, rows)?;
                if let Some((first, other)) = &first_kind {
                    kind.check_same(folder, other, first)?;
                } else {
                    all.set_kind(&kind);
                    first_kind = Some((folder, kind));
                }
            }
            for part in parts {
                all.append(&part?, first)
                    .with_context(|| format!("{} cannot be used", path.display()))?;
            }
        }
        all.sorted()
    }

    /// Takes rows as `segment_metrics::sample` makes them in memory; `classes` are those that their metrics are about, if any are.
    ///
    /// # Errors
    /// Returns an error if the rows lack a column, are not sorted, have the metrics of another number of classes, or a value is out
    /// of range.
    pub fn of_rows(rows: &DataFrame, classes: Option<&ClassSet>) -> Result<Self> {
        let basis = basis_of(rows);
        let (n, n_described) = (
            basis.num_classes.unwrap_or(0),
            classes.map_or(0, ClassSet::len),
        );
        ensure!(
            n == n_described,
            "the segments have the metrics of {n} classes, not of {n_described}"
        );
        let mut all = Self::default();
        all.set_kind(&Kind::new(basis, classes.cloned(), rows));
        all.append(rows, 0)?;
        all.sorted()
    }

    fn set_kind(&mut self, kind: &Kind) {
        self.has_truth = kind.has_truth;
        self.classes.clone_from(&kind.classes);
        self.basis = kind.basis;
        let features = features_of(kind.basis).into_iter();
        self.names = features.map(|f| f.name).collect();
    }

    /// The number of segments.
    pub fn len(&self) -> usize {
        self.segment_ids.len()
    }

    /// Whether there are no segments.
    pub fn is_empty(&self) -> bool {
        self.segment_ids.is_empty()
    }

    /// The metrics of each segment, one slice of `n_features` values after the other.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> + Clone {
        self.features.chunks_exact(self.names.len().max(1))
    }

    /// The row of a segment, if there is one with this key. The segments must be sorted.
    pub fn row_of(&self, sample_id: &str, segment_id: u32) -> Option<usize> {
        let from = self
            .sample_ids
            .partition_point(|id| id.as_str() < sample_id);
        let n = self.sample_ids[from..].partition_point(|id| id == sample_id);
        let found = self.segment_ids[from..from + n].binary_search(&segment_id);
        found.ok().map(|at| from + at)
    }

    /// Appends consecutive rows of a table whose first row is number `first`.
    fn append(&mut self, frame: &DataFrame, first: usize) -> Result<()> {
        check_columns(
            &schema::segments_of(self.basis).with_optional_truth(),
            frame,
        )?;
        let samples = frame.column(SAMPLE_ID)?.str()?;
        let ids = frame.column(SEGMENT_ID)?.u32()?;
        same_length(frame, [samples.len(), ids.len()])?;
        let (n_before, n_new) = (self.len(), frame.height());
        self.sample_ids
            .extend(samples.iter().flatten().map(str::to_owned));
        self.segment_ids.extend(ids.iter().flatten());
        if self.has_truth {
            self.append_truth(frame)?;
        }
        self.check_new(first, n_before)?;
        let width = self.names.len();
        self.features.resize((n_before + n_new) * width, 0.0);
        let rows = &mut self.features[n_before * width..];
        for (j, name) in self.names.iter().enumerate() {
            let column = frame.column(name)?.f64()?;
            same_length(frame, [column.len()])?;
            for (i, value) in column.iter().flatten().enumerate() {
                if !value.is_finite() {
                    bail!(
                        "{} of segment {} of {} is {value}: run `segment-metrics` again",
                        title(name, self.classes.as_ref()),
                        self.segment_ids[n_before + i],
                        self.sample_ids[n_before + i]
                    );
                }
                rows[i * width + j] = value;
            }
        }
        Ok(())
    }

    fn append_truth(&mut self, frame: &DataFrame) -> Result<()> {
        let truth = frame.column(IS_FALSE_POSITIVE)?.bool()?;
        let ious = frame.column(ADJUSTED_IOU)?.f64()?;
        same_length(frame, [truth.len(), ious.len()])?;
        self.is_false_positive.extend(truth.iter().flatten());
        self.adjusted_iou.extend(ious.iter().flatten());
        Ok(())
    }

    /// Checks the keys of the table that begins at row `first`, and the values of the rows from `n_before` on.
    fn check_new(&self, first: usize, n_before: usize) -> Result<()> {
        let key = |i: usize| (&self.sample_ids[i], self.segment_ids[i]);
        for i in n_before..self.len() {
            let (sample, segment) = key(i);
            // equal rows are left to the last check if they are of two tables
            ensure!(
                i == first || key(i - 1) < key(i),
                "segment {segment} of {sample} occurs twice, or the rows are not sorted: run `segment-metrics` again with --force"
            );
            let iou = self.adjusted_iou.get(i).copied();
            ensure!(
                iou.is_none_or(|iou| (0.0..=1.0).contains(&iou)),
                "{ADJUSTED_IOU} of segment {segment} of {sample} is {}, not in [0, 1]: run `segment-metrics` again with --force",
                iou.unwrap_or_default()
            );
        }
        Ok(())
    }

    /// Sorts by sample and segment; refuses duplicates.
    fn sorted(self) -> Result<Self> {
        let key = |i: usize| (&self.sample_ids[i], self.segment_ids[i]);
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&i| key(i));
        if let Some(pair) = order.windows(2).find(|p| key(p[0]) == key(p[1])) {
            let (sample, segment) = key(pair[0]);
            bail!(
                "segment {segment} of {sample} occurs twice: name each table once, and no two of the same data set"
            );
        }
        let width = self.names.len();
        let row = |&i: &usize| self.features[i * width..][..width].iter().copied();
        Ok(Self {
            sample_ids: order.iter().map(|&i| self.sample_ids[i].clone()).collect(),
            segment_ids: order.iter().map(|&i| self.segment_ids[i]).collect(),
            has_truth: self.has_truth,
            is_false_positive: in_order(&self.is_false_positive, &order),
            adjusted_iou: in_order(&self.adjusted_iou, &order),
            features: order.iter().flat_map(row).collect(),
            names: self.names.clone(),
            classes: self.classes.clone(),
            basis: self.basis,
        })
    }
}

/// The values in another order; none if there are none.
fn in_order<T: Copy>(values: &[T], order: &[usize]) -> Vec<T> {
    let positions = order.iter().filter(|_| !values.is_empty());
    positions.map(|&i| values[i]).collect()
}

/// Checks that columns have as many values as the table has rows, which those of a damaged file may not.
pub(crate) fn same_length<const N: usize>(frame: &DataFrame, lengths: [usize; N]) -> Result<()> {
    let height = frame.height();
    ensure!(
        lengths.iter().all(|&n| n == height),
        "its columns have different numbers of rows: run `segment-metrics` again with --force"
    );
    Ok(())
}
