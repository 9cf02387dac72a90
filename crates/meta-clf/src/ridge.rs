//! Meta regression: the adjusted `IoU` of a segment, linear in its standardized metrics.
//!
//! Minimum of ½ α |w|² + ½ Σᵢ (w·xᵢ + b − yᵢ)² with α = 1. The intercept b is not penalized. The metrics depend on each
//! other linearly (sizes and class probabilities add up), so that without a penalty there is no one minimum.
//!
//! Every fold follows from the sums Σ z zᵀ over all rows z = (x, 1, y), less those of the rows that are held out.
//!
//! Source: Rottmann et al. 2020 (`MetaSeg`), meta regression; the penalty is scikit-learn's `Ridge()`.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use artifacts::tables::{schema, write_table};
use polars::prelude::{Column, DataFrame};
use rayon::prelude::*;

use crate::cholesky::{Cholesky, add_scaled, dot};
use crate::classifier::Linear;
use crate::folds::{Folding, Scaling, Split, others};
use crate::left_out::Fold;
use crate::logistic::Design;
use crate::scaler::{Scaler, Sums};
use crate::segments::Segments;

/// α.
const PENALTY: f64 = 1.0;

/// Coefficients for standardized rows; all zero without rows.
///
/// # Errors
/// If a value is not finite.
pub fn fit(design: &Design, targets: &[f64]) -> Result<Linear> {
    let theta = Moments::of(design, targets).minimum()?;
    Ok(Linear::new(theta))
}

/// Predictions for standardized rows, not confined to [0, 1].
pub fn predict(linear: &Linear, design: &Design) -> Vec<f64> {
    let theta = linear.theta();
    design.rows().map(|row| dot(&theta, row)).collect()
}

/// Predicts each segment's adjusted `IoU` from the other folds; 0 where there is no other.
///
/// # Errors
/// If a value is not finite.
pub fn held_out(segments: &Segments, folding: &Folding) -> Result<Vec<f64>> {
    let scaler = Scaler::fit(segments.rows(), segments.names.len());
    let design = scaler.design(segments.rows());
    let sums = Sums::of(&design, &scaler);
    let moments = Moments::of(&design, &segments.adjusted_iou);
    let fold = |range: &Range<usize>| -> Result<Vec<f64>> {
        if range.len() == segments.len() {
            return Ok(vec![0.0; range.len()]);
        }
        let rows: Vec<usize> = range.clone().collect();
        let (common, fold) = match folding.scaling {
            Scaling::AllRows => (Some(&scaler), Some(Fold::unscaled(rows, design.width))),
            Scaling::InsideFold => (None, sums.without(&design, &rows)),
        };
        if let Some(fold) = fold {
            let left = moments.without(&design, &segments.adjusted_iou, range);
            let theta = left.rescaled(&fold).minimum()?;
            let predict = |i: usize| dot(&theta, &fold.rescaled(design.row(i)));
            return Ok(range.clone().map(predict).collect());
        }
        let split = Split::new(segments, range, common);
        let linear = fit(&split.train, &others(&segments.adjusted_iou, range))?;
        Ok(predict(&linear, &split.test))
    };
    let folds = folding.ranges.par_iter().map(fold);
    Ok(folds.collect::<Result<Vec<_>>>()?.concat())
}

/// Σ z zᵀ over rows z = (x, 1, y), of which the lower triangle counts, row-major.
#[derive(Clone, Debug)]
struct Moments {
    sums: Vec<f64>,
    size: usize,
}

impl Moments {
    fn of(design: &Design, targets: &[f64]) -> Self {
        let size = design.width + 1;
        let mut moments = Self {
            sums: vec![0.0; size * size],
            size,
        };
        for (row, &y) in design.rows().zip(targets) {
            moments.add(1.0, row, y);
        }
        moments
    }

    fn add(&mut self, factor: f64, row: &[f64], target: f64) {
        let z = [row, &[target]].concat();
        for (i, sums) in self.sums.chunks_exact_mut(self.size).enumerate() {
            add_scaled(&mut sums[..=i], factor * z[i], &z);
        }
    }

    fn without(&self, design: &Design, targets: &[f64], rows: &Range<usize>) -> Self {
        let mut left = self.clone();
        for i in rows.clone() {
            left.add(-1.0, design.row(i), targets[i]);
        }
        left
    }

    /// Those of rows x′ = scale · x + shift.
    fn rescaled(&self, fold: &Fold) -> Self {
        let size = self.size;
        let ones = size - 2; // the column of ones, and after it the target
        let scale = |i: usize| fold.scales.get(i).copied().unwrap_or(1.0);
        let shift = |i: usize| fold.shifts.get(i).copied().unwrap_or(0.0);
        let n = self.sums[ones * size + ones];
        // Σ x of a column, which stands in the row of ones or, for the target, below it
        let total = |i: usize| match i {
            _ if i > ones => self.sums[i * size + ones],
            _ => self.sums[ones * size + i],
        };
        let mut sums = vec![0.0; size * size];
        for i in 0..size {
            for j in 0..=i {
                sums[i * size + j] = scale(i) * scale(j) * self.sums[i * size + j]
                    + scale(i) * shift(j) * total(i)
                    + shift(i) * scale(j) * total(j)
                    + shift(i) * shift(j) * n;
            }
        }
        Self { sums, size }
    }

    /// Coefficients, last the intercept.
    fn minimum(&self) -> Result<Vec<f64>> {
        let width = self.size - 1;
        let ones = width - 1;
        if self.sums[ones * self.size + ones] <= 0.0 {
            return Ok(vec![0.0; width]); // no rows
        }
        let rows = self.sums.chunks_exact(self.size).take(width);
        let mut matrix: Vec<f64> = rows.flat_map(|row| row[..width].to_vec()).collect();
        for i in 0..ones {
            matrix[i * width + i] += PENALTY;
        }
        let right = &self.sums[width * self.size..][..width];
        Ok(Cholesky::of(matrix, width)?.solve(right))
    }
}

/// Writes `dir/regression.parquet`.
///
/// # Errors
/// If the disk does.
pub fn write(dir: &Path, segments: &Segments, predictions: &[f64]) -> Result<()> {
    let table = schema::regression();
    let frame = DataFrame::new(
        segments.len(),
        vec![
            Column::new("sample_id".into(), &segments.sample_ids[..]),
            Column::new("segment_id".into(), &segments.segment_ids[..]),
            Column::new("adjusted_iou".into(), &segments.adjusted_iou[..]),
            Column::new("predicted_iou".into(), predictions),
        ],
    )?;
    write_table(&dir.join(table.file_name()), &table, &frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folds::Folds;

    /// Rows with features of all kinds: correlated, constant but for one row, constant.
    fn many(n: usize) -> Segments {
        let mut all = Segments {
            names: (0..6).map(|j| format!("f{j}")).collect(),
            ..Segments::default()
        };
        let value = |i: usize, k: usize| (i * k % 103) as f64 / 103.0;
        for i in 0..n {
            let (a, b) = (value(i, 37), value(i, 59));
            let single = if i == n / 3 { 0.25 } else { 0.1 };
            all.features.extend([a, b, 1e4 * a + b, a + b, single, 7.3]);
            all.adjusted_iou
                .push(0.5 * a + 0.2 * b + 0.1 * value(i, 11));
            all.sample_ids.push(format!("{:03}", i / 5));
            all.segment_ids.push(i as u32);
            all.is_false_positive.push(false);
        }
        all
    }

    /// α w + Σ (w·x + b − y) x = 0, and b is the mean, because columns are centered.
    #[test]
    fn the_gradient_vanishes() -> Result<()> {
        let all = many(90);
        let scaler = Scaler::fit(all.rows(), 6);
        let design = scaler.design(all.rows());
        let linear = fit(&design, &all.adjusted_iou)?;
        let mut gradient = linear.theta();
        gradient[6] = 0.0; // no penalty on the intercept
        let predictions = predict(&linear, &design);
        for (row, (p, y)) in design.rows().zip(predictions.iter().zip(&all.adjusted_iou)) {
            add_scaled(&mut gradient, p - y, row);
        }
        assert!(gradient.iter().all(|g| g.abs() < 1e-10), "{gradient:?}");
        let mean = all.adjusted_iou.iter().sum::<f64>() / 90.0;
        assert!((linear.intercept - mean).abs() < 1e-12);
        Ok(())
    }

    /// Brute force: a fit to a copy of the table without the fold.
    #[test]
    fn every_fold_is_exact() -> Result<()> {
        let all = many(90);
        for (folds, scaling) in [
            (Folds::Image, Scaling::InsideFold),
            (Folds::Segment, Scaling::InsideFold),
            (Folds::Image, Scaling::AllRows),
        ] {
            let ranges = folds.ranges(&all.sample_ids, 0);
            let folding = Folding { ranges, scaling };
            let found = held_out(&all, &folding)?;
            let common = Scaler::fit(all.rows(), 6);
            let common = (scaling == Scaling::AllRows).then_some(&common);
            for range in &folding.ranges {
                let split = Split::new(&all, range, common);
                let linear = fit(&split.train, &others(&all.adjusted_iou, range))?;
                let expected = predict(&linear, &split.test);
                for (a, b) in found[range.clone()].iter().zip(expected) {
                    assert!((a - b).abs() < 1e-9, "{folds:?} {range:?}: {a} {b}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn without_others_nothing_is_predicted() -> Result<()> {
        let one = many(1);
        let folding = Folding {
            ranges: Folds::Segment.ranges(&one.sample_ids, 0),
            scaling: Scaling::InsideFold,
        };
        assert_eq!(held_out(&one, &folding)?, [0.0]);
        assert!(
            held_out(
                &Segments::default(),
                &Folding {
                    ranges: vec![],
                    ..folding
                }
            )?
            .is_empty()
        );
        Ok(())
    }
}
