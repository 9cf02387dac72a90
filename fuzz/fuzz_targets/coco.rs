//! Any bytes as COCO annotations: they are refused, or their shapes are drawn within their images.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use coco_proxy::{rasterize, select};
use libfuzzer_sys::fuzz_target;

/// In memory where there is such a folder.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("oodseg-fuzz-{}.json", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*FILE, bytes).expect("scratch can be written");
    let Ok(dataset) = select::read_dataset(&FILE) else {
        return;
    };
    for image in &dataset.images {
        let n_pixels = u64::from(image.width) * u64::from(image.height);
        if select::check_record(image).is_err() || n_pixels > 1 << 16 {
            continue;
        }
        let annotations = dataset.annotations.iter();
        for annotation in annotations.filter(|a| a.image_id == image.id) {
            let (width, height) = (image.width, image.height);
            let is_valid = rasterize::check(annotation, width, height).is_ok();
            let mask = rasterize::union_mask(&[annotation], width, height, 0);
            assert_eq!(is_valid, mask.is_ok());
        }
    }
});
