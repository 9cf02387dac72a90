//! `seg-model average`: the weighted mean of several weights of one network.
#![allow(clippy::doc_markdown)] // the docs of flags are their help, in which backticks would be printed

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use stage_cli::print_result;

use crate::checkpoint::Checkpoint;
use crate::output_file;

/// Arguments of `seg-model average`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Weights files of one network, with the same classes, separated by commas: those before and after a training (WiSE-FT, Wortsman
    /// et al., CVPR 2022), which keeps more of what the network knew before than the training does, or those of several trainings
    /// from the same start (a model soup, Wortsman et al., ICML 2022).
    #[arg(
        long,
        required = true,
        value_delimiter = ',',
        value_name = "FILE,FILE,..."
    )]
    pub weights: Vec<PathBuf>,
    /// Share of each file, in their order, 0 or more; only the proportions count.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "X,...",
        help = "Share of each file, in their order, 0 or more; only the proportions count [default: 1 for all]"
    )]
    pub shares: Vec<f64>,
    /// Weights file to write (safetensors).
    #[arg(long, visible_alias = "out", value_name = "FILE")]
    pub output: PathBuf,
}

impl Args {
    /// The shares, which sum to 1.
    fn shares(&self) -> Result<Vec<f64>> {
        let n = self.weights.len();
        ensure!(n > 1, "--weights has one file: pass two or more");
        if self.shares.is_empty() {
            return Ok(vec![1.0 / n as f64; n]);
        }
        ensure!(
            self.shares.len() == n,
            "--shares has {} values, --weights has {n} files: pass one for each",
            self.shares.len()
        );
        let sum: f64 = self.shares.iter().sum();
        let is_share = |share: &f64| share.is_finite() && *share >= 0.0;
        ensure!(
            self.shares.iter().all(is_share) && sum.is_finite() && sum > 0.0,
            "--shares: pass numbers of 0 or more that are not all 0"
        );
        Ok(self.shares.iter().map(|share| share / sum).collect())
    }
}

/// Writes the mean and prints what it is of.
///
/// # Errors
/// Returns an error if a file cannot be read, if the files are not of one network with the same classes and images, or if the output
/// cannot be written or would replace a file that is something else.
pub fn run(args: &Args, force: bool) -> Result<()> {
    let shares = args.shares()?;
    let files: Vec<&Path> = args.weights.iter().map(PathBuf::as_path).collect();
    output_file::check(&files, &args.output, force)?;
    let mut sum = Sum::default();
    let (mut first, mut sources) = (None, Vec::new());
    for (file, share) in files.iter().zip(&shares) {
        let checkpoint = Checkpoint::read(file, None)?;
        sources.push(format!("{share} of {}", output_file::hashed(file)?));
        sum.add(&checkpoint.tensors, *share)?;
        match &first {
            None => first = Some(checkpoint),
            Some(first) => check_alike(first, &checkpoint)
                .with_context(|| format!("{} and {}", files[0].display(), file.display()))?,
        }
    }
    let mut mean = first.context("--weights is empty")?;
    mean.tensors = sum.into_tensors(&mean.tensors)?;
    mean.source = format!("mean: {}", sources.join("; "));
    mean.write(&args.output)?;
    for source in sources {
        print_result(source);
    }
    print_result(format!("{}: their mean", args.output.display()));
    Ok(())
}

/// Refuses weights whose mean would have no meaning.
fn check_alike(first: &Checkpoint, other: &Checkpoint) -> Result<()> {
    let networks = (first.network.name(), other.network.name());
    ensure!(
        networks.0 == networks.1,
        "their networks are {} and {}, which have no mean",
        networks.0,
        networks.1
    );
    ensure!(
        first.table == other.table,
        "their output channels are not the same: {} and {} classes of {} and {}, in {} and {} channels",
        first.classes().len(),
        other.classes().len(),
        first.classes().name,
        other.classes().name,
        first.channels(),
        other.channels()
    );
    ensure!(
        first.normalization == other.normalization,
        "their images are normalized differently: {:?} and {:?}",
        first.normalization,
        other.normalization
    );
    ensure!(
        first.input_size == other.input_size,
        "they are for images of other sizes: `seg-model import --input-size` records one size for both"
    );
    Ok(())
}

/// Weighted sums of tensors, in f64, so that the order of the files does not show in an f32.
#[derive(Debug, Default)]
struct Sum(BTreeMap<String, Vec<f64>>);

impl Sum {
    fn add(&mut self, tensors: &BTreeMap<String, Tensor>, share: f64) -> Result<()> {
        for (name, tensor) in tensors {
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            let sums = self.0.entry(name.clone());
            let sums = sums.or_insert_with(|| vec![0.0; values.len()]);
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += share * f64::from(value);
            }
        }
        Ok(())
    }

    fn into_tensors(self, like: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
        let tensors = self.0.into_iter().map(|(name, sums)| {
            let values = sums.into_iter().map(|sum| sum as f32).collect();
            let shape = like[&name].shape();
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
            Ok((name, tensor))
        });
        tensors.collect()
    }
}
