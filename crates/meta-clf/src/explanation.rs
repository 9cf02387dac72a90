//! Why segments are judged as they are: `coefficients`, `correlations` and `contributions`.

use std::path::Path;

use anyhow::Result;
use artifacts::tables::{schema, write_table};
use polars::prelude::{Column, DataFrame};

use crate::classifier::Linear;
use crate::logistic::{Design, Minimum};
use crate::segments::Segments;

/// Writes `dir/coefficients.parquet`: coefficients of standardized metrics with their standard errors, and last the
/// intercept.
///
/// Errors are roots of the diagonal of the inverse Hessian of the regularized objective (Laplace's approximation).
///
/// # Errors
/// If the disk does.
pub fn write_coefficients(dir: &Path, segments: &Segments, minimum: &Minimum) -> Result<()> {
    let theta = &minimum.theta;
    let errors: Vec<f64> = (0..theta.len())
        .map(|i| {
            let mut unit = vec![0.0; theta.len()];
            unit[i] = 1.0;
            minimum.hessian.solve(&unit)[i].sqrt()
        })
        .collect();
    let names: Vec<&str> = segments.names.iter().map(String::as_str).collect();
    let names = [&names[..], &["intercept"]].concat();
    let table = schema::coefficients();
    let frame = DataFrame::new(
        theta.len(),
        vec![
            Column::new("feature".into(), names),
            Column::new("coefficient".into(), &theta[..]),
            Column::new("standard_error".into(), errors),
        ],
    )?;
    write_table(&dir.join(table.file_name()), &table, &frame)
}

/// Writes `dir/correlations.parquet`: Pearson's correlation of each pair of standardized metrics; 0 with a constant
/// one.
///
/// # Errors
/// If the disk does.
pub fn write_correlations(dir: &Path, segments: &Segments, design: &Design) -> Result<()> {
    let n = segments.len().max(1) as f64;
    let (mut first, mut second, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (i, a) in segments.names.iter().enumerate() {
        for (j, b) in segments.names.iter().enumerate().skip(i + 1) {
            first.push(a.as_str());
            second.push(b.as_str());
            values.push(design.rows().map(|row| row[i] * row[j]).sum::<f64>() / n);
        }
    }
    let table = schema::correlations();
    let frame = DataFrame::new(
        values.len(),
        vec![
            Column::new("feature".into(), first),
            Column::new("other_feature".into(), second),
            Column::new("correlation".into(), values),
        ],
    )?;
    write_table(&dir.join(table.file_name()), &table, &frame)
}

/// Writes `dir/contributions.parquet`: what each metric adds to the log odds of a false positive.
///
/// The sum of a row is the log odds that the model gives, which has seen the segment if it was fitted to it.
///
/// # Errors
/// If the disk does.
pub fn write_contributions(
    dir: &Path,
    segments: &Segments,
    linear: &Linear,
    design: &Design,
) -> Result<()> {
    let mut columns = vec![
        Column::new("sample_id".into(), &segments.sample_ids[..]),
        Column::new("segment_id".into(), &segments.segment_ids[..]),
        Column::new("intercept".into(), vec![linear.intercept; segments.len()]),
    ];
    for (j, (name, coefficient)) in segments.names.iter().zip(&linear.coefficients).enumerate() {
        let shares: Vec<f64> = design.rows().map(|row| row[j] * coefficient).collect();
        columns.push(Column::new(name.into(), shares));
    }
    let table = schema::contributions(&segments.names);
    let frame = DataFrame::new(segments.len(), columns)?;
    write_table(&dir.join(table.file_name()), &table, &frame)
}
