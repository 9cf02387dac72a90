//! `ood-eval closed-set`: how well the known classes are still segmented.

use anyhow::{Result, ensure};
use artifacts::index::{Index, Sample};
use artifacts::labels::{IGNORE, MaskKind, NUM_CLASSES};
use artifacts::logits::{Logits, logits_path};
use measures::calibration::Calibration;
use measures::confusion::Confusion;
use measures::pixel_row::PixelRow;
use rayon::prelude::*;
use stage_cli::{Progress, print_result};

use crate::args::ClosedSetArgs;
use crate::read::known_classes::{
    read_calibration, read_confusion, write_calibration, write_confusion,
};
use crate::tables::class_table;

/// Counts the pixels of a data set per pair of true and predicted class, and by confidence, or shows the counts if they are up to date.
pub(crate) fn run(args: &ClosedSetArgs, force: bool) -> Result<()> {
    let index = Index::read(&args.labels)?;
    ensure!(
        index.mask_kind == MaskKind::TrainId,
        "masks in {} are {:?}, but train ids are needed: prepare the data set with its known classes",
        args.labels.display(),
        index.mask_kind
    );
    let inputs = [
        ("logits", args.logits.as_path()),
        ("labels", args.labels.as_path()),
    ];
    let (confusion, calibration) =
        match stage_cli::open(&args.output, "ood-eval closed-set", args, &inputs, force)? {
            None => (
                read_confusion(&args.output)?,
                read_calibration(&args.output)?,
            ),
            Some(dir) => {
                let (confusion, calibration) = count_all(&index, args)?;
                write_confusion(dir.path(), &confusion)?;
                write_calibration(dir.path(), &calibration)?;
                dir.finish(&[("samples", index.samples.len() as u64)])?;
                (confusion, Some(calibration))
            }
        };
    print_result(class_table(&[(index.dataset.as_str(), &confusion)]).terminal());
    if let Some(error) = calibration.and_then(|c| c.error()) {
        print_result(format_args!(
            "expected calibration error: {:.2} %",
            100.0 * error
        ));
    }
    Ok(())
}

fn count_all(index: &Index, args: &ClosedSetArgs) -> Result<(Confusion, Calibration)> {
    let progress = Progress::new("closed-set", index.samples.len() as u64, "images");
    let total = index
        .samples
        .par_iter()
        .map(|sample| {
            let counts = count_sample(index, sample, args);
            progress.advance(1);
            counts
        })
        .try_reduce(empty, |a, b| Ok((a.0.merge(&b.0), a.1.merge(&b.1))))?;
    progress.finish();
    Ok(total)
}

/// Counts of no pixels.
fn empty() -> (Confusion, Calibration) {
    (Confusion::new(NUM_CLASSES), Calibration::default())
}

fn count_sample(
    index: &Index,
    sample: &Sample,
    args: &ClosedSetArgs,
) -> Result<(Confusion, Calibration)> {
    let mask = index.read_mask(&args.labels, sample)?;
    let size = Some((mask.width, mask.height));
    let logits = Logits::read_sample(&args.logits, &sample.sample_id, size)?;
    ensure!(
        logits.info.num_classes == NUM_CLASSES,
        "{} has {} classes, but train ids are those of {NUM_CLASSES}",
        logits_path(&args.logits, &sample.sample_id).display(),
        logits.info.num_classes
    );
    let mut reader = logits.row_reader();
    let mut row = vec![0.0; NUM_CLASSES * mask.width];
    let mut pixels = PixelRow::new(NUM_CLASSES, mask.width);
    let (mut confusion, mut calibration) = empty();
    for (y, truth) in mask.labels.chunks_exact(mask.width).enumerate() {
        reader.read(y, &mut row);
        pixels.fill_from_logits(&row);
        confusion.count(truth, &pixels.class);
        let predicted = pixels.class.iter().zip(&pixels.first);
        for (&truth, (&class, &confidence)) in truth.iter().zip(predicted) {
            if truth != IGNORE {
                calibration.count(confidence, truth == class);
            }
        }
    }
    Ok((confusion, calibration))
}
