//! Segments and objects with the column names of the reference, for people who compare with its tables.
//!
//! `reference_segments.csv` and `reference_objects.csv` have the columns of the reference's data frames in their order, after
//! the sample and the number. Two of the reference's columns are constant: `prc` is always 0, `train_class` always 255. A third,
//! `label_class`, is empty here: it is the raw label of an object's first pixel, which evaluation masks do not keep.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use artifacts::atomic::write_atomic;
use artifacts::basis::Basis;
use artifacts::tables::columns::{
    ADJUSTED_IOU, IS_FALSE_POSITIVE, OBJECT_ID, SAMPLE_ID, SEGMENT_ID,
};
use artifacts::tables::features::features_of;
use artifacts::tables::{read_table, schema};
use polars::prelude::{DataFrame, DataType};

/// Where the values of a column come from.
enum Source {
    /// A column of our table.
    Column(String),
    /// A column of truth values in our table, written as 0 or 1.
    Truth(&'static str),
    /// The same value in every row.
    Constant(&'static str),
}

impl Source {
    /// The texts of a column, one for each row of `frame`.
    fn cells(&self, frame: &DataFrame) -> Result<Vec<String>> {
        Ok(match self {
            Self::Column(name) => {
                let values = frame.column(name)?.cast(&DataType::Float64)?;
                let values = values.f64()?.iter();
                values
                    .map(|v| v.map_or_else(String::new, |v| v.to_string()))
                    .collect()
            }
            Self::Truth(name) => {
                let values = frame.column(name)?.bool()?.iter();
                values
                    .map(|v| u8::from(v == Some(true)).to_string())
                    .collect()
            }
            Self::Constant(value) => vec![(*value).to_owned(); frame.height()],
        })
    }
}

/// Suffixes of the statistics of an uncertainty map in the reference's order; they follow the map's letter.
const STATISTICS: [&str; 10] = [
    "",
    "_in",
    "_bd",
    "_rel",
    "_rel_in",
    "_var",
    "_var_in",
    "_var_bd",
    "_var_rel",
    "_var_rel_in",
];

/// Writes both files from the tables in `dir`, an output of this stage from logits.
///
/// # Errors
/// Returns an error if a table cannot be read, or a file cannot be written.
pub fn write(dir: &Path, basis: Basis) -> Result<()> {
    let num_classes = basis.num_classes.unwrap_or(0);
    for (table, file, id, columns) in [
        (
            schema::segments_of(basis),
            "reference_segments.csv",
            SEGMENT_ID,
            segment_columns(basis)?,
        ),
        (
            schema::objects(),
            "reference_objects.csv",
            OBJECT_ID,
            object_columns(num_classes),
        ),
    ] {
        let frame = read_table(&dir.join(table.file_name()), &table)?;
        let text = csv(&frame, id, &columns)?;
        write_atomic(&dir.join(file), |w| Ok(w.write_all(text.as_bytes())?))?;
    }
    Ok(())
}

/// Names of the reference in its order, and where the values come from.
type Columns = Vec<(String, Source)>;

/// Columns of segments. Source: reference `compute_metrics_components`.
fn segment_columns(basis: Basis) -> Result<Columns> {
    let features = features_of(basis);
    let num_classes = basis.num_classes.unwrap_or(0);
    let mut columns = vec![
        ("iou".to_owned(), Source::Column(ADJUSTED_IOU.to_owned())),
        ("iou0".to_owned(), Source::Truth(IS_FALSE_POSITIVE)),
        ("prc".to_owned(), Source::Constant("0")),
    ];
    let mut names: Vec<String> = ["mean_x", "mean_y"].map(str::to_owned).to_vec();
    for heat in ["E", "D", "V"] {
        names.extend(STATISTICS.map(|statistic| format!("{heat}{statistic}")));
    }
    names.extend(["S", "S_in", "S_bd", "S_rel", "S_rel_in"].map(str::to_owned));
    names.extend((0..num_classes).flat_map(|c| [format!("cprob{c}"), format!("ndist{c}")]));
    for name in names {
        let feature = features.iter().find(|f| f.reference_name == name);
        let feature = feature.with_context(|| format!("no metric is called {name}"))?;
        columns.push((name, Source::Column(feature.name.clone())));
    }
    Ok(columns)
}

/// Columns of objects. Source: reference `compute_metrics_mask`.
fn object_columns(num_classes: usize) -> Columns {
    let ours = |name: &str| Source::Column(name.to_owned());
    let mut columns = vec![
        ("iou", ours(ADJUSTED_IOU)),
        ("iou0", Source::Truth("is_false_negative")),
        ("rec", ours("recall")),
        ("train_class", Source::Constant("255")),
        ("label_class", Source::Constant("")),
        ("mean_x", ours("centroid_row")),
        ("mean_y", ours("centroid_col")),
        ("S", ours("size")),
        ("S_in", ours("size_interior")),
        ("S_bd", ours("size_boundary")),
    ]
    .into_iter()
    .map(|(name, source)| (name.to_owned(), source))
    .collect::<Columns>();
    for c in 0..num_classes {
        columns.push((format!("S_{c}"), ours(&format!("class_size_{c:02}"))));
        columns.push((format!("cprob{c}"), ours(&format!("class_prob_{c:02}"))));
    }
    columns
}

/// Header and one line per row of `frame`, whose rows are numbered by the column `id`. Numbers are the shortest decimals that stand
/// for them.
fn csv(frame: &DataFrame, id: &str, columns: &Columns) -> Result<String> {
    let mut text = format!("{SAMPLE_ID},{id}");
    let mut cells: Vec<Vec<String>> = Vec::new();
    for (name, source) in columns {
        text.push(',');
        text.push_str(name);
        cells.push(source.cells(frame)?);
    }
    text.push('\n');
    let ids = frame.column(SAMPLE_ID)?.str()?.iter();
    let numbers = frame.column(id)?.u32()?.iter();
    for (row, (sample, number)) in ids.zip(numbers).enumerate() {
        let _ = write!(
            text,
            "{},{}",
            sample.unwrap_or_default(),
            number.unwrap_or_default()
        );
        for column in &cells {
            text.push(',');
            text.push_str(&column[row]);
        }
        text.push('\n');
    }
    Ok(text)
}
