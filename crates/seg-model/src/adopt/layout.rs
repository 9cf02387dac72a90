//! What the axes of an array are.

use anyhow::{Result, bail, ensure};
use artifacts::classes::{Channel, ChannelTable, ClassSet, OtherChannel, VoidChannel};
use artifacts::index::Sample;
use artifacts::logits::check_order;
use clap::ValueEnum;
use serde::Serialize;

use super::kind::Kind;

/// Order of the axes of an array of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Classes, rows, columns.
    Chw,
    /// Rows, columns, classes.
    Hwc,
}

impl Layout {
    /// The order for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Chw => "[C, h, w]",
            Self::Hwc => "[h, w, C]",
        }
    }
}

/// Larger arrays than this many times the pixels of the sample are taken for damaged: their values could fill the memory.
const MAX_PIXELS_FOR_EACH: usize = 16;

/// Pixels that an array can always have.
const ALWAYS_ALLOWED: usize = 1 << 20;

/// The axes of an array that holds one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Axes {
    /// The axis of the rows.
    pub(super) rows: usize,
    /// The axis of the columns.
    pub(super) columns: usize,
    /// The axis of the classes, and what each of them is; `None` for one score per pixel.
    pub(super) channels: Option<Channels>,
}

/// Channels of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Channels {
    /// The axis.
    pub(super) axis: usize,
    /// What each of them is.
    pub(super) table: ChannelTable,
    /// Order of the axes.
    pub(super) layout: Layout,
}

/// What the user says of all arrays.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) kind: Option<Kind>,
    pub(super) layout: Option<Layout>,
    pub(super) classes: Option<ClassSet>,
    pub(super) void: Option<VoidChannel>,
    /// Whether the first channels are the classes and void follows them, as in logits files.
    pub(super) classes_come_first: bool,
}

impl Said {
    /// The axes of an array of this shape that belongs to `sample`.
    ///
    /// # Errors
    /// Returns an error that says what to pass if the shape fits nothing, or several things.
    pub(super) fn axes(&self, shape: &[usize], sample: &Sample) -> Result<Axes> {
        let axes = self.find(shape)?;
        let (height, width) = (shape[axes.rows], shape[axes.columns]);
        let (rows, columns) = (sample.height as usize, sample.width as usize);
        let most = ALWAYS_ALLOWED.max(MAX_PIXELS_FOR_EACH * rows * columns);
        ensure!(
            height.checked_mul(width).is_some_and(|n| n <= most),
            "its shape {shape:?} has {width}x{height} pixels, but the sample {columns}x{rows}: it is another one's, or damaged"
        );
        if self.layout.is_none() {
            check_not_swapped((height, width), (rows, columns))?;
        }
        if let Some(channels) = &axes.channels {
            let n = channels.table.channels.len();
            check_order(
                [n, height, width],
                channels.table.classes.len(),
                (rows, columns),
            )?;
        }
        Ok(axes)
    }

    fn find(&self, shape: &[usize]) -> Result<Axes> {
        let (first, sides) = match *shape {
            [rows, columns] => return self.score(0, [rows, columns]),
            [1, ref sides @ ..] if sides.len() == 3 => (1, sides),
            [n, _, _, _] => {
                bail!("its shape {shape:?} is a batch of {n}: save one file for each sample")
            }
            [_, _, _] => (0, shape),
            _ => bail!(
                "its shape {shape:?} is neither [C, h, w] nor [h, w, C] nor, for scores, [h, w]"
            ),
        };
        let &[a, b, c] = sides else {
            bail!("its shape {shape:?} has not three axes");
        };
        let is_class_kind = self.kind.is_some_and(|kind| kind != Kind::Score);
        match (a, c) {
            (1, _) if !is_class_kind => self.score(first + 1, [b, c]),
            (_, 1) if !is_class_kind => self.score(first, [a, b]),
            _ => self.classes(first, [a, b, c]),
        }
    }

    /// One score per pixel, whose rows are the axis `first`.
    fn score(&self, first: usize, shape: [usize; 2]) -> Result<Axes> {
        if let Some(kind) = self.kind.filter(|&kind| kind != Kind::Score) {
            bail!(
                "it has one number for each of {shape:?} pixels, which are no {} of classes: pass --kind score if they are scores",
                kind.name()
            );
        }
        Ok(Axes {
            rows: first,
            columns: first + 1,
            channels: None,
        })
    }

    /// An array of classes whose three axes begin with `first`.
    fn classes(&self, first: usize, shape: [usize; 3]) -> Result<Axes> {
        ensure!(
            self.kind != Some(Kind::Score),
            "its shape {shape:?} has several channels, but a score is one number for each pixel: leave --kind out if they are classes"
        );
        let [a, _, c] = shape;
        let fits = |layout: Layout| match layout {
            Layout::Chw => self.fits(a),
            Layout::Hwc => self.fits(c),
        };
        let layout = match (self.layout, fits(Layout::Chw), fits(Layout::Hwc)) {
            (Some(layout), _, _) => layout,
            (None, true, false) => Layout::Chw,
            (None, false, true) => Layout::Hwc,
            (None, true, true) => bail!(
                "both the first and the last axis of its shape {shape:?} could be the classes: pass --layout chw or --layout hwc"
            ),
            (None, false, false) => bail!("{}", self.nothing_fits(shape)),
        };
        let (axis, rows, channels) = match layout {
            Layout::Chw => (first, first + 1, a),
            Layout::Hwc => (first + 2, first, c),
        };
        Ok(Axes {
            rows,
            columns: rows + 1,
            channels: Some(Channels {
                axis,
                table: self.table(channels)?,
                layout,
            }),
        })
    }

    /// Whether there could be so many channels.
    fn fits(&self, channels: usize) -> bool {
        match &self.classes {
            Some(classes) => channels == classes.len() || channels == classes.len() + 1,
            None => ChannelTable::of_count(channels).is_ok(),
        }
    }

    fn table(&self, channels: usize) -> Result<ChannelTable> {
        if let Some(classes) = self.classes.as_ref().filter(|_| self.classes_come_first) {
            return first_channels(classes, channels);
        }
        if let Some(classes) = &self.classes {
            return ChannelTable::new(classes.clone(), channels, self.void);
        }
        ensure!(
            self.void.is_none_or(|void| void == VoidChannel::None),
            "--void needs --classes"
        );
        ChannelTable::of_count(channels)
    }

    fn nothing_fits(&self, shape: [usize; 3]) -> String {
        match &self.classes {
            Some(classes) => format!(
                "neither the first nor the last axis of its shape {shape:?} is the {} classes of {:?}, with void or without: pass other --classes",
                classes.len(),
                classes.name
            ),
            None => format!(
                "its shape {shape:?} does not tell the classes: pass --classes (the name of a class set or a file), and --void first, last or a number if one channel is none of them"
            ),
        }
    }
}

/// Refuses an array whose sides are those of the sample in the other order, at whatever scale.
///
/// Its values would be spread over the wrong pixels. Squares, and images that were distorted for the network to another shape, have
/// no such sides.
fn check_not_swapped((height, width): (usize, usize), sample: (usize, usize)) -> Result<()> {
    /// Quotients of the scales of rows and columns that rounding and cropping can give.
    const FITS: f64 = 1.1;
    /// Quotients that they cannot give.
    const DOES_NOT_FIT: f64 = 1.5;
    let quotient = |rows: usize, columns: usize| {
        let (rows, columns) = (
            sample.0 as f64 / rows.max(1) as f64,
            sample.1 as f64 / columns.max(1) as f64,
        );
        (rows / columns).max(columns / rows)
    };
    ensure!(
        quotient(height, width) < DOES_NOT_FIT || quotient(width, height) > FITS,
        "it has {height} rows and {width} columns, but the sample {} rows and {} columns: rows and columns seem to be swapped, so \
         transpose the arrays (--layout says that they are right as they are)",
        sample.0,
        sample.1
    );
    Ok(())
}

/// The table of `channels` of which the first ones are the classes.
fn first_channels(classes: &ClassSet, channels: usize) -> Result<ChannelTable> {
    let n = classes.len();
    ensure!(
        channels >= n,
        "{channels} channels do not hold the {n} classes of {:?}",
        classes.name
    );
    let void = OtherChannel::Void;
    let others = std::iter::once(void).chain(std::iter::repeat(OtherChannel::Unused));
    let others = others.map(Channel::Other).take(channels - n);
    Ok(ChannelTable {
        classes: classes.clone(),
        channels: (0..n).map(Channel::Class).chain(others).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> Result<Said> {
        Ok(Said {
            classes: Some(ClassSet::open("camvid")?),
            ..Said::default()
        })
    }

    fn found(said: &Said, shape: &[usize]) -> Result<(usize, usize, Option<usize>)> {
        let axes = said.find(shape)?;
        Ok((axes.rows, axes.columns, axes.channels.map(|c| c.axis)))
    }

    #[test]
    fn axes_are_found_by_the_number_of_classes() -> Result<()> {
        let said = said()?;
        for (shape, axes) in [
            (&[11, 4, 8][..], (1, 2, Some(0))),
            (&[4, 8, 11], (0, 1, Some(2))),
            (&[1, 11, 4, 8], (2, 3, Some(1))),
            (&[1, 4, 8, 11], (1, 2, Some(3))),
            (&[4, 8], (0, 1, None)),
            (&[1, 4, 8], (1, 2, None)),
            (&[4, 8, 1], (0, 1, None)),
            (&[1, 1, 4, 8], (2, 3, None)),
        ] {
            assert_eq!(found(&said, shape)?, axes, "{shape:?}");
            let unsaid = Said::default();
            assert_eq!(found(&unsaid, shape)?, axes, "{shape:?}");
        }
        let hwc = Said {
            layout: Some(Layout::Hwc),
            ..said
        };
        assert_eq!(found(&hwc, &[11, 8, 11])?, (0, 1, Some(2)));
        Ok(())
    }

    #[test]
    fn swapped_sides_are_refused_at_any_scale() {
        for (array, sample) in [
            ((1280, 720), (720, 1280)),
            ((320, 180), (720, 1280)),
            ((161, 90), (720, 1280)),
            ((90, 160), (1280, 720)),
        ] {
            let error = check_not_swapped(array, sample).err();
            let error = error.map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains("swapped"), "{array:?}");
        }
        for (array, sample) in [
            ((720, 1280), (720, 1280)),
            ((90, 161), (720, 1280)),
            ((512, 512), (720, 1280)),
            ((14, 15), (15, 14)),
            ((1, 1), (720, 1280)),
        ] {
            assert!(check_not_swapped(array, sample).is_ok(), "{array:?}");
        }
    }

    #[test]
    fn what_is_not_certain_is_asked_for() -> Result<()> {
        let fails = |said: &Said, shape: &[usize], words: &str| {
            let error = format!("{:#}", found(said, shape).expect_err(words));
            assert!(error.contains(words), "{error}");
        };
        fails(&said()?, &[11, 4, 11], "--layout chw");
        fails(&said()?, &[12, 4, 8], "--void first");
        fails(&said()?, &[2, 11, 4, 8], "a batch of 2");
        fails(&said()?, &[19, 4, 8], "11 classes of \"camvid\"");
        fails(&said()?, &[4], "neither");
        fails(&Said::default(), &[20, 4, 8], "pass --classes");
        let kind = |kind| Said {
            kind: Some(kind),
            ..Said::default()
        };
        fails(&kind(Kind::Score), &[19, 4, 8], "several channels");
        fails(&kind(Kind::Logits), &[4, 8], "one number for each");
        Ok(())
    }
}
