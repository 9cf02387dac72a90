//! Segments and objects under the names of the reference, for people who compare with its tables.
//!
//! `reference_segments.csv` and `reference_objects.csv` have the columns of the reference's data frames in their order, after
//! the sample and the number. Two of its columns carry nothing: `prc` is always 0, `train_class` always 255. A third,
//! `label_class`, is empty: it is the raw label of an object's first pixel, which evaluation masks do not keep.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use artifacts::atomic::write_atomic;
use artifacts::tables::features::segment_features;
use artifacts::tables::{read_table, schema};
use polars::prelude::{DataFrame, DataType};

/// Where the values of a column come from.
enum Source {
    /// A column of our table.
    Column(String),
    /// Whether the other side is missed, as 0 or 1.
    Missed(&'static str),
    /// The same in every row.
    Constant(&'static str),
}

/// Statistics of a heat map in the reference's order, after its letter.
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

/// Writes both files from the tables in `dir`, an output of this stage.
///
/// # Errors
/// If a table cannot be read, or the disk fails.
pub fn write(dir: &Path, num_classes: usize) -> Result<()> {
    for (table, file, id, columns) in [
        (
            schema::segments(num_classes),
            "reference_segments.csv",
            "segment_id",
            segment_columns(num_classes)?,
        ),
        (
            schema::objects(),
            "reference_objects.csv",
            "object_id",
            object_columns(num_classes),
        ),
    ] {
        let frame = read_table(&dir.join(table.file_name()), &table)?;
        let text = csv(&frame, id, &columns)?;
        write_atomic(&dir.join(file), |w| Ok(w.write_all(text.as_bytes())?))?;
    }
    Ok(())
}

type Columns = Vec<(String, Source)>;

/// Source: reference `compute_metrics_components`.
fn segment_columns(num_classes: usize) -> Result<Columns> {
    let features = segment_features(num_classes);
    let of_reference = |name: String| -> Result<(String, Source)> {
        let feature = features.iter().find(|f| f.reference_name == name);
        let feature = feature.with_context(|| format!("no metric is called {name}"))?;
        Ok((name, Source::Column(feature.name.clone())))
    };
    let mut columns = vec![
        ("iou".to_owned(), Source::Column("adjusted_iou".to_owned())),
        ("iou0".to_owned(), Source::Missed("is_false_positive")),
        ("prc".to_owned(), Source::Constant("0")),
    ];
    let mut names: Vec<String> = ["mean_x", "mean_y"].map(str::to_owned).to_vec();
    for heat in ["E", "D", "V"] {
        names.extend(STATISTICS.map(|statistic| format!("{heat}{statistic}")));
    }
    names.extend(["S", "S_in", "S_bd", "S_rel", "S_rel_in"].map(str::to_owned));
    names.extend((0..num_classes).flat_map(|c| [format!("cprob{c}"), format!("ndist{c}")]));
    for name in names {
        columns.push(of_reference(name)?);
    }
    Ok(columns)
}

/// Source: reference `compute_metrics_mask`.
fn object_columns(num_classes: usize) -> Columns {
    let ours = |name: &str| Source::Column(name.to_owned());
    let mut columns = vec![
        ("iou", ours("adjusted_iou")),
        ("iou0", Source::Missed("is_false_negative")),
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

/// One line per row; numbers are the shortest decimals that stand for them.
fn csv(frame: &DataFrame, id: &str, columns: &Columns) -> Result<String> {
    let mut text = format!("sample_id,{id}");
    let mut cells: Vec<Vec<String>> = Vec::new();
    for (name, source) in columns {
        text.push(',');
        text.push_str(name);
        cells.push(match source {
            Source::Column(name) => {
                let values = frame.column(name)?.cast(&DataType::Float64)?;
                let values = values.f64()?.iter();
                values
                    .map(|v| v.map_or_else(String::new, |v| v.to_string()))
                    .collect()
            }
            Source::Missed(name) => {
                let values = frame.column(name)?.bool()?.iter();
                values
                    .map(|v| u8::from(v == Some(true)).to_string())
                    .collect()
            }
            Source::Constant(value) => vec![(*value).to_owned(); frame.height()],
        });
    }
    text.push('\n');
    let ids = frame.column("sample_id")?.str()?.iter();
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
