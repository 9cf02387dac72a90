//! Meta regression: the adjusted `IoU` of a segment, predicted as a linear function of its standardized metrics.
//!
//! Minimum of ½ α |w|² + ½ Σᵢ (w·xᵢ + b − yᵢ)² with α = 1. The intercept b is not penalized. The penalty is needed: metrics
//! depend on each other linearly (sizes and class probabilities add up), so without it the minimum would not be unique.
//!
//! The minimum follows from the Gram matrix G = Σ z zᵀ over rows z = (x, 1, y) alone: its upper left part and its last row are
//! the normal equations. So a fold needs no pass over the table either: the rows that it holds out are subtracted from G, and a
//! change of the standardization, which is linear in z, is applied to G (`GramMatrix::rescaled`).
//!
//! Source: Rottmann et al. 2020 (`MetaSeg`), meta regression; the penalty is that of scikit-learn's `Ridge()`.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use artifacts::model_file::Linear;
use artifacts::tables::columns::{ADJUSTED_IOU, SAMPLE_ID, SEGMENT_ID};
use artifacts::tables::{schema, write_table};
use polars::prelude::{Column, DataFrame};
use rayon::prelude::*;

use crate::cholesky::{Cholesky, add_scaled, dot};
use crate::design::Design;
use crate::fold::Fold;
use crate::fold_scaler::FoldScaler;
use crate::folds::{Folding, Scaling, Split, others};
use crate::scaler::Scaler;
use crate::segments::Segments;

/// α.
const PENALTY: f64 = 1.0;

/// Fits coefficients to standardized rows with targets y; without rows, all of them are 0.
///
/// # Errors
/// Returns an error if a value is not finite.
pub fn fit(design: &Design, targets: &[f64]) -> Result<Linear> {
    let theta = GramMatrix::of(design, targets).minimum()?;
    Ok(Linear::new(theta))
}

/// Predictions for standardized rows, not limited to [0, 1].
pub fn predict(linear: &Linear, design: &Design) -> Vec<f64> {
    let theta = linear.theta();
    design.rows().map(|row| dot(&theta, row)).collect()
}

/// Predicts each segment's adjusted `IoU` from the segments of the other folds; 0 if there are none.
///
/// # Errors
/// Returns an error if a value is not finite.
pub fn held_out(segments: &Segments, folding: &Folding) -> Result<Vec<f64>> {
    let scaler = Scaler::fit(segments.rows(), segments.names.len());
    let design = scaler.design(segments.rows());
    let refits = Refits {
        segments,
        design: &design,
        gram: GramMatrix::of(&design, &segments.adjusted_iou),
        fold_scaler: FoldScaler::new(&design, &scaler, folding.scaling),
        common: (folding.scaling == Scaling::AllRows).then_some(&scaler),
    };
    let folds = folding.ranges.par_iter().map(|rows| refits.predict(rows));
    Ok(folds.collect::<Result<Vec<_>>>()?.concat())
}

/// What the refits of all folds share.
struct Refits<'a> {
    segments: &'a Segments,
    design: &'a Design,
    gram: GramMatrix,
    fold_scaler: FoldScaler<'a>,
    /// The scaler of all rows, if folds use it.
    common: Option<&'a Scaler>,
}

impl Refits<'_> {
    /// Predictions for the rows `held_out` from all others.
    fn predict(&self, held_out: &Range<usize>) -> Result<Vec<f64>> {
        let targets = &self.segments.adjusted_iou;
        if held_out.len() == targets.len() {
            return Ok(vec![0.0; held_out.len()]);
        }
        if let Some(fold) = self.fold_scaler.fold(held_out.clone()) {
            let gram = self.gram.without(self.design, targets, held_out);
            let theta = gram.rescaled(&fold).minimum()?;
            let predict = |i: usize| dot(&theta, &fold.rescaled(self.design.row(i)));
            return Ok(held_out.clone().map(predict).collect());
        }
        let split = Split::new(self.segments, held_out, self.common);
        let linear = fit(&split.train, &others(targets, held_out))?;
        Ok(predict(&linear, &split.test))
    }
}

/// G = Σ z zᵀ over rows z = (x, 1, y), `[size, size]`, row-major, of which only the lower triangle is used.
#[derive(Clone, Debug)]
struct GramMatrix {
    sums: Vec<f64>,
    size: usize,
}

impl GramMatrix {
    fn of(design: &Design, targets: &[f64]) -> Self {
        let size = design.width + 1;
        let mut gram = Self {
            sums: vec![0.0; size * size],
            size,
        };
        for (row, &y) in design.rows().zip(targets) {
            gram.add(1.0, row, y);
        }
        gram
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

    /// The matrix of the rows (x′, 1, y) with x′ = a ⊙ x + b.
    ///
    /// Σ x′ᵢ x′ⱼ = aᵢ aⱼ Σ xᵢ xⱼ + aᵢ bⱼ Σ xᵢ + bᵢ aⱼ Σ xⱼ + bᵢ bⱼ n, and all of these sums are elements of G. The one and the
    /// target have a = 1 and b = 0.
    fn rescaled(&self, fold: &Fold) -> Self {
        let size = self.size;
        let scale = |i: usize| fold.scales.get(i).copied().unwrap_or(1.0);
        let shift = |i: usize| fold.shifts.get(i).copied().unwrap_or(0.0);
        let n = self.column_sum(size - 2);
        let mut sums = vec![0.0; size * size];
        for i in 0..size {
            for j in 0..=i {
                sums[i * size + j] = scale(i) * scale(j) * self.sums[i * size + j]
                    + scale(i) * shift(j) * self.column_sum(i)
                    + shift(i) * scale(j) * self.column_sum(j)
                    + shift(i) * shift(j) * n;
            }
        }
        Self { sums, size }
    }

    /// Σ zᵢ: the product of column `i` with the column of ones, in the lower triangle.
    fn column_sum(&self, i: usize) -> f64 {
        let ones = self.size - 2; // the target comes after it
        if i > ones {
            self.sums[i * self.size + ones]
        } else {
            self.sums[ones * self.size + i]
        }
    }

    /// Coefficients at the minimum, followed by the intercept.
    fn minimum(&self) -> Result<Vec<f64>> {
        let width = self.size - 1;
        let ones = width - 1;
        if self.column_sum(ones) <= 0.0 {
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

/// Writes `dir/regression.parquet`, without the truth if it is not known.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn write(dir: &Path, segments: &Segments, predictions: &[f64]) -> Result<()> {
    let mut table = schema::regression();
    let mut columns = vec![
        Column::new(SAMPLE_ID.into(), &segments.sample_ids[..]),
        Column::new(SEGMENT_ID.into(), &segments.segment_ids[..]),
    ];
    if segments.has_truth {
        let truth = &segments.adjusted_iou[..];
        columns.push(Column::new(ADJUSTED_IOU.into(), truth));
    } else {
        table = table.without_truth();
    }
    columns.push(Column::new("predicted_iou".into(), predictions));
    let frame = DataFrame::new(segments.len(), columns)?;
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
