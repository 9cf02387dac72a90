//! Why segments are judged as they are: `coefficients`, `correlations` and `contributions`.

use std::path::Path;

use anyhow::Result;
use artifacts::tables::{schema, write_table};
use polars::prelude::{Column, DataFrame};

use crate::folds::Classifier;
use crate::model::Model;
use crate::segments::Segments;

/// Writes `dir/coefficients.parquet`: coefficients of standardized metrics with their standard errors, and last the
/// intercept.
///
/// Errors are roots of the diagonal of the inverse Hessian of the regularized objective (Laplace's approximation).
///
/// # Errors
/// If the disk does.
pub fn write_coefficients(dir: &Path, segments: &Segments, classifier: &Classifier) -> Result<()> {
    let theta = &classifier.minimum.theta;
    let errors: Vec<f64> = (0..theta.len())
        .map(|i| {
            let mut unit = vec![0.0; theta.len()];
            unit[i] = 1.0;
            classifier.minimum.hessian.solve(&unit)[i].sqrt()
        })
        .collect();
    let names: Vec<&str> = segments.names.iter().map(String::as_str).collect();
    let names = [&names[..], &["intercept"]].concat();
    let table = schema::coefficients();
    let mut frame = DataFrame::new(
        theta.len(),
        vec![
            Column::new("feature".into(), names),
            Column::new("coefficient".into(), &theta[..]),
            Column::new("standard_error".into(), errors),
        ],
    )?;
    write_table(&dir.join(table.file_name()), &table, &mut frame)
}

/// Writes `dir/correlations.parquet`: Pearson's correlation of each pair of metrics; 0 with a constant one.
///
/// # Errors
/// If the disk does.
pub fn write_correlations(dir: &Path, segments: &Segments, classifier: &Classifier) -> Result<()> {
    let design = classifier.scaler.design(segments.rows());
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
    let mut frame = DataFrame::new(
        values.len(),
        vec![
            Column::new("feature".into(), first),
            Column::new("other_feature".into(), second),
            Column::new("correlation".into(), values),
        ],
    )?;
    write_table(&dir.join(table.file_name()), &table, &mut frame)
}

/// Writes `dir/contributions.parquet`: what each metric adds to the log odds of a false positive.
///
/// The sum of a row is the log odds that the model gives, which has seen the segment if it was fitted to it.
///
/// # Errors
/// If the disk does.
pub fn write_contributions(dir: &Path, segments: &Segments, model: &Model) -> Result<()> {
    let design = model.scaler().design(segments.rows());
    let mut columns = vec![
        Column::new("sample_id".into(), &segments.sample_ids[..]),
        Column::new("segment_id".into(), &segments.segment_ids[..]),
        Column::new("intercept".into(), vec![model.intercept; segments.len()]),
    ];
    for (j, (name, coefficient)) in model.features.iter().zip(&model.coefficients).enumerate() {
        let shares: Vec<f64> = design.rows().map(|row| row[j] * coefficient).collect();
        columns.push(Column::new(name.into(), shares));
    }
    let table = schema::contributions(&model.features);
    let mut frame = DataFrame::new(segments.len(), columns)?;
    write_table(&dir.join(table.file_name()), &table, &mut frame)
}
