//! The run: read labels and objects, make the images, write the indices.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, ensure};
use artifacts::atomic::{read_json, write_json, write_whole};
use artifacts::file_hash::FileHash;
use artifacts::index::{Index, Sample, check_sample_id};
use artifacts::labels::MaskKind;
use artifacts::manifest::{self, Manifest};
use artifacts::stage_dir::{Request, StageDir};
use image::RgbImage;
use image::codecs::png::PngEncoder;
use image::imageops::{self, FilterType};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stage_cli::{Failures, Progress, SomeFailed, print_result};

use crate::args::Args;
use crate::ground::{self, Ground};
use crate::pool::Pool;
use crate::preview;
use crate::record::{self, Record};
use crate::scene::{Scene, Studio};

/// Name of the stage in manifests.
const STAGE: &str = "blend-objects";

/// Folder of the index with the masks of known classes, in the output.
const KNOWN: &str = "known";

/// Folders of the images, and of masks beside an index.
const IMAGES: &str = "images";
const MASKS: &str = "masks";

/// Makes the development set that `args` describe, or says that the output is up to date.
///
/// # Errors
/// Returns an error if an argument or input cannot be used, no object finds a place, or a file cannot be written; and
/// [`SomeFailed`] if the output is complete but for images that failed.
pub fn run(args: &Args) -> Result<()> {
    args.check()?;
    let index = args.keep_going.read_index(&args.labels)?;
    ensure!(
        index.mask_kind == MaskKind::TrainId,
        "{} holds {:?} masks, but objects need known classes to stand on: name labels with train ids",
        args.labels.display(),
        index.mask_kind
    );
    let ground = Ground::of(index.classes()?, &args.ground)?;
    let pool = Pool::open(args)?;
    let inputs = args.inputs();
    let inputs: Vec<(&str, &Path)> = inputs.iter().map(|(n, path)| (n.as_str(), *path)).collect();
    let request = if args.keep_going.keep_going {
        Request::as_found(&args.output, STAGE, args, &inputs, args.common.force)?
    } else {
        Request::new(&args.output, STAGE, args, &inputs, args.common.force)?
    };
    let work = request.work.clone();
    let Some(dir) = stage_cli::open_request(request)? else {
        return Ok(());
    };
    let failures = Failures::new(args.keep_going);
    let jobs = jobs(args, &index, &failures)?;
    let studio = Studio {
        args,
        pool: &pool,
        ground: &ground,
        horizon: horizon(args, &index, &ground, &failures)?,
    };
    let made = make_all(&studio, &index, &jobs, &dir, &failures)?;
    finish(args, &index, made, (dir, work), &failures, pool.len())
}

/// An image to be made.
struct Job<'a> {
    sample: &'a Sample,
    /// Its name: that of the sample, with a number if there are several of it.
    id: String,
}

/// What is known of an image that is made, kept for a call that goes on after an interruption.
#[derive(Serialize, Deserialize)]
struct Made {
    sample: Sample,
    mask_blake3: String,
    known_blake3: String,
    records: Vec<Record>,
}

/// The images to be made, after a look at all images that they are made of.
fn jobs<'a>(args: &Args, index: &'a Index, failures: &Failures) -> Result<Vec<Job<'a>>> {
    let checked = index.samples.par_iter();
    let checked = checked.map(|sample| {
        (
            sample.sample_id.clone(),
            index.check_image(sample).map(|()| sample),
        )
    });
    let checked: Vec<_> = checked.collect();
    let usable = failures.check_all(args.subset.select(checked))?;
    let jobs = usable.into_iter().flat_map(|sample| {
        (1..=args.copies).map(move |copy| Job {
            sample,
            id: match args.copies {
                1 => sample.sample_id.clone(),
                _ => format!("{}-{copy}", sample.sample_id),
            },
        })
    });
    let jobs: Vec<Job> = jobs.collect();
    for job in &jobs {
        check_sample_id(&job.id)?;
    }
    ensure!(
        !jobs.is_empty(),
        "{} lists no images",
        args.labels.display()
    );
    Ok(jobs)
}

/// The horizon of the camera, in heights of the image.
fn horizon(args: &Args, index: &Index, ground: &Ground, failures: &Failures) -> Result<f64> {
    if let Some(horizon) = args.horizon {
        return Ok(horizon);
    }
    let broken = failures.so_far();
    let samples = index.samples.par_iter();
    let usable = samples.filter(|sample| !broken.contains_key(&sample.sample_id));
    let ends = usable.map(|sample| {
        let mask = index.read_mask(&args.labels, sample);
        let end = mask.map(|mask| ground.end(&mask));
        Ok(failures.check(&sample.sample_id, end)?.flatten())
    });
    let ends = ends.collect::<Result<Vec<Option<f64>>>>()?;
    let horizon = ground::horizon(ends.into_iter().flatten().collect());
    tracing::info!("the horizon is at {horizon:.3} of the height of the images (--horizon)");
    Ok(horizon)
}

/// Makes all images, in parallel; what an interrupted call of the same work made is kept.
fn make_all(
    studio: &Studio,
    index: &Index,
    jobs: &[Job],
    dir: &StageDir,
    failures: &Failures,
) -> Result<Vec<Made>> {
    dir.subdir(IMAGES)?;
    dir.subdir(MASKS)?;
    dir.subdir(&format!("{KNOWN}/{MASKS}"))?;
    let partial = dir.partial()?;
    let broken = failures.so_far();
    let progress = Progress::new(STAGE, jobs.len() as u64, "images");
    let made = jobs.par_iter().with_max_len(1).map(|job| {
        progress.advance(1);
        let sample = &job.sample.sample_id;
        if broken.contains_key(sample) {
            return Ok(None);
        }
        let note = partial.join(format!("{}.json", job.id));
        if let Some(made) = finished(&note, dir.path()) {
            return Ok(Some(made));
        }
        let made = make(studio, index, job, dir.path(), &note);
        failures.check(
            sample,
            made.with_context(|| format!("sample {sample} failed")),
        )
    });
    let made = made.collect::<Result<Vec<Option<Made>>>>();
    progress.finish();
    let made: Vec<Made> = made?.into_iter().flatten().collect();
    ensure!(
        !made.is_empty(),
        "no image could be used, see the warnings above"
    );
    Ok(made)
}

/// What an interrupted call noted of an image, if all of its files are there.
fn finished(note: &Path, dir: &Path) -> Option<Made> {
    let made: Made = note.exists().then(|| read_json(note).ok()).flatten()?;
    let id = &made.sample.sample_id;
    let is_same = |path: PathBuf, hash: &str| FileHash::of(&path).is_ok_and(|h| h.blake3 == hash);
    let image = std::fs::metadata(dir.join(&made.sample.image)).ok()?;
    let is_whole = image.len() == made.sample.image_bytes
        && is_same(dir.join(mask_file(id)), &made.mask_blake3)
        && is_same(dir.join(KNOWN).join(mask_file(id)), &made.known_blake3);
    is_whole.then_some(made)
}

fn mask_file(id: &str) -> PathBuf {
    Path::new(MASKS).join(format!("{id}.png"))
}

/// Makes one image and its masks, and notes it last.
fn make(studio: &Studio, index: &Index, job: &Job, dir: &Path, note: &Path) -> Result<Made> {
    let known = index.read_mask(&studio.args.labels, job.sample)?;
    let image = index.read_image(job.sample)?;
    let (width, height) = (known.width as u32, known.height as u32);
    let image = if image.dimensions() == (width, height) {
        image
    } else {
        imageops::resize(&image, width, height, FilterType::Triangle)
    };
    let Scene {
        image,
        eval,
        known,
        records,
    } = studio.blend(&job.id, image, &known)?;
    let file = Path::new(IMAGES).join(format!("{}.png", job.id));
    write_image(&dir.join(&file), &image)?;
    let (mask, known_mask) = (
        dir.join(mask_file(&job.id)),
        dir.join(KNOWN).join(mask_file(&job.id)),
    );
    eval.write(&mask)?;
    known.write(&known_mask)?;
    let made = Made {
        sample: Sample {
            sample_id: job.id.clone(),
            image_bytes: std::fs::metadata(dir.join(&file))?.len(),
            image: file,
            image_width: width,
            image_height: height,
            mask: Some(mask_file(&job.id)),
            mask_blake3: None,
            width,
            height,
            proxy: None,
        },
        mask_blake3: FileHash::of(&mask)?.blake3,
        known_blake3: FileHash::of(&known_mask)?.blake3,
        records,
    };
    write_json(note, &made)?;
    Ok(made)
}

fn write_image(path: &Path, image: &RgbImage) -> Result<()> {
    write_whole(path, |writer| {
        Ok(image.write_with_encoder(PngEncoder::new(writer))?)
    })
}

/// Writes indices, records and preview, and the manifests last.
fn finish(
    args: &Args,
    index: &Index,
    made: Vec<Made>,
    (dir, work): (StageDir, Manifest),
    failures: &Failures,
    n_pool: usize,
) -> Result<()> {
    let records: Vec<Record> = made.iter().flat_map(|made| made.records.clone()).collect();
    let n_with = made.iter().filter(|made| !made.records.is_empty()).count();
    ensure!(
        !records.is_empty() || args.empty_fraction >= 1.0,
        "no object found a place in any image: {n_pool} objects were tried; a larger range of --object-size, or another --horizon or --ground may help"
    );
    let n_images = made.len();
    record::write(dir.path(), &records)?;
    let eval = write_indices(args, index, made, (&dir, work))?;
    if args.preview > 0 {
        preview::write(dir.path(), &eval, usize::from(args.preview))?;
    }
    let n_objects = records.len();
    let n_sky = records.iter().filter(|record| !record.on_ground).count();
    let counts = [
        ("samples", n_images as u64),
        ("objects", n_objects as u64),
        ("samples_with_objects", n_with as u64),
    ];
    let finished = failures.finish(dir, &counts);
    if finished.as_ref().err().is_none_or(Error::is::<SomeFailed>) {
        let output = args.output.display();
        print_result(format_args!(
            "{n_objects} objects ({n_sky} in the air) in {n_with} of {n_images} images in {output}; masks of the known classes in {output}/{KNOWN}"
        ));
    }
    finished
}

/// Writes the index of unknown objects, and that of known classes with a manifest of its own, so that both can be named as labels.
/// Returns the first.
fn write_indices(
    args: &Args,
    index: &Index,
    made: Vec<Made>,
    (dir, work): (&StageDir, Manifest),
) -> Result<Index> {
    let classes = index.classes()?.clone();
    let (mut objects, mut known) = (Vec::new(), Vec::new());
    let mut files = std::collections::BTreeMap::new();
    for made in made {
        let name = format!("{MASKS}/{}.png", made.sample.sample_id);
        let bytes = std::fs::metadata(dir.path().join(KNOWN).join(&name))?.len();
        files.insert(name, bytes);
        known.push(Sample {
            mask_blake3: Some(made.known_blake3),
            ..made.sample.clone()
        });
        objects.push(Sample {
            mask_blake3: Some(made.mask_blake3),
            ..made.sample
        });
    }
    let name = format!("{}-blended", index.dataset);
    let root = &args.output;
    let eval = Index::new(&name, &index.split, MaskKind::Eval, root, objects)?;
    eval.write(dir.path())?;
    let known_dir = dir.path().join(KNOWN);
    let n_known = known.len() as u64;
    let known = Index::new(&name, &index.split, MaskKind::TrainId, root, known)?;
    known.with_classes(classes).write(&known_dir)?;
    let index_file = artifacts::index::FILE_NAME;
    let bytes = std::fs::metadata(known_dir.join(index_file))?.len();
    files.insert(index_file.to_owned(), bytes);
    let manifest = Manifest {
        counts: [("samples".to_owned(), n_known)].into(),
        files,
        ..work
    };
    manifest.write_file(&known_dir.join(manifest::FILE_NAME))?;
    Ok(eval)
}
