//! What is there where a folder of images was expected.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use super::walk::{ENDINGS, Endings, ending, is_image};

/// Extensions of videos, in lower case.
const VIDEOS: [&str; 8] = ["mp4", "mov", "avi", "mkv", "webm", "m4v", "mpg", "mpeg"];

/// Extensions of pictures in formats that are not read, in lower case.
const PICTURES: [&str; 10] = [
    "tif", "tiff", "bmp", "gif", "ppm", "pgm", "heic", "avif", "jp2", "exr",
];

/// Files that are no images.
#[derive(Default)]
pub(super) struct Others {
    pub(super) endings: Endings,
    pub(super) hidden: usize,
}

/// Refuses what is no folder, with what to do about it.
pub(super) fn ensure_folder(folder: &Path) -> Result<()> {
    let name = folder.display();
    ensure!(
        folder.exists(),
        "{name} does not exist: pass a folder of images ({})",
        ENDINGS.join(", ")
    );
    if folder.is_dir() {
        return Ok(());
    }
    if is_video(&ending(folder)) {
        bail!(
            "{name} is a video: extract its frames (mkdir frames; ffmpeg -i \"{name}\" frames/%06d.png) and pass the folder of frames"
        );
    }
    ensure!(
        !is_image(folder),
        "{name} is a single image: pass the folder that holds it"
    );
    bail!(
        "{name} is a file: pass a folder of images ({})",
        ENDINGS.join(", ")
    )
}

/// Refuses a folder without images, and warns of pictures and videos that are left out.
pub(super) fn ensure_some(folder: &Path, n_images: usize, others: &Others) -> Result<()> {
    let is_picture = |ending: &str| is_video(ending) || PICTURES.contains(&ending);
    let mut pictures = others.endings.clone();
    pictures.retain(|ending, _| is_picture(ending));
    if n_images > 0 {
        if !pictures.is_empty() {
            tracing::warn!(
                "{} also holds {}, which are left out: only {} are read",
                folder.display(),
                counted(&pictures),
                ENDINGS.join(", ")
            );
        }
        return Ok(());
    }
    let name = folder.display();
    let found = match (others.endings.is_empty(), others.hidden) {
        (true, 0) => bail!(
            "{name} is empty: pass a folder of images ({})",
            ENDINGS.join(", ")
        ),
        (true, hidden) => format!("{hidden} hidden files, whose names begin with a dot"),
        (false, _) => counted(&others.endings),
    };
    let advice = if pictures.keys().any(|ending| is_video(ending)) {
        "extract the frames of videos (ffmpeg -i VIDEO frames/%06d.png), or pass another folder"
    } else if !pictures.is_empty() {
        "convert them to PNG, or pass another folder"
    } else {
        "pass another folder"
    };
    bail!(
        "{name} holds no images ({}), but {found}: {advice}",
        ENDINGS.join(", ")
    )
}

fn is_video(ending: &str) -> bool {
    VIDEOS.contains(&ending)
}

/// `2 .tif, 1 .gif`, the most frequent first.
fn counted(endings: &Endings) -> String {
    const SHOWN: usize = 5;
    let mut sorted: Vec<_> = endings.iter().collect();
    sorted.sort_by_key(|&(_, &n)| std::cmp::Reverse(n));
    let one = |(ending, n): &(&String, &usize)| {
        if ending.is_empty() {
            format!("{n} without an ending")
        } else {
            format!("{n} .{ending}")
        }
    };
    let shown: Vec<String> = sorted.iter().take(SHOWN).map(one).collect();
    let shown = shown.join(", ");
    match sorted.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more kinds of files"),
    }
}
