//! Any bytes as COCO annotations: they are refused, or their shapes are rasterized within their images.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use artifacts::label_picture::decode_labels;
use coco_format::objects::Objects;
use coco_format::{dataset, rasterize};
use coco_proxy::mask_png;
use libfuzzer_sys::fuzz_target;

/// The annotation file: in memory, where the system has a folder for that.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("oodseg-fuzz-{}.json", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*FILE, bytes).expect("scratch can be written");
    let Ok(dataset) = dataset::read(&FILE) else {
        return;
    };
    for image in &dataset.images {
        let n_pixels = u64::from(image.width) * u64::from(image.height);
        if dataset::check_record(image).is_err() || n_pixels > 1 << 16 {
            continue;
        }
        let annotations = dataset.annotations.iter();
        for annotation in annotations.filter(|a| a.image_id == image.id) {
            let (width, height) = (image.width, image.height);
            let is_valid = rasterize::check(annotation, width, height).is_ok();
            let mut objects = Objects::default();
            let united = rasterize::unite(&mut objects, &[annotation], width, height);
            assert_eq!(is_valid, united.is_ok());
            let mut file = Vec::new();
            mask_png::write(&mut file, &objects, 0).expect("memory can be written");
            let mask = decode_labels(&file).expect("what was written can be read");
            let n_labeled = mask.labels.iter().filter(|label| **label > 0).count();
            assert_eq!(n_labeled as u64, objects.count());
        }
    }
});
