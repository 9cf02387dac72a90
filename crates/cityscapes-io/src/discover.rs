//! Which files of a data set's folder belong together.
//!
//! A layout of the data set's manifest names patterns of paths. The files that match its listing patterns (the images, or
//! the labels where only some images have any) determine which samples exist. What their placeholders captured gives the
//! sample's id and, filled into the other patterns, the paths of its other files. The folders are then searched for label
//! files without an image, since these mean that a part of the data set is missing.
//!
//! No image and no label file of a single image is opened here. Everything that is wrong becomes a line among the [faults](Discovered::faults), so that `check` can
//! list all of them; `prepare` stops at the first one. Results do not depend on the order in which the file system lists
//! files: samples and faults are sorted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use artifacts::file_hash::FileHash;
use artifacts::index::{check_inside, check_sample_id, plain_sample_id};
use artifacts::mask::Mask;
use rayon::prelude::*;
use walkdir::WalkDir;

use crate::label_reader::{Documents, LabelReader, LabelSource};
use crate::manifest::{DatasetManifest, Layout};
use crate::pattern::{Captures, Pattern, slashes};
use crate::wrong_root;

/// The files of one sample, not opened yet.
#[derive(Clone, Debug)]
pub struct SampleFiles {
    /// Id of the sample, made as the manifest says.
    pub sample_id: String,
    /// Image, relative to the data set's folder.
    pub image: PathBuf,
    /// Size of the image file in bytes.
    pub image_bytes: u64,
    /// Where its labels are, if it has any.
    pub labels: Option<LabelSource>,
    /// Part of the data set that the sample belongs to (a city, for example), if the manifest says how many samples each
    /// part has.
    pub group: Option<String>,
}

/// A file that excludes a sample.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// One line that names the file and what to do.
    pub text: String,
    /// Path of the file, relative to the data set's folder.
    pub file: PathBuf,
}

/// The samples in a data set's folder, and what is wrong with its files.
#[derive(Debug)]
pub struct Discovered {
    /// Samples, sorted by their ids.
    pub samples: Vec<SampleFiles>,
    /// How label files are read, one reader for each kind of label file that the layout has.
    readers: Vec<LabelReader>,
    /// Files that belong to the labels of several samples.
    documents: Documents,
    /// Faults that exclude a file from the samples, sorted.
    pub faults: Vec<Fault>,
    /// Label files without an image, one line each, sorted by sample id: a sign that images are missing.
    pub labels_without_image: Vec<String>,
}

/// Finds all samples of the data set that `manifest` describes, in the folder `root`.
///
/// Images without labels, files that cannot be listed and ids that occur twice are among the
/// [faults](Discovered::faults).
///
/// # Errors
/// Returns an error if `root` is not a folder, or holds no file of any layout.
pub fn discover(manifest: &DatasetManifest, root: &Path) -> Result<Discovered> {
    ensure!(
        root.is_dir(),
        "{} is not a folder: set --root to the folder of {}, which is available at {}",
        root.display(),
        manifest.title,
        manifest.url
    );
    for layout in &manifest.layouts {
        let readers = layout.masks.iter().map(|file| manifest.reader(file));
        let mut search = Search {
            manifest,
            layout,
            root,
            readers: readers.collect::<Result<_>>()?,
            documents: Documents::default(),
            samples: BTreeMap::new(),
            faults: Vec::new(),
        };
        search.find_samples()?;
        if search.samples.is_empty() && search.faults.is_empty() {
            continue;
        }
        let labels_without_image = search.labels_without_image()?;
        search.faults.sort();
        return Ok(Discovered {
            samples: search.samples.into_values().collect(),
            readers: search.readers,
            documents: search.documents,
            faults: search.faults,
            labels_without_image,
        });
    }
    let patterns = manifest.layouts.iter().flat_map(Layout::listing);
    let patterns: Vec<_> = patterns.map(String::as_str).collect();
    bail!(
        "there is no image of {} in {}: searched for {}; {}",
        manifest.name,
        root.display(),
        patterns.join(" and "),
        wrong_root::explain(manifest, root)
    )
}

/// The search through a data set's folder for the files of one layout.
struct Search<'a> {
    manifest: &'a DatasetManifest,
    layout: &'a Layout,
    root: &'a Path,
    readers: Vec<LabelReader>,
    documents: Documents,
    /// By sample id.
    samples: BTreeMap<String, SampleFiles>,
    faults: Vec<Fault>,
}

impl Search<'_> {
    fn find_samples(&mut self) -> Result<()> {
        let sample_id = Pattern::parse(&self.layout.sample_id)?;
        let mut listed_ids = self.listed_ids()?;
        for listing in self.layout.listing() {
            for (listed, captures) in self.walk(listing)? {
                let id = sample_id.fill(&captures)?;
                let is_listed = listed_ids.as_mut().is_none_or(|ids| ids.remove(&id));
                let id = plain_sample_id(&id);
                if !is_listed || self.is_excluded(&id) || self.is_labels(&listed) {
                    continue;
                }
                match self.sample_files(&id, &listed, &captures) {
                    Err(error) => self.fault(&listed, format!("{error:#}")),
                    Ok(sample) => self.add(sample),
                }
            }
        }
        for id in listed_ids.unwrap_or_default() {
            let ids = self.layout.ids.as_deref().unwrap_or_default();
            let images = self.layout.images.join(" or ");
            let text = format!(
                "{} lists {id}, which is not among {images}: download it as well",
                self.root.join(ids).display()
            );
            self.fault(Path::new(&id), text);
        }
        Ok(())
    }

    /// The ids in the text file that lists the samples, if the layout has one.
    fn listed_ids(&self) -> Result<Option<BTreeSet<String>>> {
        let Some(ids) = &self.layout.ids else {
            return Ok(None);
        };
        let path = self.root.join(ids);
        if !path.is_file() {
            let has_images = self.has_image_folder()?;
            ensure!(
                !has_images,
                "{} does not exist, which lists the samples: get it as well",
                path.display()
            );
            return Ok(Some(BTreeSet::new())); // the wrong folder
        }
        let text = std::fs::read_to_string(&path);
        let text = text.with_context(|| format!("could not read {}", path.display()))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(Some(lines.map(str::to_owned).collect()))
    }

    /// Whether any of the folders of the images exists.
    fn has_image_folder(&self) -> Result<bool> {
        for images in &self.layout.images {
            let folder = Pattern::parse(images)?.folder().to_owned();
            if folder.iter().count() > 0 && self.root.join(folder).is_dir() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a file is one of labels that matches the pattern of images, as where JSON files are beside images.
    fn is_labels(&self, listed: &Path) -> bool {
        self.layout.list.is_none()
            && listed
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("json"))
    }

    fn fault(&mut self, file: &Path, text: String) {
        let file = file.to_owned();
        self.faults.push(Fault { text, file });
    }

    fn add(&mut self, sample: SampleFiles) {
        if let Some(other) = self.samples.get(&sample.sample_id) {
            let text = format!(
                "{} and {} both have the sample id {}: rename one of them",
                self.root.join(&other.image).display(),
                self.root.join(&sample.image).display(),
                sample.sample_id
            );
            self.fault(&sample.image, text);
        } else {
            self.samples.insert(sample.sample_id.clone(), sample);
        }
    }

    fn is_excluded(&self, id: &str) -> bool {
        let mut prefixes = self.manifest.exclude.iter();
        prefixes.any(|prefix| id.starts_with(prefix.as_str()))
    }

    /// The files of the sample `id`, from the file `listed`, whose path gave `captures`.
    fn sample_files(
        &mut self,
        id: &str,
        listed: &Path,
        captures: &Captures,
    ) -> Result<SampleFiles> {
        check_sample_id(id).with_context(|| self.root.join(listed).display().to_string())?;
        let image = if self.layout.list.is_some() {
            let images = self.layout.images.iter();
            self.first_file(images, captures)?
                .map_err(|tried| self.missing(listed, "image", &tried))?
                .1
        } else {
            listed.to_owned()
        };
        let labels = self.first_file(self.layout.masks.iter().map(|m| &m.path), captures)?;
        let labels = match labels {
            Ok((at, path)) => self.label_source(at, &path, &image, captures)?,
            Err(_) if self.layout.labels_optional || self.layout.masks.is_empty() => None,
            Err(tried) => return Err(self.missing(&image, "labels", &tried)),
        };
        let by = self.manifest.expected_by.as_ref();
        Ok(SampleFiles {
            sample_id: id.to_owned(),
            image_bytes: file_size(&self.root.join(&image))?,
            image,
            labels,
            group: by.and_then(|by| captures.get(&by.placeholder).cloned()),
        })
    }

    /// Where the labels of `image` are: in the file `path` that matches the label files in position `at`, and in the document that
    /// belongs to it. `None` if the document does not list the image, and labels are optional.
    fn label_source(
        &mut self,
        at: usize,
        path: &Path,
        image: &Path,
        captures: &Captures,
    ) -> Result<Option<LabelSource>> {
        let file = &self.layout.masks[at];
        let mut source = LabelSource {
            path: self.root.join(path),
            reader: at,
            document: None,
            place: 0,
        };
        let document = match &file.legend {
            Some(legend) => {
                let found = self.first_file(std::iter::once(legend), captures)?;
                let found = found.map_err(|tried| self.missing(path, "legend", &tried));
                self.root.join(found?.1)
            }
            None if file.format.is_collective() => source.path.clone(),
            None => return Ok(Some(source)),
        };
        let name = slashes(image).unwrap_or_default();
        let place = self
            .documents
            .place_of(at, &self.readers[at], &document, &name)?;
        let Some(place) = place else {
            ensure!(
                self.layout.labels_optional,
                "{} is not among the images of {}: add its labels, or remove the image",
                self.root.join(image).display(),
                document.display()
            );
            return Ok(None);
        };
        (source.place, source.document) = (place, Some(document));
        Ok(Some(source))
    }

    /// Position of the first pattern whose file exists and path of that file, or else the paths that do not exist.
    fn first_file<'p>(
        &self,
        patterns: impl Iterator<Item = &'p String>,
        captures: &Captures,
    ) -> Result<Result<(usize, PathBuf), Vec<String>>> {
        let mut tried = Vec::new();
        for (at, pattern) in patterns.enumerate() {
            let path = Pattern::parse(pattern)?.fill(captures)?;
            check_inside(Path::new(&path))?; // a text could be `..`
            if self.root.join(&path).is_file() {
                return Ok(Ok((at, path.into())));
            }
            tried.push(path);
        }
        Ok(Err(tried))
    }

    fn missing(&self, present: &Path, what: &str, tried: &[String]) -> anyhow::Error {
        anyhow::anyhow!(
            "{} has no {what}: {} does not exist in {}; download it as well, or remove the file",
            self.root.join(present).display(),
            tried.join(" or "),
            self.root.display()
        )
    }

    /// Lines about label files whose image is missing.
    ///
    /// There are none where label files determine which samples exist, as a missing image is a fault of its sample then, or
    /// where labels are optional.
    fn labels_without_image(&mut self) -> Result<Vec<String>> {
        if self.layout.list.is_some() || self.layout.labels_optional {
            return Ok(Vec::new());
        }
        let sample_id = Pattern::parse(&self.layout.sample_id)?;
        let used = self.samples.values().filter_map(|s| s.labels.as_ref());
        let used: BTreeSet<PathBuf> = used.map(|l| l.path.clone()).collect();
        let listed_ids = self.listed_ids()?;
        let mut orphans = BTreeMap::new();
        for mask in &self.layout.masks {
            for (path, captures) in self.walk(&mask.path)? {
                let Ok(id) = sample_id.fill(&captures) else {
                    continue; // the id has a placeholder that labels do not have
                };
                if listed_ids.as_ref().is_some_and(|ids| !ids.contains(&id)) {
                    continue; // of another split
                }
                let id = plain_sample_id(&id);
                let is_known = self.samples.contains_key(&id) || self.is_excluded(&id);
                let path = self.root.join(path);
                if !is_known && !used.contains(&path) {
                    orphans.entry(id).or_insert(path);
                }
            }
        }
        let orphans = orphans.into_iter();
        let orphans = orphans.map(|(id, path)| self.orphan(&id, &path));
        let labels = self.samples.values().filter_map(|s| s.labels.as_ref());
        let of_documents = self.documents.images_without_sample(labels);
        Ok(orphans.chain(of_documents).collect())
    }

    fn orphan(&self, id: &str, labels: &Path) -> String {
        format!(
            "{} has no image: {id} is missing among {}; download it as well, or remove the labels",
            labels.display(),
            self.layout.images.join(" or ")
        )
    }

    /// Files that match `pattern`, relative to the root, with the texts of its placeholders; sorted.
    ///
    /// Placeholders do not match `/`, so that only one depth below the pattern's fixed folder has to be walked. Files that
    /// match but cannot be listed, such as broken links, become faults.
    fn walk(&mut self, pattern: &str) -> Result<Vec<(PathBuf, Captures)>> {
        let parsed = Pattern::parse(pattern)?;
        let folder = self.root.join(parsed.folder());
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let depth = pattern.matches('/').count() - parsed.folder().iter().count() + 1;
        let mut files = Vec::new();
        let walk = WalkDir::new(&folder).follow_links(true).sort_by_file_name();
        for entry in walk.min_depth(depth).max_depth(depth) {
            let path = match &entry {
                Ok(entry) if entry.file_type().is_dir() => continue,
                Ok(entry) => entry.path(),
                Err(error) => error.path().unwrap_or(&folder),
            };
            let relative = path.strip_prefix(self.root)?.to_owned();
            match (captures_of(&parsed, &relative), &entry) {
                (Err(error), _) => self.fault(&relative, format!("{}: {error:#}", path.display())),
                // other files are notes, lists and what file managers leave behind
                (Ok(Some(captures)), Ok(_)) if is_sample_file(path) => {
                    files.push((relative, captures));
                }
                (Ok(_), Ok(_)) | (Ok(None), _) => {}
                (Ok(Some(_)), Err(error)) => {
                    let text = format!("{} cannot be read: {error}", path.display());
                    self.fault(&relative, text);
                }
            }
        }
        Ok(files)
    }
}

/// What the path of a file gives to the placeholders of a pattern, if it matches.
fn captures_of(pattern: &Pattern, path: &Path) -> Result<Option<Captures>> {
    if let Some(path) = slashes(path) {
        return pattern.captures(&path);
    }
    let lossy = path.to_string_lossy().replace('\\', "/");
    ensure!(
        pattern.captures(&lossy)?.is_none(),
        "its name is not valid UTF-8: rename it"
    );
    Ok(None)
}

/// Whether a file's name is one of an image or of annotations. Its format is determined by its content later.
pub(crate) fn is_sample_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let known = ["png", "jpg", "jpeg", "webp", "json"];
    !name.starts_with(b".") && known.iter().any(|k| extension == *k)
}

fn file_size(path: &Path) -> Result<u64> {
    let data =
        std::fs::metadata(path).with_context(|| format!("could not read {}", path.display()))?;
    Ok(data.len())
}

/// The first few names in a folder, for error messages.
pub(crate) fn describe_folder(folder: &Path) -> Result<String> {
    const SHOWN: usize = 6;
    let mut names = std::fs::read_dir(folder)
        .with_context(|| format!("could not list {}", folder.display()))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    Ok(match (names.is_empty(), more) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    })
}

impl SampleFiles {
    /// One line with the image, its size and the hashes of the files with its labels, which `hashes` has.
    fn fingerprint(&self, hashes: &BTreeMap<&Path, String>) -> String {
        let files = self.labels.iter().flat_map(LabelSource::files);
        let files: Vec<&str> = files
            .filter_map(|path| hashes.get(path).map(String::as_str))
            .collect();
        let labels = match files.as_slice() {
            [] => "no labels".to_owned(),
            files => files.join(" "),
        };
        format!("{} {} {labels}\n", self.image.display(), self.image_bytes)
    }
}

impl Discovered {
    /// Reads labels, maps their values, and compares their size with the one of their image, `(width, height)`.
    ///
    /// # Errors
    /// Returns an error if the file is damaged, has a value without a meaning, or another size than `image` has.
    pub fn read_labels(
        &self,
        labels: &LabelSource,
        image: &Path,
        (width, height): (u32, u32),
    ) -> Result<Mask> {
        let path = &labels.path;
        let reader = &self.readers[labels.reader];
        let size = (width as usize, height as usize);
        let mask = self.documents.read(reader, labels, size)?;
        ensure!(
            (mask.width, mask.height) == size,
            "{} is {}x{}, but its image {} is {width}x{height}: download both files again",
            path.display(),
            mask.width,
            mask.height,
            image.display()
        );
        Ok(mask)
    }

    /// Hash of the names of the images, their sizes in bytes and the contents of their label files, by which a later change
    /// is detected.
    pub fn fingerprint(&self) -> String {
        let labels = self.samples.iter().filter_map(|s| s.labels.as_ref());
        let files: BTreeSet<&Path> = labels.flat_map(LabelSource::files).collect();
        // the error is told where the labels are needed
        let unreadable = || "unreadable".to_owned();
        let hash = |path| FileHash::of(path).map_or_else(|_| unreadable(), |hash| hash.blake3);
        let hashes = files.into_par_iter().map(|path| (path, hash(path)));
        let hashes: BTreeMap<&Path, String> = hashes.collect();
        let lines = self.samples.iter().map(|s| s.fingerprint(&hashes));
        let text: String = lines.collect();
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }
}
