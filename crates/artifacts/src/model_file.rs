//! `model.json`: the meta classifier that `meta-clf fit` fitted to all segments, with the standardization of its metrics.
//!
//! This module holds the format and the checks of what is read. How a probability is computed from the parameters is in
//! `meta-clf`.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::atomic::{read_json, write_json};
use crate::classes::ClassSet;
use crate::score::Score;
use crate::tables::features::class_of;

/// File name inside the folder that `meta-clf fit` writes.
pub const FILE_NAME: &str = "model.json";

/// Version of the format that is written, and the only one that is read.
pub const FORMAT_VERSION: u32 = 3;

/// A classifier of standardized metrics, (metric − mean) / (std + 1e-10).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Version of this format.
    pub format_version: u32,
    /// The classes that metrics are about; `None` if no metric is about a class. Older files lack them: there the number of classes
    /// implies which they are ([`ClassSet::implied`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<ClassSet>,
    /// Names of the metrics; means, deviations and coefficients are in their order.
    pub features: Vec<String>,
    /// Mean of each metric over the training segments.
    pub mean: Vec<f64>,
    /// Population standard deviation of each metric over the training segments, at least 0.
    pub std: Vec<f64>,
    /// Parameters that give the probability of a false positive.
    pub classifier: Classifier,
    /// Linear prediction of the adjusted `IoU`, present if the model was fitted with `--regress`.
    pub regression: Option<Linear>,
    /// Segments whose probability of a false positive is higher are rejected; in [0, 1].
    pub threshold: f64,
    /// Number of training segments.
    pub n_segments: u64,
    /// Number of training segments that were false positives.
    pub n_false_positives: u64,
    /// BLAKE3 of each table `segments.parquet` that the model was fitted to.
    pub training_tables: Vec<String>,
    /// How the training segments were made. Probabilities mean nothing for segments that were made otherwise.
    pub origin: SegmentOrigin,
}

/// How segments were made, from the manifests and tables of the folders that they are in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentOrigin {
    /// Score whose threshold gave the segments; `None` if the manifests do not name it.
    pub score: Option<Score>,
    /// Name of the other method whose score maps were read; `None` if there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Smallest score of a flagged pixel; `None` if the manifests do not name it.
    pub threshold: Option<f64>,
    /// Neighbors of a pixel that count as connected, 4 or 8.
    pub connectivity: u8,
    /// Smallest segment in pixels; smaller ones were dropped.
    pub min_size: u64,
    /// BLAKE3 of the weights of each network that scored the pixels, sorted; none if the folders of logits are gone.
    pub weights: Vec<String>,
    /// Width and height of the images in pixels, each size once, sorted.
    pub image_sizes: Vec<[u32; 2]>,
}

/// Parameters of a fitted classifier. Its inputs are standardized metrics, its output is the probability of a false positive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Classifier {
    /// Logistic regression, with an L1 penalty or an L2 penalty.
    Linear(Linear),
    /// Gradient-boosted trees.
    Trees(BoostedTrees),
    /// Fully connected network.
    Network(Network),
}

/// Intercept + Σ coefficient · standardized metric: log odds of a false positive, or the predicted adjusted `IoU`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// One coefficient for each metric; in a classifier, a positive one raises the probability of a false positive.
    pub coefficients: Vec<f64>,
    /// Value where all standardized metrics are 0.
    pub intercept: f64,
}

/// The mean over ensembles of σ(base + Σ leaf weights).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoostedTrees {
    /// One ensemble for each seed.
    pub ensembles: Vec<Ensemble>,
}

/// Trees whose leaf weights add up to log odds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ensemble {
    /// Log odds before the first tree.
    pub base: f64,
    /// Nodes of each tree; the first node is the root, and children come after their parents.
    pub trees: Vec<Vec<Node>>,
}

/// A split or a leaf of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Node {
    /// Continues at `below` if the standardized metric is less than the threshold, else at `above`.
    Split {
        /// Index of the metric.
        feature: usize,
        /// Value that the standardized metric is compared with.
        threshold: f64,
        /// Index of a later node of the same tree.
        below: usize,
        /// Index of a later node of the same tree.
        above: usize,
    },
    /// Ends the path through the tree.
    Leaf {
        /// Added to the log odds.
        weight: f64,
    },
}

/// Networks that differ only by their seeds; their probabilities are averaged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Layers of each network, from input to output.
    pub members: Vec<Vec<Layer>>,
}

/// A fully connected layer, y = x W + b, followed by a rectifier unless it is the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// W, `[inputs, outputs]`, row-major.
    pub weights: Vec<f32>,
    /// b, `[outputs]`.
    pub biases: Vec<f32>,
}

impl Model {
    /// Reads and checks a model file.
    ///
    /// # Errors
    /// Returns an error if the file is absent or damaged, has another format version, or its parts do not fit together.
    pub fn read(path: &Path) -> Result<Self> {
        ensure!(
            path.is_file(),
            "{} does not exist or is not a file: run `meta-clf fit` first, and name the {FILE_NAME} that it writes",
            path.display()
        );
        let content: Value = read_json(path)?;
        Self::from_content(content).with_context(|| format!("{} cannot be used", path.display()))
    }

    /// Looks at the version first: fields of another version say nothing about what to do.
    fn from_content(content: Value) -> Result<Self> {
        let version = &content["format_version"];
        ensure!(
            *version == FORMAT_VERSION,
            "format version {version} is not {FORMAT_VERSION}: run `meta-clf fit` again"
        );
        let mut model: Self = serde_json::from_value(content)?;
        let num_classes = model.num_classes();
        if model.classes.is_none() && num_classes > 0 {
            model.classes = Some(ClassSet::implied(num_classes)?);
        }
        model.check()?;
        Ok(model)
    }

    /// Number of classes that metrics are about.
    fn num_classes(&self) -> usize {
        let classes = self.features.iter().filter_map(|name| class_of(name));
        classes.max().map_or(0, |last| last + 1)
    }

    /// Writes `dir/model.json`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write_json(&dir.join(FILE_NAME), self)
    }

    /// The classifier if it is linear, so that its log odds are a sum over the metrics.
    pub fn linear(&self) -> Option<&Linear> {
        match &self.classifier {
            Classifier::Linear(linear) => Some(linear),
            Classifier::Trees(_) | Classifier::Network(_) => None,
        }
    }

    fn check(&self) -> Result<()> {
        let n = self.features.len();
        ensure!(
            self.mean.len() == n && self.std.len() == n,
            "it names {n} features, but has {} means and {} standard deviations",
            self.mean.len(),
            self.std.len()
        );
        let (described, used) = (
            self.classes.as_ref().map_or(0, ClassSet::len),
            self.num_classes(),
        );
        ensure!(
            described == used,
            "it describes {described} classes, but its features are about {used}"
        );
        self.classes.as_ref().map_or(Ok(()), ClassSet::check)?;
        self.classifier.check(n)?;
        if let Some(regression) = &self.regression {
            regression.check(n)?;
        }
        ensure!(
            self.std.iter().all(|&s| s >= 0.0),
            "it has a negative standard deviation"
        );
        ensure!(
            (0.0..=1.0).contains(&self.threshold),
            "its threshold {} is not a probability",
            self.threshold
        );
        Ok(())
    }
}

impl Classifier {
    /// Checks that the parameters can be used with rows of `n_features` metrics, so that no later computation can fail.
    ///
    /// # Errors
    /// Returns an error that says which part has the wrong size or refers to something that does not exist.
    pub fn check(&self, n_features: usize) -> Result<()> {
        match self {
            Self::Linear(linear) => linear.check(n_features),
            Self::Trees(trees) => trees.check(n_features),
            Self::Network(network) => network.check(n_features),
        }
    }
}

impl Linear {
    /// From coefficients that are followed by the intercept.
    pub fn new(mut theta: Vec<f64>) -> Self {
        let intercept = theta.pop().unwrap_or(0.0);
        Self {
            coefficients: theta,
            intercept,
        }
    }

    /// The coefficients, followed by the intercept.
    pub fn theta(&self) -> Vec<f64> {
        [&self.coefficients[..], &[self.intercept]].concat()
    }

    fn check(&self, n_features: usize) -> Result<()> {
        let n = self.coefficients.len();
        ensure!(
            n == n_features,
            "it names {n_features} features, but has {n} coefficients"
        );
        Ok(())
    }
}

impl BoostedTrees {
    /// Every path must end in a leaf, so children must exist and come after their parents.
    fn check(&self, n_features: usize) -> Result<()> {
        ensure!(!self.ensembles.is_empty(), "it has no ensemble of trees");
        for tree in self.ensembles.iter().flat_map(|e| &e.trees) {
            ensure!(!tree.is_empty(), "it has a tree without nodes");
            for (index, node) in tree.iter().enumerate() {
                node.check(index, tree.len(), n_features)?;
            }
        }
        Ok(())
    }
}

impl Node {
    /// Checks the node at `index` of a tree of `n_nodes` nodes.
    fn check(self, index: usize, n_nodes: usize, n_features: usize) -> Result<()> {
        let Self::Split {
            feature,
            below,
            above,
            ..
        } = self
        else {
            return Ok(());
        };
        ensure!(
            feature < n_features,
            "it names {n_features} features, but has a tree that uses feature {feature}"
        );
        let later = index + 1..n_nodes;
        ensure!(
            later.contains(&below) && later.contains(&above),
            "it has a tree of {n_nodes} nodes whose node {index} has the children {below} and {above}"
        );
        Ok(())
    }
}

impl Network {
    /// The outputs of each layer must be the inputs of the next one, and the last layer must have one output.
    fn check(&self, n_features: usize) -> Result<()> {
        ensure!(!self.members.is_empty(), "it has no network");
        for layers in &self.members {
            let mut inputs = n_features;
            for layer in layers {
                let outputs = layer.biases.len();
                ensure!(
                    outputs > 0 && layer.weights.len() == inputs * outputs,
                    "it has a layer of {inputs} inputs and {outputs} outputs with {} weights",
                    layer.weights.len()
                );
                inputs = outputs;
            }
            ensure!(
                inputs == 1 && !layers.is_empty(),
                "it has a network with {inputs} outputs instead of 1"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn model(classifier: Classifier) -> Model {
        Model {
            format_version: FORMAT_VERSION,
            classes: None,
            features: ["a", "b"].map(str::to_owned).into(),
            mean: vec![0.5, 1e-3],
            std: vec![0.0, 2.0],
            classifier,
            regression: None,
            threshold: 0.5,
            n_segments: 4,
            n_false_positives: 1,
            training_tables: vec!["c0ffee".to_owned()],
            origin: SegmentOrigin {
                score: Some(Score::MaxLogit),
                method: None,
                threshold: Some(-2.5),
                connectivity: 8,
                min_size: 0,
                weights: vec!["deca".to_owned()],
                image_sizes: vec![[2048, 1024]],
            },
        }
    }

    fn linear() -> Classifier {
        Classifier::Linear(Linear::new(vec![0.25, -3.0, 0.1]))
    }

    const LEAF: Node = Node::Leaf { weight: -0.5 };

    fn trees(root: Node) -> Classifier {
        Classifier::Trees(BoostedTrees {
            ensembles: vec![Ensemble {
                base: 0.75,
                trees: vec![vec![root, LEAF, LEAF]],
            }],
        })
    }

    fn split(feature: usize, below: usize) -> Node {
        Node::Split {
            feature,
            threshold: 1.5,
            below,
            above: 2,
        }
    }

    /// Layers of zeros with so many outputs each.
    fn network(widths: &[usize]) -> Classifier {
        let mut inputs = 2;
        let mut layers = Vec::new();
        for &outputs in widths {
            layers.push(Layer {
                weights: vec![0.0; inputs * outputs],
                biases: vec![0.0; outputs],
            });
            inputs = outputs;
        }
        Classifier::Network(Network {
            members: vec![layers],
        })
    }

    /// Files of older runs must stay readable, so keys, their order and the spelling of kinds are fixed.
    #[test]
    fn the_format_on_disk_stays() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let mut fitted = model(linear());
        fitted.regression = Some(Linear::new(vec![0.0, 1.0, 2.0]));
        fitted.write(dir.path())?;
        let path = dir.path().join(FILE_NAME);
        let expected = r#"{
  "format_version": 3,
  "features": [
    "a",
    "b"
  ],
  "mean": [
    0.5,
    0.001
  ],
  "std": [
    0.0,
    2.0
  ],
  "classifier": {
    "kind": "linear",
    "coefficients": [
      0.25,
      -3.0
    ],
    "intercept": 0.1
  },
  "regression": {
    "coefficients": [
      0.0,
      1.0
    ],
    "intercept": 2.0
  },
  "threshold": 0.5,
  "n_segments": 4,
  "n_false_positives": 1,
  "training_tables": [
    "c0ffee"
  ],
  "origin": {
    "score": "max_logit",
    "threshold": -2.5,
    "connectivity": 8,
    "min_size": 0,
    "weights": [
      "deca"
    ],
    "image_sizes": [
      [
        2048,
        1024
      ]
    ]
  }
}
"#;
        assert_eq!(std::fs::read_to_string(&path)?, expected);
        assert_eq!(Model::read(&path)?, fitted);
        assert_eq!(
            serde_json::to_value(trees(split(1, 1)))?,
            json!({ "kind": "trees", "ensembles": [{
                "base": 0.75,
                "trees": [[
                    { "feature": 1, "threshold": 1.5, "below": 1, "above": 2 },
                    { "weight": -0.5 },
                    { "weight": -0.5 }
                ]]
            }] })
        );
        assert_eq!(
            serde_json::to_value(network(&[1]))?,
            json!({ "kind": "network", "members": [[{ "weights": [0.0, 0.0], "biases": [0.0] }]] })
        );
        Ok(())
    }

    #[test]
    fn classes_of_older_files_follow_from_their_features() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join(FILE_NAME);
        let mut model = model(linear());
        for (last, expected) in [(18, "cityscapes"), (2, "unnamed")] {
            model.features[1] = format!("neighbor_class_{last:02}");
            model.write(dir.path())?;
            let classes = Model::read(&path)?.classes.map(|set| set.name);
            assert_eq!(classes.as_deref(), Some(expected));
        }
        model.classes = Some(ClassSet::open("camvid")?);
        model.write(dir.path())?;
        let error = format!("{:#}", Model::read(&path).expect_err("other classes"));
        assert!(error.contains("describes 11 classes"), "{error}");
        model.features[1] = "class_prob_10".to_owned();
        model.write(dir.path())?;
        assert_eq!(Model::read(&path)?, model);
        Ok(())
    }

    #[test]
    fn only_linear_models_have_coefficients() {
        let coefficients = |c: Classifier| model(c).linear().map(|l| l.coefficients.clone());
        assert_eq!(coefficients(linear()), Some(vec![0.25, -3.0]));
        assert_eq!(coefficients(trees(LEAF)), None);
        assert_eq!(coefficients(network(&[1])), None);
    }

    #[test]
    fn trees_that_lead_back_or_out_are_refused() {
        for (root, is_accepted) in [
            (split(0, 1), true),
            (split(0, 0), false),
            (split(0, 3), false),
            (split(2, 1), false),
            (LEAF, true),
        ] {
            assert_eq!(trees(root).check(2).is_ok(), is_accepted, "{root:?}");
        }
        let none = Classifier::Trees(BoostedTrees { ensembles: vec![] });
        assert!(none.check(2).is_err());
    }

    #[test]
    fn layers_must_fit_together() {
        for (widths, is_accepted) in [
            (&[3, 1][..], true),
            (&[1], true),
            (&[3, 2], false),
            (&[0, 1], false),
            (&[], false),
        ] {
            assert_eq!(network(widths).check(2).is_ok(), is_accepted, "{widths:?}");
        }
        assert!(network(&[3, 1]).check(3).is_err());
    }

    #[test]
    fn parts_that_do_not_fit_together_are_refused() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join(FILE_NAME);
        let refused = |change: fn(&mut Model), expected: &str| -> Result<()> {
            let mut model = model(linear());
            change(&mut model);
            model.write(dir.path())?;
            let error = format!("{:#}", Model::read(&path).expect_err(expected));
            assert!(
                error.contains("model.json") && error.contains(expected),
                "{error}"
            );
            Ok(())
        };
        refused(
            |m| m.format_version = 2,
            "format version 2 is not 3: run `meta-clf fit` again",
        )?;
        refused(|m| m.mean.clear(), "0 means")?;
        refused(|m| m.std[0] = -1.0, "negative standard deviation")?;
        refused(|m| m.threshold = 1.5, "threshold 1.5")?;
        refused(
            |m| m.regression = Some(Linear::new(vec![1.0])),
            "0 coefficients",
        )?;
        let missing = dir.path().join("missing/model.json");
        let error = format!("{:#}", Model::read(&missing).expect_err("absent"));
        assert!(error.contains("run `meta-clf fit` first"), "{error}");
        Ok(())
    }
}
