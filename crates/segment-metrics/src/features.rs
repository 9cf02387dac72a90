//! The metrics of a predicted segment, from the sums over its pixels.

use artifacts::basis::Basis;

use crate::region_sums::{HeatSums, RegionSums};

/// The metrics of a segment that `basis` gives, in the order of [`artifacts::tables::features::features_of`]: 37 + 2 C values for
/// logits of C classes, 17 for a score map alone.
///
/// Means and variances over an empty interior are 0. A segment that is the whole image has no boundary: its
/// relative sizes are then those of a boundary of one pixel, and its metrics over the boundary are 0. (The reference divides by
/// zero there.)
///
/// Source: Chan et al. 2021, section 4 (meta classification); reference `compute_metrics_components`.
pub fn features(sums: &RegionSums, basis: Basis) -> Vec<f64> {
    let (size, interior, boundary) = (
        sums.size as f64,
        sums.interior as f64,
        sums.boundary() as f64,
    );
    let size_rel = size / boundary.max(1.0);
    let size_rel_interior = interior / boundary.max(1.0);
    let mut row = Vec::with_capacity(47 + 2 * sums.class_probs.len());
    let of_logits = sums.heats.iter().filter(|_| basis.num_classes.is_some());
    let adopted = Some(&sums.adopted).filter(|_| basis.has_adopted);
    for heat in of_logits.chain(adopted) {
        row.extend(heat_features(heat, sums, size_rel, size_rel_interior));
    }
    row.extend([size, boundary, interior, size_rel, size_rel_interior]);
    let (centroid_row, centroid_col) = sums.centroid();
    row.extend([centroid_row, centroid_col]);
    row.extend(sums.class_probs.iter().map(|sum| sum / size));
    let pairs = sums.neighbor_classes.iter().sum::<u64>().max(1) as f64;
    row.extend(sums.neighbor_classes.iter().map(|&n| n as f64 / pairs));
    row
}

/// Means of one uncertainty map over all pixels, the boundary and the interior, and relative to the size; then the variances.
fn heat_features(
    heat: &HeatSums,
    sums: &RegionSums,
    size_rel: f64,
    size_rel_interior: f64,
) -> [f64; 10] {
    let all = mean_and_variance(
        heat.interior.sum + heat.boundary.sum,
        heat.interior.squares + heat.boundary.squares,
        sums.size,
    );
    let boundary = mean_and_variance(heat.boundary.sum, heat.boundary.squares, sums.boundary());
    let interior = mean_and_variance(heat.interior.sum, heat.interior.squares, sums.interior);
    [
        all.0,
        boundary.0,
        interior.0,
        all.0 * size_rel,
        interior.0 * size_rel_interior,
        all.1,
        boundary.1,
        interior.1,
        all.1 * size_rel,
        interior.1 * size_rel_interior,
    ]
}

/// Mean and population variance from the sums over `n` values; both 0 for no values. The variance may be negative by rounding.
pub(crate) fn mean_and_variance(sum: f64, squares: f64, n: u64) -> (f64, f64) {
    let n = n.max(1) as f64;
    let mean = sum / n;
    (mean, squares / n - mean * mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifacts::tables::features::features_of;

    #[test]
    fn every_column_has_a_value_even_without_boundary() {
        let sums = RegionSums {
            size: 4,
            size_connected: 4,
            interior: 4,
            rows: 2,
            columns: 2,
            heats: [HeatSums::default(); 3],
            adopted: HeatSums::default(),
            class_probs: vec![4.0, 0.0],
            class_sizes: vec![4, 0],
            neighbor_classes: vec![0, 0],
        };
        for basis in [
            Basis::logits(2),
            Basis {
                has_adopted: true,
                ..Basis::logits(2)
            },
        ] {
            let row = features(&sums, basis);
            assert_eq!(row.len(), features_of(basis).len());
            assert!(row.iter().all(|v| v.is_finite()));
        }
        let row = features(&sums, Basis::logits(2));
        let names = features_of(Basis::logits(2)).into_iter().map(|f| f.name);
        let names: Vec<_> = names.collect();
        let value = |name: &str| names.iter().position(|n| n == name).map(|i| row[i]);
        assert_eq!(value("size_rel"), Some(4.0));
        assert_eq!(value("centroid_row"), Some(0.5));
        assert_eq!(value("class_prob_00"), Some(1.0));
        assert_eq!(value("entropy_mean_boundary"), Some(0.0));
    }
}
