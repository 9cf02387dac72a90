//! On which classes objects stand, and where the ground ends at the horizon.

use anyhow::{Result, ensure};
use artifacts::classes::ClassSet;
use artifacts::labels::IGNORE;
use artifacts::mask::Mask;

/// Names of ground in the shipped class sets, in lower case.
const NAMES: [&str; 20] = [
    "road",
    "drivable",
    "non-drivable",
    "sidewalk",
    "pavement",
    "terrain",
    "parking",
    "ground",
    "street",
    "path",
    "lane marking - general",
    "lane marking - crosswalk",
    "crosswalk - plain",
    "bike lane",
    "service lane",
    "pedestrian area",
    "curb cut",
    "road line",
    "road lines",
    "roadline",
];

/// Share of the ground pixels of an image that may lie above its horizon: mistakes of labels, and hills.
const ABOVE_HORIZON: f64 = 0.005;

/// Row of the horizon of images without ground, in heights of the image.
const USUAL_HORIZON: f64 = 0.45;

/// Which train ids are ground.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    is_ground: [bool; 256],
}

impl Ground {
    /// The classes of `names`, or those with the usual names of ground if there are none.
    ///
    /// # Errors
    /// Returns an error that lists the classes if a name is not that of a class, or no class has a usual name.
    pub(crate) fn of(classes: &ClassSet, names: &[String]) -> Result<Self> {
        let all: Vec<&str> = classes.names().collect();
        for name in names {
            ensure!(
                all.contains(&name.as_str()),
                "--ground names {name:?}, which is no class of {}: it has {}",
                classes.name,
                all.join(", ")
            );
        }
        let mut is_ground = [false; 256];
        for (&name, is_ground) in all.iter().zip(&mut is_ground) {
            let is_usual = || NAMES.contains(&name.to_lowercase().as_str());
            *is_ground = if names.is_empty() {
                is_usual()
            } else {
                names.iter().any(|given| given == name)
            };
        }
        ensure!(
            is_ground.contains(&true),
            "no class of {} is ground by its name: say with --ground on which of these objects stand: {}",
            classes.name,
            all.join(", ")
        );
        Ok(Self { is_ground })
    }

    /// Whether a label is ground; void is not.
    pub(crate) fn contains(&self, label: u8) -> bool {
        label != IGNORE && self.is_ground[usize::from(label)]
    }

    /// The row, in heights of the image, above which there is almost no ground; `None` without ground.
    pub(crate) fn end(&self, mask: &Mask) -> Option<f64> {
        let rows = mask.labels.chunks_exact(mask.width);
        let counts = rows.map(|row| row.iter().filter(|label| self.contains(**label)).count());
        let counts: Vec<usize> = counts.collect();
        let allowed = ABOVE_HORIZON * counts.iter().sum::<usize>() as f64;
        let mut above = 0;
        let first = counts.iter().position(|&count| {
            above += count;
            count > 0 && above as f64 > allowed
        });
        first.map(|row| row as f64 / mask.height as f64)
    }
}

/// The horizon of a camera, in heights of the image: the median of where the ground ends, since cars and houses hide its end in
/// some images.
pub(crate) fn horizon(mut ends: Vec<f64>) -> f64 {
    ends.sort_by(f64::total_cmp);
    ends.get(ends.len() / 2).copied().unwrap_or(USUAL_HORIZON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_sets_of_streets_have_ground() -> Result<()> {
        for (name, expected) in [
            ("camvid", &["road", "pavement"][..]),
            ("idd-lite", &["drivable", "non-drivable"]),
            ("cityscapes", &["road", "sidewalk", "terrain"]),
        ] {
            let set = ClassSet::open(name)?;
            let ground = Ground::of(&set, &[])?;
            let names = set.names().enumerate();
            let found = names.filter(|(id, _)| ground.contains(*id as u8));
            let found: Vec<&str> = found.map(|(_, name)| name).collect();
            assert_eq!(found, expected, "{name}");
        }
        let set = ClassSet::cityscapes()?;
        let given = Ground::of(&set, &["wall".to_owned()])?;
        assert!(given.contains(3) && !given.contains(0) && !given.contains(IGNORE));
        let error = Ground::of(&set, &["floor".to_owned()]).expect_err("no such class");
        assert!(
            error.to_string().contains("it has road, sidewalk"),
            "{error}"
        );
        let error = Ground::of(&ClassSet::unnamed(3)?, &[]).expect_err("no names");
        assert!(error.to_string().contains("--ground"), "{error}");
        Ok(())
    }

    #[test]
    fn the_horizon_is_where_the_ground_ends() -> Result<()> {
        let ground = Ground::of(&ClassSet::cityscapes()?, &[])?;
        let mut mask = Mask::filled(100, 100, 2);
        mask.labels[40 * 100..].fill(0);
        mask.labels[300] = 0; // a mistake
        assert_eq!(ground.end(&mask), Some(0.4));
        assert_eq!(ground.end(&Mask::filled(4, 4, IGNORE)), None);
        assert_eq!(horizon(vec![0.7, 0.4, 0.41]), 0.41);
        assert_eq!(horizon(Vec::new()), USUAL_HORIZON);
        Ok(())
    }
}
