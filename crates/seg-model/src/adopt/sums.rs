//! Sums over the channels of an array, by which probabilities are told from other numbers.

/// The sums over the channels of `of` the values `[channels, n_pixels]`, pixel by pixel. Only as many are computed as are taken, some
/// more for speed.
pub(super) fn sums(
    values: &[f32],
    channels: usize,
    of: impl Fn(f32) -> f32,
) -> impl Iterator<Item = f32> {
    const BLOCK: usize = 1024;
    let n_pixels = values.len() / channels;
    let blocks = (0..n_pixels).step_by(BLOCK);
    blocks.flat_map(move |start| {
        let mut sums = vec![0.0; BLOCK.min(n_pixels - start)];
        for plane in values.chunks_exact(n_pixels) {
            let values = &plane[start..][..sums.len()];
            sums.iter_mut()
                .zip(values)
                .for_each(|(sum, &v)| *sum += of(v));
        }
        sums
    })
}
