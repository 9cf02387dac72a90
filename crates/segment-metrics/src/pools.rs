//! Pixel counts of the images that are measured, kept between runs.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::atomic::write_atomic;

use crate::pixels::{Histograms, put, take};

const FILE: &str = "pools";

/// Sums over some images of a stage.
pub struct Pools {
    /// Which images are in the sums, or to be skipped.
    pub is_done: Vec<bool>,
    /// Sums of the images without and with out-of-distribution pixels.
    pub histograms: [Histograms<u64>; 2],
}

impl Pools {
    /// What [`write`](Self::write) left in `dir`, or none of so many images.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn read(dir: &Path, n_samples: usize) -> Result<Self> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Ok(Self {
                is_done: vec![false; n_samples],
                histograms: [Histograms::<u64>::new(), Histograms::<u64>::new()],
            });
        }
        let inner = || -> Result<Self> {
            let bytes = fs::read(&path)?;
            let rest = &mut bytes.as_slice();
            let is_done = (0..n_samples).map(|_| Ok(take(rest)? == 1));
            let is_done = is_done.collect::<Result<_>>()?;
            let histograms = [Histograms::decode(rest)?, Histograms::decode(rest)?];
            ensure!(rest.is_empty(), "it is too long");
            Ok(Self {
                is_done,
                histograms,
            })
        };
        inner().with_context(|| {
            format!(
                "{} is damaged: start anew with --force, or remove the folder",
                path.display()
            )
        })
    }

    /// Replaces what stands in `dir`.
    ///
    /// # Errors
    /// If the disk fails; the sums before are then still there.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let mut bytes = Vec::new();
        for &is_done in &self.is_done {
            put(&mut bytes, u64::from(is_done));
        }
        for histograms in &self.histograms {
            histograms.encode(&mut bytes);
        }
        write_atomic(&dir.join(FILE), |w| Ok(w.write_all(&bytes)?))
    }
}
