//! Tells the executable the commit that it is built from.
//!
//! Only this crate asks for it, so that a commit makes cargo build this crate again, and no other.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Environment variable with the commit, for builds from an archive of the sources.
const COMMIT: &str = "OODSEG_COMMIT";

/// Features of this crate.
const FEATURES: [&str; 3] = ["cuda", "metal", "onnx"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={COMMIT}");
    let given = std::env::var(COMMIT).ok().filter(|given| !given.is_empty());
    let commit = given.or_else(commit_of_checkout);
    let commit = commit.unwrap_or_else(|| "unknown commit".to_owned());
    println!("cargo::rustc-env={COMMIT}={commit}");
    println!("cargo::rustc-env=OODSEG_FEATURES={}", features());
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=OODSEG_TARGET={target}");
}

/// Cargo's features, with a sign that says whether they are in the executable.
fn features() -> String {
    let features = FEATURES.map(|name| {
        let is_in = std::env::var_os(format!("CARGO_FEATURE_{}", name.to_uppercase())).is_some();
        format!("{}{name}", if is_in { '+' } else { '-' })
    });
    features.join(" ")
}

/// The commit and its day, if the sources are a checkout of this repository and not just below another one.
fn commit_of_checkout() -> Option<String> {
    let crate_folder = std::env::var_os("CARGO_MANIFEST_DIR")?;
    let root = Path::new(&crate_folder).join("../..").canonicalize().ok()?;
    let top = git(&root, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != root {
        return None;
    }
    let branch = git(&root, &["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        watch(&root, name);
    }
    let format = ["log", "-1", "--format=%h %cs", "--abbrev=9"];
    git(&root, &format)
}

/// Builds again when this file of git's folder changes. A file that does not exist counts as changed at every build, so it is left
/// out; a branch whose file is not there is in `packed-refs`.
fn watch(root: &Path, name: &str) {
    let Some(path) = git(root, &["rev-parse", "--git-path", name]) else {
        return;
    };
    let path: PathBuf = root.join(path);
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// What git prints, if it is there and succeeds.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
