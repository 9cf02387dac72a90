//! Tables that explain predictions: `coefficients`, `correlations`, `contributions` and `l1_path`.

use std::path::Path;

use anyhow::{Result, ensure};
use artifacts::model_file::Linear;
use artifacts::tables::columns::{SAMPLE_ID, SEGMENT_ID};
use artifacts::tables::features::class_of;
use artifacts::tables::{schema, write_table};
use polars::prelude::{Column, DataFrame};

use crate::design::Design;
use crate::l1::PathPoint;
use crate::logistic::Minimum;
use crate::segments::Segments;

/// Writes `dir/coefficients.parquet`: the coefficient of each standardized metric with its standard error, then the intercept.
///
/// Standard errors are the square roots of the diagonal of the inverse Hessian of the regularized objective (Laplace's
/// approximation).
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn write_coefficients(dir: &Path, segments: &Segments, minimum: &Minimum) -> Result<()> {
    let theta = &minimum.theta;
    let errors = (0..theta.len()).map(|i| standard_error(minimum, i));
    let errors: Vec<f64> = errors.collect();
    let names: Vec<&str> = segments.names.iter().map(String::as_str).collect();
    let names = [&names[..], &["intercept"]].concat();
    let class = |name: &&str| segments.classes.as_ref()?.names().nth(class_of(name)?);
    let classes: Vec<Option<&str>> = names.iter().map(class).collect();
    let table = schema::coefficients();
    let frame = DataFrame::new(
        theta.len(),
        vec![
            Column::new("feature".into(), names),
            Column::new("coefficient".into(), &theta[..]),
            Column::new("standard_error".into(), errors),
            Column::new("class".into(), classes),
        ],
    )?;
    write_table(&dir.join(table.file_name()), &table, &frame)
}

/// The square root of diagonal element `i` of the inverse Hessian.
fn standard_error(minimum: &Minimum, i: usize) -> f64 {
    let mut unit = vec![0.0; minimum.theta.len()];
    unit[i] = 1.0;
    minimum.hessian.solve(&unit)[i].sqrt()
}

/// Writes `dir/correlations.parquet`: the Pearson correlation of each pair of standardized metrics, 0 if one is constant.
///
/// # Errors
/// Returns an error if the file cannot be written.
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
/// The numbers of a row add up to the log odds of `linear`. For segments that it was fitted to, these are not the held-out log
/// odds.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn write_contributions(
    dir: &Path,
    segments: &Segments,
    linear: &Linear,
    design: &Design,
) -> Result<()> {
    let mut columns = vec![
        Column::new(SAMPLE_ID.into(), &segments.sample_ids[..]),
        Column::new(SEGMENT_ID.into(), &segments.segment_ids[..]),
        Column::new("intercept".into(), vec![linear.intercept; segments.len()]),
    ];
    for (j, (name, coefficient)) in segments.names.iter().zip(&linear.coefficients).enumerate() {
        let shares: Vec<f64> = design.rows().map(|row| row[j] * coefficient).collect();
        columns.push(Column::new(name.into(), shares));
    }
    let table = schema::contributions(&segments.names, segments.classes.as_ref());
    let frame = DataFrame::new(segments.len(), columns)?;
    write_table(&dir.join(table.file_name()), &table, &frame)
}

/// Writes `dir/l1_path.parquet`: coefficients of all metrics and the intercept for each penalty, where `best` is the position
/// of the chosen penalty.
///
/// # Errors
/// Returns an error if the path has other metrics than `names`, or the file cannot be written.
pub fn write_l1_path(dir: &Path, names: &[String], path: &[PathPoint], best: usize) -> Result<()> {
    let n_columns = names.len() + 1;
    let rows = || path.iter().enumerate().flat_map(|p| vec![p; n_columns]);
    let names = names.iter().map(String::as_str).chain(["intercept"]);
    let features: Vec<&str> = names.cycle().take(path.len() * n_columns).collect();
    let coefficients: Vec<f64> = path.iter().flat_map(|p| p.theta.iter().copied()).collect();
    ensure!(
        coefficients.len() == features.len(),
        "the path has {} coefficients, expected {}",
        coefficients.len(),
        features.len()
    );
    let penalties: Vec<f64> = rows().map(|(_, p)| p.penalty).collect();
    let criteria: Vec<f64> = rows().map(|(_, p)| p.bic).collect();
    let is_chosen: Vec<bool> = rows().map(|(i, _)| i == best).collect();
    let table = schema::l1_path();
    let frame = DataFrame::new(
        features.len(),
        vec![
            Column::new("penalty".into(), penalties),
            Column::new("bic".into(), criteria),
            Column::new("is_chosen".into(), is_chosen),
            Column::new("feature".into(), features),
            Column::new("coefficient".into(), coefficients),
        ],
    )?;
    write_table(&dir.join(table.file_name()), &table, &frame)
}
