//! Where the files of each format are written to: one output directory for each, so that a further format leaves the others as
//! they are.

use std::path::{Path, PathBuf};

use anyhow::Result;
use artifacts::index::{self, Index, Sample};
use artifacts::logits::logits_path;
use artifacts::manifest::Input;
use artifacts::reuse::{self, PerSample};
use artifacts::stage_dir::{Replacing, Request, StageDir, ensure_not_around};
use serde::Serialize;
use stage_cli::{Failures, Merge, SomeFailed};

use super::args::{ExportArgs, Format};

/// Inputs in the manifest that list samples. If nothing else changed, the files of samples that are still the same are kept.
const LISTINGS: [&str; 4] = ["logits", "scores", "labels", FOLDER];

/// Name of the folder of images among the inputs in the manifest.
const FOLDER: &str = "folder";

/// Name of what all logits or scores have in common among the inputs in the manifest.
const NETWORK: &str = "network";

/// The directories of the formats that are not up to date.
pub(super) struct Outputs {
    dirs: Vec<FormatDir>,
    /// That the result of a format is complete but for samples that failed.
    some_failed: Result<()>,
}

/// Where the samples are listed.
#[derive(Clone, Copy)]
pub(super) struct Listed<'a> {
    /// What is known of the images of the samples, if anything is.
    pub(super) index: Option<&'a Index>,
    /// The folder of images with their hash, if it was given.
    pub(super) folder: Option<&'a Input>,
}

/// What the manifest of a format records as arguments.
#[derive(Serialize)]
struct ManifestArguments<'a> {
    format: Format,
    #[serde(flatten)]
    args: &'a ExportArgs,
}

impl Outputs {
    /// Opens the directory of each format. `dataset` is the name of the data set in the folders of the benchmark.
    ///
    /// # Errors
    /// Returns an error if a directory cannot be used.
    pub(super) fn open(
        args: &ExportArgs,
        dataset: &str,
        listed: Listed,
        force: bool,
    ) -> Result<Self> {
        let mut outputs = Self {
            dirs: Vec::new(),
            some_failed: Ok(()),
        };
        for &format in &args.format {
            let folder = folder_name(format, &args.method, dataset);
            let path = args.output.join(&folder);
            let request = request(&path, args, format, listed, force)?;
            match stage_cli::open_request(request) {
                Ok(dir) => outputs.dirs.extend(dir.map(|dir| FormatDir {
                    format,
                    folder,
                    dir,
                    source: args.source().dir.to_owned(),
                })),
                Err(error) if error.is::<SomeFailed>() => outputs.some_failed = Err(error),
                Err(error) => return Err(error),
            }
        }
        Ok(outputs)
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.dirs.is_empty()
    }

    /// Keeps and takes over what earlier calls made of the same samples, and writes the index of these.
    ///
    /// # Errors
    /// Returns an error if a file cannot be removed, linked or written.
    pub(super) fn reuse(&self, index: &Index) -> Result<()> {
        let mut dirs = self.dirs.iter();
        dirs.try_for_each(|output| reuse::reuse(&output.dir, index, output))
    }

    /// Takes the files of shards over, if there are any.
    ///
    /// # Errors
    /// Returns an error if the folders are not all shards of this call, or a file is missing or damaged.
    pub(super) fn merge(&self, merge: &Merge) -> Result<()> {
        let mut dirs = self.dirs.iter();
        dirs.try_for_each(|output| {
            merge.take_over_below(&output.dir, &[], Path::new(&output.folder))
        })
    }

    /// The files of a sample that do not exist yet. Files that exist are complete.
    pub(super) fn missing(&self, sample_id: &str) -> Vec<(Format, PathBuf)> {
        let dirs = self.dirs.iter();
        let file = |output: &FormatDir| output.dir.path().join(output.file(sample_id));
        let mut files: Vec<_> = dirs.map(|output| (output.format, file(output))).collect();
        files.retain(|(_, path)| !path.exists());
        files
    }

    /// Completes the directories. A sample that failed has no file in any format. `index`: what is known of the samples, if
    /// anything is.
    ///
    /// # Errors
    /// Returns an error if a directory cannot be completed, and [`SomeFailed`] at the end if there were failures.
    pub(super) fn finish(
        self,
        failures: &Failures,
        index: Option<&Index>,
        n_samples: u64,
    ) -> Result<()> {
        let failed = failures.so_far();
        let mut exported = index.cloned();
        if let Some(index) = &mut exported {
            failures.leave_out(index);
        }
        let mut some_failed = self.some_failed;
        for output in self.dirs {
            for id in failed.keys() {
                output.remove(output.dir.path(), id)?;
            }
            if let Some(exported) = &exported {
                exported.write(output.dir.path())?;
            }
            match failures.finish(output.dir, &[("samples", n_samples)]) {
                Err(error) if error.is::<SomeFailed>() => some_failed = Err(error),
                result => result?,
            }
        }
        some_failed
    }
}

/// The directory of one format.
struct FormatDir {
    format: Format,
    /// The directory, relative to that of all formats.
    folder: String,
    dir: StageDir,
    /// Folder of the logits or scores.
    source: PathBuf,
}

impl FormatDir {
    fn file(&self, sample_id: &str) -> String {
        format!("{sample_id}.{}", extension(self.format))
    }
}

impl PerSample for FormatDir {
    fn files(&self, sample_id: &str) -> Vec<String> {
        vec![self.file(sample_id)]
    }

    fn sources(&self, index: &Index, sample: &Sample) -> Vec<PathBuf> {
        let image = index.image_root.join(&sample.image);
        // score maps are named as logits are
        vec![logits_path(&self.source, &sample.sample_id), image]
    }
}

/// The work of one format.
fn request<'a>(
    path: &'a Path,
    args: &ExportArgs,
    format: Format,
    listed: Listed,
    force: bool,
) -> Result<Request<'a>> {
    let labels = args.labels.as_ref().map(|dir| dir.join(index::FILE_NAME));
    let source = args.source();
    let mut inputs = vec![(source.content, source.dir)];
    inputs.extend(labels.as_ref().map(|path| ("labels", path.as_path())));
    let arguments = ManifestArguments { format, args };
    let stage = "ood-eval export";
    // damaged logits are listed later, if the work goes on without them
    let mut request = if args.keep_going.keep_going {
        Request::as_found(path, stage, &arguments, &inputs, force)?
    } else {
        Request::new(path, stage, &arguments, &inputs, force)?
    };
    if let Some(folder) = listed.folder {
        ensure_not_around(path, &folder.path)?;
        let input = (FOLDER.to_owned(), folder.clone());
        request.work.inputs.extend([input]);
    }
    if listed.index.is_some() {
        let network = Input::of_work(source.dir, &LISTINGS)?;
        request.work.inputs.extend([(NETWORK.to_owned(), network)]);
        request.listings = &LISTINGS;
    }
    // an output among the labels would be a foreign file to their stage
    request.reads.extend(args.labels.clone());
    request.replacing = Replacing::SameArguments;
    Ok(request)
}

fn folder_name(format: Format, method: &str, dataset: &str) -> String {
    match format {
        Format::Smiyc => format!("anomaly_p/{method}/{dataset}"),
        Format::Npy => "npy".to_owned(),
        Format::Tiff => "tiff".to_owned(),
        Format::Png => "png".to_owned(),
        Format::Overlay => "overlay".to_owned(),
    }
}

fn extension(format: Format) -> &'static str {
    match format {
        Format::Smiyc => "hdf5",
        Format::Npy => "npy",
        Format::Tiff => "tiff",
        Format::Png | Format::Overlay => "png",
    }
}
