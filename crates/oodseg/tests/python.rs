//! The Python module writes what the stages write and reads what they wrote.
//!
//! Python is the one that `OODSEG_PYTHON` names, else one of those that the recipes install, or `python3`. It needs numpy.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use artifacts::classes::ClassSet;
use stage_testing::command::succeed;
use stage_testing::folder::files;

use common::{ROOT, find_python, with_module};

#[test]
fn the_module_has_the_shipped_class_sets() -> Result<()> {
    let mut sets = BTreeMap::new();
    let folder = Path::new(ROOT).join("data-manifests/classes");
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("{} has no name", path.display()))?;
        let set = serde_json::to_string(&ClassSet::open(name)?)?;
        sets.insert(name.to_owned(), set);
    }
    let lines = sets.iter().map(|(name, set)| format!("\"{name}\": {set}"));
    let expected = format!("{{\n{}\n}}\n", lines.collect::<Vec<_>>().join(",\n"));
    let path = Path::new(ROOT).join("python/oodseg/class_sets.json");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return Ok(fs::write(path, expected)?);
    }
    ensure!(
        fs::read_to_string(&path)? == expected,
        "{} is not what data-manifests/classes says: run this test with UPDATE_DOCS=1",
        path.display()
    );
    Ok(())
}

#[test]
fn the_module_passes_its_own_tests() -> Result<()> {
    let Some(python) = find_python("numpy")? else {
        return Ok(());
    };
    let mut tests = with_module(&python);
    tests.args([
        "-m",
        "unittest",
        "discover",
        "--start-directory",
        "python/tests",
    ]);
    let printed = succeed(tests.current_dir(ROOT))?;
    eprintln!("{}", printed.stderr);
    ensure!(printed.stderr.contains("OK"), "{}", printed.stderr);
    Ok(())
}

/// Writes outputs of three images as the module does, and as the arrays that the executable adopts.
const WRITE: &str = r#"
import numpy, oodseg
numbers = numpy.random.default_rng(7)
for at, sample in enumerate(("a", "b", "c")):
    logits = numbers.normal(0, 5, (20, 12, 16)).astype("float16" if sample == "c" else "float32")
    numpy.save(f"arrays/{sample}.npy", logits)
    oodseg.write_logits(f"logits/{sample}.safetensors", logits, classes="cityscapes", void="first", size=(24, 32), network="mine")
    scores = numbers.normal(size=(24, 32))
    numpy.save(f"score-arrays/{sample}.npy", scores.astype("float32"))
    oodseg.write_scores(f"scores/{sample}.safetensors", scores, method="other")
"#;

#[test]
fn the_module_writes_the_bytes_that_adopt_writes() -> Result<()> {
    let Some(python) = find_python("numpy")? else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    for folder in ["arrays", "score-arrays", "photos"] {
        fs::create_dir(dir.path().join(folder))?;
    }
    for sample in ["a", "b", "c"] {
        image::RgbImage::new(32, 24).save(dir.path().join(format!("photos/{sample}.png")))?;
    }
    succeed(with_module(&python).current_dir(&dir).args(["-c", WRITE]))?;
    let adopt = |arguments: &str| {
        let mut adopt = Command::new(env!("CARGO_BIN_EXE_oodseg"));
        adopt.args(["seg-model", "adopt", "--folder", "photos"]);
        succeed(adopt.current_dir(&dir).args(arguments.split(' ')))
    };
    adopt("--from arrays --classes cityscapes --void first --name mine --output adopted")?;
    adopt("--from score-arrays --kind score --name other --output adopted-scores")?;
    // and what the module wrote needs no flags
    adopt("--from logits --output from-logits")?;
    adopt("--from scores --output from-scores")?;
    for (ours, theirs) in [
        ("logits", "adopted"),
        ("logits", "from-logits"),
        ("scores", "adopted-scores"),
        ("scores", "from-scores"),
    ] {
        let written = files(&dir.path().join(ours))?;
        let adopted = files(&dir.path().join(theirs))?;
        assert_eq!(written.len(), 3);
        for (name, bytes) in &written {
            let adopted = adopted
                .get(name)
                .with_context(|| format!("no {theirs}/{name}"))?;
            ensure!(adopted == bytes, "{theirs}/{name} has other bytes");
        }
    }
    Ok(())
}
