//! Objects that are cut out of images, to be pasted into in-distribution crops.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use artifacts::index::Sample;
use artifacts::labels::{MaskKind, OOD_PROXY};
use artifacts::mask::Mask;
use image::{Rgb, RgbImage, imageops};
use rand::{Rng, RngExt};

use crate::labeled_image::LabeledImage;
use crate::source::Source;

/// Proxy images that are searched for an object to paste before giving up.
const MAX_ATTEMPTS: usize = 1_000;

/// Smallest object of a proxy image that is pasted, in pixels of its own image.
const MIN_AREA: usize = 2_500;

/// An object on a transparent background, as large as the object's bounding box.
#[derive(Debug)]
pub(crate) struct Cutout {
    pub(crate) colors: RgbImage,
    /// The same value in all channels: 255 on the object, 0 beside it, in between where an object is resized.
    pub(crate) opacity: RgbImage,
}

/// Where pasted objects come from.
#[derive(Debug)]
pub(crate) enum Pool {
    /// Connected parts of the masks of proxy images.
    Proxies(Box<Source>),
    /// Objects of `coco-proxy --objects`, which are pooled; at least one directory.
    Objects(Vec<Source>),
}

impl Pool {
    /// The objects in the directories `objects`, else those of the proxy images; `None` without either.
    ///
    /// # Errors
    /// Returns an error that names `--objects` if an index is missing, damaged or empty, or of another kind, or if the directories hold
    /// out different categories.
    pub(crate) fn open(objects: &[PathBuf], proxy: Option<&Source>) -> Result<Option<Self>> {
        let sources = objects.iter().map(|dir| {
            Source::open(dir, MaskKind::Object)
                .context("--objects needs directories of `coco-proxy --objects`")
        });
        let sources = sources.collect::<Result<Vec<Source>>>()?;
        let Some((first, others)) = sources.split_first() else {
            return Ok(proxy.cloned().map(Box::new).map(Self::Proxies));
        };
        for other in others {
            ensure_same_held_out(first, other)?;
        }
        if let Some(proxy) = proxy {
            report_shown(first, proxy);
        }
        Ok(Some(Self::Objects(sources)))
    }

    /// Cuts out a random object of a random image, mirrored with probability 1/2.
    ///
    /// # Errors
    /// Returns an error if an image or mask cannot be used, or there is no object that is large enough.
    pub(crate) fn random_object(&self, rng: &mut impl Rng) -> Result<Cutout> {
        match self {
            Self::Proxies(source) => random_part(source, rng),
            Self::Objects(sources) => random_instance(sources, rng),
        }
    }
}

/// Checks that no directory of objects shows what another one holds out.
fn ensure_same_held_out(first: &Source, other: &Source) -> Result<()> {
    let names = |source: &Source| source.held_out().iter().cloned().collect::<BTreeSet<_>>();
    let (of_first, of_other) = (names(first), names(other));
    let mut differences = Vec::new();
    for (source, here, there) in [(first, &of_first, &of_other), (other, &of_other, &of_first)] {
        let alone: Vec<&str> = here.difference(there).map(String::as_str).collect();
        if !alone.is_empty() {
            differences.push(format!(
                "{} alone {}",
                source.dir().display(),
                alone.join(", ")
            ));
        }
    }
    ensure!(
        differences.is_empty(),
        "--objects {} and {} hold out different categories for a development set: {}; make both with the same `coco-proxy --hold-out`",
        first.dir().display(),
        other.dir().display(),
        differences.join(", and ")
    );
    Ok(())
}

/// Warns of categories that objects hold out for a development set, but proxy images do not.
fn report_shown(objects: &Source, proxy: &Source) {
    let is_shown = |name: &&String| !proxy.held_out().contains(name);
    let shown = objects.held_out().iter().filter(is_shown);
    let shown: Vec<&str> = shown.map(String::as_str).collect();
    if !shown.is_empty() {
        tracing::warn!(
            "{} holds out {} for a development set, but {} does not: make it with the same --hold-out",
            objects.dir().display(),
            shown.join(", "),
            proxy.dir().display()
        );
    }
}

/// A random sample of all data sets, and its data set.
fn random_sample<'a>(
    sources: &'a [Source],
    rng: &mut impl Rng,
) -> Result<(&'a Source, &'a Sample)> {
    let all: usize = sources.iter().map(|source| source.samples().len()).sum();
    let mut left = rng.random_range(0..all as u64) as usize;
    for source in sources {
        match source.samples().get(left) {
            Some(sample) => return Ok((source, sample)),
            None => left -= source.samples().len(),
        }
    }
    bail!("there are no images of objects")
}

/// Cuts an object out of a random proxy image; images without a large enough object are skipped.
fn random_part(proxy: &Source, rng: &mut impl Rng) -> Result<Cutout> {
    for _ in 0..MAX_ATTEMPTS {
        let (_, sample) = random_sample(std::slice::from_ref(proxy), rng)?;
        let labeled = proxy
            .read(sample)
            .with_context(|| format!("proxy {}", sample.sample_id))?;
        if let Some(object) = cut_out(&labeled, rng) {
            return Ok(object);
        }
    }
    bail!(
        "none of {MAX_ATTEMPTS} random images of {} has a connected object of {MIN_AREA} pixels to be pasted (--paste)",
        proxy.dir().display()
    )
}

/// Cuts out a random object of a random image of `coco-proxy --objects`.
fn random_instance(objects: &[Source], rng: &mut impl Rng) -> Result<Cutout> {
    let (source, sample) = random_sample(objects, rng)?;
    let (u, is_mirrored): (f64, bool) = (rng.random(), rng.random());
    let n_objects = sample.proxy.as_ref().map_or(0, |proxy| proxy.objects.len());
    let number = (n_objects as f64 * u) as usize + 1;
    let labeled = source.read(sample);
    labeled
        .and_then(|labeled| cut_out_numbered(&labeled, number, is_mirrored))
        .with_context(|| format!("object image {} cannot be used", sample.sample_id))
}

/// Cuts out the object with this number in the mask.
fn cut_out_numbered(labeled: &LabeledImage, number: usize, is_mirrored: bool) -> Result<Cutout> {
    let labels = labeled.mask.labels.iter().enumerate();
    let pixels = labels.filter(|(_, label)| usize::from(**label) == number);
    let pixels: Vec<usize> = pixels.map(|(i, _)| i).collect();
    cut_out_pixels(labeled, &pixels, is_mirrored)
        .with_context(|| format!("its mask has no pixel of object {number}"))
}

/// Cuts a random object of at least [`MIN_AREA`] pixels out of a proxy image, mirrored with probability 1/2; `None` if there is
/// no such object.
fn cut_out(proxy: &LabeledImage, rng: &mut impl Rng) -> Option<Cutout> {
    let objects = large_objects(&proxy.mask);
    let (u, is_mirrored): (f64, bool) = (rng.random(), rng.random());
    let pixels = objects.get((objects.len() as f64 * u) as usize)?;
    cut_out_pixels(proxy, pixels, is_mirrored)
}

/// Cuts the object with these pixels (positions in the mask) out of its image; `None` if there are none.
fn cut_out_pixels(labeled: &LabeledImage, pixels: &[usize], is_mirrored: bool) -> Option<Cutout> {
    let width = labeled.mask.width;
    let (xs, ys) = (
        pixels.iter().map(|i| (i % width) as u32),
        pixels.iter().map(|i| (i / width) as u32),
    );
    let (left, right) = (xs.clone().min()?, xs.clone().max()?);
    let (top, bottom) = (ys.clone().min()?, ys.clone().max()?);
    let (w, h) = (right - left + 1, bottom - top + 1);
    let mut colors = imageops::crop_imm(&labeled.image, left, top, w, h).to_image();
    let mut opacity = RgbImage::new(w, h);
    for (x, y) in xs.zip(ys) {
        opacity.put_pixel(x - left, y - top, Rgb([255; 3]));
    }
    if is_mirrored {
        imageops::flip_horizontal_in_place(&mut colors);
        imageops::flip_horizontal_in_place(&mut opacity);
    }
    Some(Cutout { colors, opacity })
}

/// Pixels of the connected objects (4 neighbors) of at least [`MIN_AREA`] pixels, ordered by their first pixel in row-major order.
///
/// A flood fill from each object pixel that no earlier fill reached: `pixels` is both the object found so far and the queue of
/// pixels whose neighbors are still to be visited.
fn large_objects(mask: &Mask) -> Vec<Vec<usize>> {
    let (width, mut objects) = (mask.width, Vec::new());
    let mut is_unvisited: Vec<bool> = mask.labels.iter().map(|&l| l == OOD_PROXY).collect();
    for first in 0..is_unvisited.len() {
        if !std::mem::take(&mut is_unvisited[first]) {
            continue;
        }
        let mut pixels = vec![first];
        let mut next = 0;
        while let Some(&i) = pixels.get(next) {
            next += 1;
            let x = i % width;
            let neighbors = [
                (x > 0).then(|| i - 1),
                (x + 1 < width).then_some(i + 1),
                i.checked_sub(width),
                (i + width < is_unvisited.len()).then_some(i + width),
            ];
            for j in neighbors.into_iter().flatten() {
                if std::mem::take(&mut is_unvisited[j]) {
                    pixels.push(j);
                }
            }
        }
        if pixels.len() >= MIN_AREA {
            objects.push(pixels);
        }
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// A bright object of 60 x 50 on a dark picture, and a part that is too small.
    fn proxy() -> LabeledImage {
        let mut image = RgbImage::from_pixel(100, 80, Rgb([10; 3]));
        let mut mask = Mask::filled(100, 80, 255);
        for (x, y, color) in image.enumerate_pixels_mut() {
            let is_object = (20..80).contains(&x) && (10..60).contains(&y);
            if is_object || (x < 9 && y < 9) {
                mask.labels[y as usize * 100 + x as usize] = OOD_PROXY;
                *color = Rgb([200; 3]);
            }
        }
        LabeledImage { image, mask }
    }

    #[test]
    fn half_of_the_objects_are_mirrored_with_their_outlines() {
        // bright on the left, and wider at the bottom on the right
        let (mut image, mut mask) = (RgbImage::new(70, 60), Mask::filled(70, 60, 255));
        for (x, y, color) in image.enumerate_pixels_mut() {
            if x < 50 + y / 10 {
                mask.labels[y as usize * 70 + x as usize] = OOD_PROXY;
                *color = Rgb([250 - 4 * x as u8; 3]);
            }
        }
        let proxy = LabeledImage { image, mask };
        let mut mirrored = 0;
        for seed in 0..100 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let object = cut_out(&proxy, &mut rng).expect("it is large enough");
            let (right, below) = (object.colors.width() - 1, object.colors.height() - 1);
            let is_mirrored = object.colors.get_pixel(0, below).0[0] < 100;
            let tip = if is_mirrored { 0 } else { right };
            assert_eq!(object.opacity.get_pixel(tip, 0).0, [0; 3]);
            assert_eq!(object.opacity.get_pixel(right - tip, 0).0, [255; 3]);
            mirrored += u32::from(is_mirrored);
        }
        assert!((35..=65).contains(&mirrored), "{mirrored} of 100");
    }

    #[test]
    fn small_objects_are_left_out() {
        let mut proxy = proxy();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        proxy.mask.labels.fill(255);
        proxy.mask.labels[..MIN_AREA - 1].fill(OOD_PROXY);
        assert!(cut_out(&proxy, &mut rng).is_none());
        proxy.mask.labels[MIN_AREA - 1] = OOD_PROXY;
        assert!(cut_out(&proxy, &mut rng).is_some());
    }
}
