//! Names of the hand-crafted segment metrics, here and in the reference implementation.

use std::path::Path;

use anyhow::{Result, ensure};
use polars::prelude::DataFrame;

use crate::classes::{self, ClassSet};

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

/// Prefix of the columns of predicted classes around a segment.
const NEIGHBOR_CLASS: &str = "neighbor_class_";

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
            format!("{NEIGHBOR_CLASS}{class:02}"),
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

/// Train id of the class that a metric is about; `None` if it is about no single class.
pub fn class_of(feature: &str) -> Option<usize> {
    let prefixes = [CLASS_PROB, NEIGHBOR_CLASS];
    let mut numbers = prefixes.iter().map(|prefix| feature.strip_prefix(prefix));
    numbers.find_map(|number| number)?.parse().ok()
}

/// A metric with the name of the class that it is about, for messages: `class_prob_11 (person)`.
pub fn title(feature: &str, classes: Option<&ClassSet>) -> String {
    let class = class_of(feature).and_then(|class| classes?.names().nth(class));
    class.map_or_else(
        || feature.to_owned(),
        |class| format!("{feature} ({class})"),
    )
}

/// The classes that the metrics of the table `segments` in `dir` are about, `num_classes` of them: those of `classes.json`, or those
/// that the number implies for tables of earlier versions. `None` if no metric is about a class.
///
/// # Errors
/// Returns an error if the file is damaged or describes another number of classes.
pub fn classes_in(dir: &Path, num_classes: usize) -> Result<Option<ClassSet>> {
    let path = dir.join(classes::FILE_NAME);
    if num_classes == 0 {
        return Ok(None);
    }
    if !path.exists() {
        return ClassSet::implied(num_classes).map(Some);
    }
    let set = ClassSet::read(dir)?;
    ensure!(
        set.len() == num_classes,
        "{} describes {} classes, but the segments beside it have the metrics of {num_classes}: run `segment-metrics` again with --force",
        path.display(),
        set.len()
    );
    Ok(Some(set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_name_their_classes() -> Result<()> {
        let set = ClassSet::open("camvid")?;
        for feature in segment_features(set.len()) {
            let of_class = feature.reference_name.starts_with("cprob")
                || feature.reference_name.starts_with("ndist");
            assert_eq!(class_of(&feature.name).is_some(), of_class);
        }
        let first = set.names().next().unwrap_or_default();
        let expected = format!("class_prob_00 ({first})");
        assert_eq!(title("class_prob_00", Some(&set)), expected);
        assert_eq!(title("class_prob_99", Some(&set)), "class_prob_99");
        assert_eq!(title("size", Some(&set)), "size");
        Ok(())
    }

    #[test]
    fn tables_of_earlier_versions_imply_their_classes() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let names = |n: usize| -> Result<_> { Ok(classes_in(dir.path(), n)?.map(|set| set.name)) };
        assert_eq!(names(0)?, None);
        assert_eq!(names(19)?.as_deref(), Some("cityscapes"));
        assert_eq!(names(3)?.as_deref(), Some("unnamed"));
        ClassSet::open("camvid")?.write(dir.path())?;
        assert_eq!(names(11)?.as_deref(), Some("camvid"));
        let error = names(3).expect_err("another number").to_string();
        assert!(error.contains("describes 11 classes"), "{error}");
        Ok(())
    }

    #[test]
    fn there_are_75_distinct_features_for_19_classes() {
        let features = segment_features(19);
        let names: std::collections::BTreeSet<_> = features.iter().map(|f| &f.name).collect();
        let reference: std::collections::BTreeSet<_> =
            features.iter().map(|f| &f.reference_name).collect();
        assert_eq!((features.len(), names.len(), reference.len()), (75, 75, 75));
    }
}
