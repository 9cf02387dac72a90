//! Names of the hand-crafted segment metrics, here and in the reference implementation.

use std::path::Path;

use anyhow::{Result, ensure};
use polars::prelude::DataFrame;

use super::context;
use crate::basis::Basis;
use crate::classes::{self, ClassSet};

/// One metric of a predicted segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Column name in the table `segments`.
    pub name: String,
    /// Name in the reference's tables, e.g. `E_rel_in`. Metrics of another method's score and of the context have none there: it is
    /// our name.
    pub reference_name: String,
    /// What it measures, with its unit. It is written into the table and into docs/ARTIFACTS.md.
    pub meaning: String,
}

/// Pixel maps of logits over which metrics are computed: name, the reference's letter, formula in docs/ARTIFACTS.md.
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

/// Where a segment is: name, the reference's name, meaning.
const POSITION: [(&str, &str, &str); 2] = [
    ("centroid_row", "mean_x", "mean row, pixels from the top"),
    (
        "centroid_col",
        "mean_y",
        "mean column, pixels from the left",
    ),
];

/// Prefix of the columns of mean class probabilities.
const CLASS_PROB: &str = "class_prob_";

/// Prefix of the columns of predicted classes around a segment.
const NEIGHBOR_CLASS: &str = "neighbor_class_";

/// Prefix of the columns of another method's score.
const ADOPTED: &str = "adopted_";

/// All metrics of a segment that is measured from logits, in the order of the columns: 37 + 2 `num_classes`, which is 75 for 19
/// classes.
pub fn segment_features(num_classes: usize) -> Vec<Feature> {
    features_of(Basis::logits(num_classes))
}

/// All metrics of a segment that is measured from `basis`, in the order of the columns: ten for each pixel map (three of logits,
/// then that of another method), seven of sizes and position, and two for each class; then those of the context, if it is measured.
pub fn features_of(basis: Basis) -> Vec<Feature> {
    let mut features = Vec::new();
    if basis.num_classes.is_some() {
        features.extend(HEATS.into_iter().flat_map(heat_features));
    }
    if basis.has_adopted {
        features.extend(adopted_features());
    }
    features.extend(SIZES.map(feature));
    features.extend(POSITION.map(feature));
    let classes = || 0..basis.num_classes.unwrap_or(0);
    features.extend(classes().map(|class| Feature {
        name: format!("{CLASS_PROB}{class:02}"),
        reference_name: format!("cprob{class}"),
        meaning: format!("mean softmax probability of class {class}"),
    }));
    features.extend(classes().map(|class| Feature {
        name: format!("{NEIGHBOR_CLASS}{class:02}"),
        reference_name: format!("ndist{class}"),
        meaning: format!(
            "share of the pixels around the segment that are predicted as class {class}"
        ),
    }));
    if basis.has_context {
        features.extend(context::context_features(basis));
    }
    features
}

fn feature((name, reference, meaning): (&str, &str, &str)) -> Feature {
    Feature {
        name: name.to_owned(),
        reference_name: reference.to_owned(),
        meaning: meaning.to_owned(),
    }
}

/// The metrics of a pixel map of logits.
fn heat_features((heat, letter, what): (&str, &str, &str)) -> [Feature; 10] {
    STATISTICS.map(|(suffix, reference, meaning)| Feature {
        name: format!("{heat}_{suffix}"),
        reference_name: format!("{letter}{reference}"),
        meaning: meaning.replace("{}", what),
    })
}

/// The metrics of the score of another method.
fn adopted_features() -> [Feature; 10] {
    STATISTICS.map(|(suffix, _, meaning)| {
        let name = format!("{ADOPTED}{suffix}");
        Feature {
            reference_name: name.clone(),
            name,
            meaning: meaning.replace("{}", "the adopted score"),
        }
    })
}

/// What the segments of a table are measured from, which its columns tell.
pub fn basis_of(segments: &DataFrame) -> Basis {
    let has_heat = |prefix: &str| {
        let name = format!("{prefix}{}", STATISTICS[0].0);
        segments.column(&name).is_ok()
    };
    let has_logits = HEATS.iter().any(|(heat, ..)| has_heat(&format!("{heat}_")));
    let num_classes = num_classes(segments);
    Basis {
        num_classes: (has_logits || num_classes > 0).then_some(num_classes),
        has_adopted: has_heat(ADOPTED),
        has_context: segments.column(context::MARKER).is_ok(),
    }
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
    let prefixes = [CLASS_PROB, NEIGHBOR_CLASS, context::RING_CLASS];
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
    use polars::prelude::Column;

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
    fn a_table_says_whether_the_context_was_measured() {
        let of_logits = Basis::logits(3);
        for basis in [of_logits, Basis::adopted()] {
            let n = features_of(basis).len();
            let more = features_of(basis.with_context());
            assert_eq!(more[..n], features_of(basis));
            assert_eq!(more[n..], context::context_features(basis));
            for basis in [basis, basis.with_context()] {
                let columns = features_of(basis).into_iter();
                let columns = columns.map(|f| Column::new(f.name.into(), [0.0]));
                let table = DataFrame::new_infer_height(columns.collect());
                assert_eq!(table.ok().map(|t| basis_of(&t)), Some(basis));
            }
        }
        let features = features_of(of_logits.with_context());
        let classes = features.iter().filter_map(|f| class_of(&f.name));
        assert_eq!(classes.collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
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
