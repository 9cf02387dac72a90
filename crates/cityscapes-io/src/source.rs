//! Flags that say which data set is read, and from where.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use crate::manifest::DatasetManifest;

/// Which data set is read, and where its files are.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Source {
    /// Name of a known data set: cityscapes-train, cityscapes-val, cityscapes-test, cityscapes-coarse-train,
    /// cityscapes-coarse-train-extra, cityscapes-coarse-val, lost-and-found-train, lost-and-found-test,
    /// lost-and-found-test-no-known, fishyscapes-static, fishyscapes-laf, road-anomaly21, road-anomaly21-test,
    /// road-obstacle21, road-obstacle21-test, road-anomaly, street-hazards-test, bdd100k-train, bdd100k-val,
    /// camvid-train, camvid-val, camvid-test, idd-lite-train, idd-lite-val, coco-train2017, coco-val2017,
    /// coco-tiny-train, coco-tiny-val,
    /// coco-panoptic-train2017, coco-panoptic-val2017, pascal-voc-2012-train, pascal-voc-2012-val, image-folder.
    #[arg(long, value_name = "NAME", required_unless_present = "manifest")]
    pub dataset: Option<String>,
    /// Description of another data set, in the form of the files in data-manifests.
    #[arg(long, value_name = "FILE", conflicts_with = "dataset")]
    pub manifest: Option<PathBuf>,
    /// Folder of the data set as downloaded.
    #[arg(long, value_name = "FOLDER")]
    pub root: PathBuf,
}

impl Source {
    /// The manifest of the data set.
    ///
    /// # Errors
    /// Returns the error of [`DatasetManifest::load`].
    pub fn data_manifest(&self) -> Result<DatasetManifest> {
        DatasetManifest::load(self.dataset.as_deref(), self.manifest.as_deref())
    }
}
