//! Results on the known classes.

use artifacts::labels::{CLASS_NAMES, NUM_CLASSES};
use measures::calibration::Calibration;
use measures::confusion::Confusion;
use serde::{Deserialize, Serialize};

use crate::read::runs::Run;

/// Metrics of the known classes of one run on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosedSetResults {
    /// Name of the data set.
    pub dataset: String,
    /// Name of the run.
    pub run: String,
    /// Share of pixels whose class is right, in [0, 1].
    pub pixel_accuracy: Option<f64>,
    /// Mean `IoU` of the classes that have true pixels, in [0, 1].
    pub mean_iou: Option<f64>,
    /// Mean `IoU` of the classes that occur in the truth or in the prediction, as in cityscapesScripts.
    pub mean_iou_with_absent: Option<f64>,
    /// Expected calibration error in [0, 1], see [`measures::calibration`]; `None` if it was not counted.
    pub calibration_error: Option<f64>,
    /// `IoU` of each class.
    pub classes: Vec<ClassResults>,
}

/// Results of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassResults {
    /// Name of the class.
    pub class: String,
    /// Intersection over union, in [0, 1]; `null` if the class occurs neither in the truth nor in the prediction.
    pub iou: Option<f64>,
    /// Pixels of the class in the truth.
    pub n_true: u64,
}

/// Results of all runs, sorted by data set, then in the order of the runs.
pub(super) fn closed_set_results(runs: &[Run]) -> Vec<ClosedSetResults> {
    let mut all = Vec::new();
    for run in runs {
        for (dataset, confusion) in &run.closed_set {
            let calibration = run.calibration.get(dataset);
            all.push(ClosedSetResults::of(
                dataset,
                &run.name,
                confusion,
                calibration,
            ));
        }
    }
    // stable: runs stay in their order
    all.sort_by(|a, b| a.dataset.cmp(&b.dataset));
    all
}

impl ClassResults {
    fn of(class: usize, confusion: &Confusion) -> Self {
        Self {
            class: CLASS_NAMES[class].to_owned(),
            iou: confusion.iou(class),
            n_true: confusion.true_pixels(class),
        }
    }
}

impl ClosedSetResults {
    fn of(
        dataset: &str,
        run: &str,
        confusion: &Confusion,
        calibration: Option<&Calibration>,
    ) -> Self {
        Self {
            dataset: dataset.to_owned(),
            run: run.to_owned(),
            pixel_accuracy: confusion.pixel_accuracy(),
            mean_iou: confusion.mean_iou(),
            mean_iou_with_absent: confusion.mean_iou_with_absent(),
            calibration_error: calibration.and_then(Calibration::error),
            classes: (0..NUM_CLASSES)
                .map(|class| ClassResults::of(class, confusion))
                .collect(),
        }
    }
}
