//! Files that stand where weights should be: pointers of git, pages of a server, archives, folders. Each is named as what it is.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use zip::ZipArchive;

/// Endings of weights files, for folders and archives.
const ENDINGS: [&str; 6] = [".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar"];

/// First bytes of files that are not weights, what they are, and what to do.
const SIGNATURES: [(&[u8], &str); 15] = [
    (
        b"version https://git-lfs",
        "it is a git-lfs pointer, not the file itself: run `git lfs pull` where it was cloned, or download the file from its page",
    ),
    (b"\x1f\x8b", "it is compressed by gzip: unpack it first"),
    (b"BZh", "it is compressed by bzip2: unpack it first"),
    (b"\xfd7zXZ", "it is compressed by xz: unpack it first"),
    (
        b"\x28\xb5\x2f\xfd",
        "it is compressed by zstd: unpack it first",
    ),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive: unpack it first"),
    (b"Rar!", "it is a rar archive: unpack it first"),
    (
        b"PK\x05\x06",
        "it is an empty zip archive: download the file again",
    ),
    (
        b"\x89HDF\r\n\x1a\n",
        "it is an HDF5 file, as Keras writes it: only weights of PyTorch can be imported",
    ),
    (
        b"\x93NUMPY",
        "it is an array of NumPy: only weights of PyTorch and safetensors can be imported",
    ),
    (
        b"GGUF",
        "it is a GGUF file: only weights of PyTorch and safetensors can be imported",
    ),
    (b"\x89PNG", "it is a PNG image, not weights"),
    (b"\xff\xd8\xff", "it is a JPEG image, not weights"),
    (b"%PDF", "it is a PDF document, not weights"),
    (b"\x7fELF", "it is a program, not weights"),
];

/// Refuses paths at which there is no file.
///
/// # Errors
/// Returns an error if nothing is there, or a folder; the error lists the folder's weights files.
pub(super) fn check_path(path: &Path) -> Result<()> {
    if path.is_dir() {
        bail!("weights {} are a folder: {}", path.display(), inside(path));
    }
    ensure!(
        path.exists(),
        "weights {} do not exist: train a network with `ood-train`, or pass another file",
        path.display()
    );
    ensure!(
        path.is_file(),
        "weights {} are not a regular file: pass a file",
        path.display()
    );
    Ok(())
}

/// What to do with a folder in place of weights.
fn inside(folder: &Path) -> String {
    if folder.join("data.pkl").exists() {
        return "it is an unpacked file of PyTorch: pass the file itself, or zip the folder without compression".into();
    }
    if folder.join(".metadata").exists() {
        return "it is a distributed checkpoint of PyTorch: convert it with `python -m torch.distributed.checkpoint.format_utils dcp_to_torch`".into();
    }
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_weights = |name: &String| {
        name.ends_with(".index.json") || ENDINGS.iter().any(|ending| name.ends_with(ending))
    };
    let mut names: Vec<_> = names.filter(is_weights).collect();
    names.sort();
    names.truncate(10);
    if names.is_empty() {
        return "it holds no weights file; pass a file".into();
    }
    format!("pass one of its files ({})", names.join(", "))
}

/// Whether a file is the JSON index of several weights files.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub(super) fn is_index(path: &Path) -> Result<bool> {
    /// Longest text that is searched for the map of an index.
    const MAX_SEARCHED: u64 = 1 << 20;
    let file =
        File::open(path).with_context(|| format!("weights {} cannot be read", path.display()))?;
    let mut start = Vec::new();
    file.take(MAX_SEARCHED).read_to_end(&mut start)?;
    let word = b"\"weight_map\"";
    let is_json = start.trim_ascii_start().starts_with(b"{");
    Ok(is_json && start.windows(word.len()).any(|part| part == word))
}

/// Refuses files whose first bytes show that they are neither safetensors nor `PyTorch`. Whatever is unknown passes.
///
/// # Errors
/// Returns an error that says what the file is.
pub(super) fn check_head(head: &[u8]) -> Result<()> {
    ensure!(
        !head.is_empty(),
        "the file is empty, so it is damaged and neither safetensors nor PyTorch: copy or create it again"
    );
    if let Some((_, what)) = SIGNATURES.iter().find(|(start, _)| head.starts_with(start)) {
        bail!("{what}");
    }
    if head.get(257..262) == Some(b"ustar") {
        bail!("{}", tar(head));
    }
    ensure!(
        head.len() < 16 || head.iter().any(|&byte| byte != 0),
        "it begins with zeros, so it is damaged and neither safetensors nor PyTorch: copy or create it again"
    );
    match text(head) {
        Some(what) => bail!("{what}"),
        None => Ok(()),
    }
}

/// What a tar archive is, by the name of its first file.
fn tar(head: &[u8]) -> String {
    let name = head.split(|&byte| byte == 0).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name.get(..100.min(name.len())).unwrap_or_default());
    match name.trim_start_matches("./") {
        "sys_info" | "pickle" | "storages" | "tensors" => {
            "it is a tar archive of PyTorch before 0.1.10: load and save it with a newer PyTorch"
                .into()
        }
        _ => format!("it is a tar archive that begins with {name:?}: unpack it first"),
    }
}

/// What a text is; `None` if the bytes are not text.
fn text(head: &[u8]) -> Option<String> {
    // the length of a safetensors header ends in zeros, which no text has
    let is_text = |byte: &u8| !matches!(byte, 0..=8 | 14..=31 | 127);
    if head.len() < 4 || !head.iter().all(is_text) {
        return None;
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    // a character may be cut off at the end
    let valid = head.utf8_chunks().next()?.valid();
    if valid.len() + 4 < head.len() {
        return None;
    }
    let text = valid.trim_start();
    let lower = text.to_ascii_lowercase();
    let begins = |starts: &[&str]| starts.iter().any(|start| lower.starts_with(start));
    let what = if begins(&["<!doctype html", "<html", "<head", "<body", "<!--"]) {
        "it is an HTML page, as a server sends instead of a file that needs a confirmation or a login: download the file itself"
    } else if begins(&["<"]) {
        "it is an XML text, such as a server's error message: download the file itself"
    } else if begins(&["{", "["]) {
        "it is a JSON text, such as a server's error message or a configuration: pass the weights file, or the index of several (*.index.json)"
    } else {
        "it is a text, neither safetensors nor PyTorch: pass the weights file"
    };
    let begin: String = text.chars().take(60).collect();
    Some(format!("{what}; it begins with {begin:?}"))
}

/// Refuses zip archives that are not files of `PyTorch`.
///
/// # Errors
/// Returns an error that says what the archive holds.
pub(super) fn check_archive(archive: &ZipArchive<BufReader<&File>>) -> Result<()> {
    let names: Vec<_> = archive
        .file_names_raw()
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    if names
        .iter()
        .any(|n| n == "data.pkl" || n.ends_with("/data.pkl"))
    {
        return Ok(());
    }
    if let Some(name) = names
        .iter()
        .find(|n| ENDINGS.iter().any(|e| n.ends_with(e)))
    {
        bail!("it is a zip archive that holds {name:?}: unpack it, and pass that file");
    }
    if names.iter().any(|name| has_extension(name, "npy")) {
        bail!(
            "it is an archive of NumPy arrays: only weights of PyTorch and safetensors can be imported"
        );
    }
    let first = names.first().map(String::as_str).unwrap_or_default();
    bail!(
        "the archive has no data.pkl, so it is not a checkpoint of PyTorch; its first file is {first:?}"
    )
}

/// Whether a name ends with this extension, in any case.
fn has_extension(name: &str, extension: &str) -> bool {
    let found = std::path::Path::new(name).extension();
    found.is_some_and(|found| found.eq_ignore_ascii_case(extension))
}
