//! `ood-eval closed-set`: how well the known classes are still segmented.

use anyhow::{Context, Result, ensure};
use artifacts::classes::ClassSet;
use artifacts::index::{Index, Sample};
use artifacts::labels::{IGNORE, MaskKind};
use artifacts::logits::{Logits, logits_path};
use measures::calibration::Calibration;
use measures::confusion::Confusion;
use measures::pixel_row::PixelRow;
use rayon::prelude::*;
use stage_cli::{Progress, print_result};

use crate::args::ClosedSetArgs;
use crate::read::known_classes::KnownClasses;
use crate::tables::class_table;

/// Counts the pixels of a data set for each pair of true and predicted class, and by confidence, or shows the counts if they are up to date.
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
    let known = match stage_cli::open(&args.output, "ood-eval closed-set", args, &inputs, force)? {
        None => KnownClasses::read(&args.output)?,
        Some(dir) => {
            let known = count_all(&index, args)?;
            known.write(dir.path())?;
            dir.finish(&[("samples", index.samples.len() as u64)])?;
            known
        }
    };
    let table = class_table(&known.classes, &[(&index.dataset, &known.confusion)]);
    print_result(table.terminal());
    print_result(
        "IoU of each class, their mean, and pixel accuracy, in percent; –: a class without true pixels",
    );
    if let Some(error) = known.calibration.and_then(|c| c.error()) {
        print_result(format_args!(
            "expected calibration error: {:.2} %",
            100.0 * error
        ));
    }
    Ok(())
}

fn count_all(index: &Index, args: &ClosedSetArgs) -> Result<KnownClasses> {
    let classes = index.classes()?;
    let progress = Progress::new("closed-set", index.samples.len() as u64, "images");
    let total = index
        .samples
        .par_iter()
        .map(|sample| {
            let counts = count_sample(index, sample, args, classes);
            progress.advance(1);
            counts
        })
        .try_reduce(
            || empty(classes.len()),
            |a, b| Ok((a.0.merge(&b.0), a.1.merge(&b.1))),
        )?;
    progress.finish();
    let (confusion, calibration) = total;
    Ok(KnownClasses {
        classes: classes.clone(),
        confusion,
        calibration: Some(calibration),
    })
}

/// Counts of no pixels.
fn empty(num_classes: usize) -> (Confusion, Calibration) {
    (Confusion::new(num_classes), Calibration::default())
}

fn count_sample(
    index: &Index,
    sample: &Sample,
    args: &ClosedSetArgs,
    classes: &ClassSet,
) -> Result<(Confusion, Calibration)> {
    let mask = index.read_mask(&args.labels, sample)?;
    let size = Some((mask.width, mask.height));
    let logits = Logits::read_sample(&args.logits, &sample.sample_id, size)?;
    let same = logits.info.classes.ensure_same(classes);
    same.with_context(|| {
        format!(
            "{} has other classes than the labels in {}: map the labels to those of the network with `cityscapes-io prepare --class-map NAME|FILE`",
            logits_path(&args.logits, &sample.sample_id).display(),
            args.labels.display()
        )
    })?;
    let mut reader = logits.row_reader();
    let mut row = vec![0.0; classes.len() * mask.width];
    let mut pixels = PixelRow::new(classes.len(), mask.width);
    let (mut confusion, mut calibration) = empty(classes.len());
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
