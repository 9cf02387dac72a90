//! Names of the hand-crafted segment metrics, here and in the reference implementation.

use polars::prelude::DataFrame;

/// One metric of a predicted segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Column name in the table `segments`.
    pub name: String,
    /// Name in the reference's tables, e.g. `E_rel_in`.
    pub reference_name: String,
    /// What it measures, with its unit. It is written into the table and into docs/ARTIFACTS.md.
    pub meaning: String,
}

/// Pixel maps over which metrics are computed: name, the reference's letter, formula in docs/ARTIFACTS.md.
pub const HEATS: [(&str, &str, &str); 3] = [
    ("prob_margin", "D", "1 − p₁ + p₂"),
    ("entropy", "E", "softmax entropy / ln C"),
    ("variation_ratio", "V", "1 − p₁"),
];

/// Statistics of a pixel map over a segment: suffix, the reference's suffix, meaning with `{}` for the formula.
const STATISTICS: [(&str, &str, &str); 10] = [
    ("mean", "", "mean of {}"),
    ("mean_boundary", "_bd", "mean of {} over the boundary"),
    (
        "mean_interior",
        "_in",
        "mean of {} over the interior, 0 if there is none",
    ),
    ("mean_rel", "_rel", "mean of {} times size_rel"),
    (
        "mean_rel_interior",
        "_rel_in",
        "mean of {} over the interior times size_rel_interior",
    ),
    ("var", "_var", "population variance of {}"),
    (
        "var_boundary",
        "_var_bd",
        "population variance of {} over the boundary",
    ),
    (
        "var_interior",
        "_var_in",
        "population variance of {} over the interior",
    ),
    ("var_rel", "_var_rel", "variance of {} times size_rel"),
    (
        "var_rel_interior",
        "_var_rel_in",
        "variance of {} over the interior times size_rel_interior",
    ),
];

/// Metrics of a segment's shape: name, the reference's name, meaning.
const SIZES: [(&str, &str, &str); 5] = [
    ("size", "S", "number of pixels"),
    ("size_boundary", "S_bd", "number of boundary pixels"),
    ("size_interior", "S_in", "number of interior pixels"),
    ("size_rel", "S_rel", "size / size_boundary"),
    (
        "size_rel_interior",
        "S_rel_in",
        "size_interior / size_boundary",
    ),
];

/// Prefix of the columns of mean class probabilities.
const CLASS_PROB: &str = "class_prob_";

/// All metrics of a predicted segment in the order of the columns: 37 + 2 `num_classes`, which is 75 for 19 classes.
pub fn segment_features(num_classes: usize) -> Vec<Feature> {
    let mut features = Vec::new();
    let mut push = |name: String, reference_name: String, meaning: String| {
        features.push(Feature {
            name,
            reference_name,
            meaning,
        });
    };
    for (heat, letter, what) in HEATS {
        for (suffix, reference, meaning) in STATISTICS {
            push(
                format!("{heat}_{suffix}"),
                format!("{letter}{reference}"),
                meaning.replace("{}", what),
            );
        }
    }
    for (name, reference, meaning) in SIZES {
        push(name.into(), reference.into(), meaning.into());
    }
    push(
        "centroid_row".into(),
        "mean_x".into(),
        "mean row, pixels from the top".into(),
    );
    push(
        "centroid_col".into(),
        "mean_y".into(),
        "mean column, pixels from the left".into(),
    );
    for class in 0..num_classes {
        push(
            format!("{CLASS_PROB}{class:02}"),
            format!("cprob{class}"),
            format!("mean softmax probability of class {class}"),
        );
    }
    for class in 0..num_classes {
        push(
            format!("neighbor_class_{class:02}"),
            format!("ndist{class}"),
            format!("share of the pixels around the segment that are predicted as class {class}"),
        );
    }
    features
}

/// Number of classes for which the table `segments` has metrics.
pub fn num_classes(segments: &DataFrame) -> usize {
    let columns = segments.get_column_names();
    columns
        .iter()
        .filter(|name| name.starts_with(CLASS_PROB))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_75_distinct_features_for_19_classes() {
        let features = segment_features(19);
        let names: std::collections::BTreeSet<_> = features.iter().map(|f| &f.name).collect();
        let reference: std::collections::BTreeSet<_> =
            features.iter().map(|f| &f.reference_name).collect();
        assert_eq!((features.len(), names.len(), reference.len()), (75, 75, 75));
    }
}
