//! Any bytes as a label image: they are refused, or give one label for each pixel, also after a round trip.

#![no_main]

use artifacts::label_picture::decode_labels;
use artifacts::picture::decode_rgb;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = decode_rgb(bytes);
    if let Ok(mask) = decode_labels(bytes) {
        assert_eq!(mask.labels.len(), mask.width * mask.height);
        let half = mask.resize_nearest(mask.width.div_ceil(2), mask.height.div_ceil(2));
        assert!(half.labels.iter().all(|label| mask.labels.contains(label)));
    }
});
