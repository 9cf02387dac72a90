//! Pictures and labels of the toy world.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use artifacts::classes::ClassSet;
use artifacts::index::{Index, Sample};
use artifacts::labels::{EvalLabel, IGNORE, MaskKind};
use artifacts::mask::Mask;
use image::RgbImage;
use stage_testing::toy::{sample, stage_output};

use super::scenes::{HEIGHT, Scene, WIDTH, inside, noise, scenes, street};

/// Writes pictures and labels of the out-of-distribution data set `lost` and of the known classes, `streets`.
pub(crate) fn write_labels(root: &Path) -> Result<()> {
    let images = root.join("images");
    fs::create_dir_all(&images)?;
    for (dataset, kind) in [("lost", MaskKind::Eval), ("streets", MaskKind::TrainId)] {
        let dir = root.join("labels").join(dataset);
        stage_output(&dir, "cityscapes-io prepare", |dir| {
            fs::create_dir_all(dir.join("masks"))?;
            let samples = scenes()
                .iter()
                .map(|scene| write_sample(dir, &images, scene, kind))
                .collect::<Result<_>>()?;
            let index = Index::new(dataset, "test", kind, &images, samples)?;
            match kind {
                MaskKind::TrainId => index.with_classes(ClassSet::cityscapes()?).write(dir),
                _ => index.write(dir),
            }
        })?;
    }
    Ok(())
}

fn write_sample(dir: &Path, images: &Path, scene: &Scene, kind: MaskKind) -> Result<Sample> {
    let file = format!("{}.png", scene.id);
    let picture = picture(scene, &ClassSet::cityscapes()?);
    picture.save(images.join(&file))?;
    let path = PathBuf::from("masks").join(&file);
    mask(scene, kind).write(&dir.join(&path))?;
    Ok(Sample {
        image_bytes: fs::metadata(images.join(&file))?.len(),
        image_width: picture.width(),
        image_height: picture.height(),
        ..sample(scene.id, WIDTH as u32, HEIGHT as u32, Some(path))
    })
}

/// A picture that is twice as large as the masks, as when a data set is prepared with --size.
fn picture(scene: &Scene, classes: &ClassSet) -> RgbImage {
    RgbImage::from_fn(2 * WIDTH as u32, 2 * HEIGHT as u32, |x, y| {
        let (x, y) = (x as usize / 2, y as usize / 2);
        let base = if scene.objects.iter().any(|&o| inside(o, x, y)) {
            [200, 90, 40]
        } else {
            let color = classes.color(usize::from(street(x, y)));
            color.unwrap_or_default().map(|c| c / 2 + 60)
        };
        image::Rgb(base.map(|c: u8| c.saturating_add((noise(x + y * WIDTH) * 24.0) as u8)))
    })
}

/// The labels of a scene: unknown objects, or known classes without them. The lowest six rows are ignored.
fn mask(scene: &Scene, kind: MaskKind) -> Mask {
    let mut mask = Mask::filled(WIDTH, HEIGHT, IGNORE);
    for (at, label) in mask.labels.iter_mut().enumerate() {
        let (x, y) = (at % WIDTH, at / WIDTH);
        let is_object = scene.objects.iter().any(|&o| inside(o, x, y));
        *label = match kind {
            _ if y >= HEIGHT - 6 => IGNORE,
            MaskKind::Eval if is_object => EvalLabel::Out as u8,
            MaskKind::Eval => EvalLabel::In as u8,
            _ if is_object => IGNORE,
            _ => street(x, y),
        };
    }
    mask
}
