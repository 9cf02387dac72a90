use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::*;

thread_local! {
    /// Steps until the next "crash"; `None` for never.
    static STEPS_LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Called before each change that the swap makes on the disk.
pub(super) fn step() -> Result<()> {
    match STEPS_LEFT.get() {
        Some(0) => bail!("crash"),
        left => STEPS_LEFT.set(left.map(|n| n - 1)),
    }
    Ok(())
}

/// A folder with an input, and the output of a toy stage.
struct Toy(tempfile::TempDir);

impl Toy {
    fn new() -> Result<Self> {
        let toy = Self(tempfile::tempdir()?);
        fs::write(toy.input(), "1")?;
        Ok(toy)
    }

    fn input(&self) -> PathBuf {
        self.0.path().join("in")
    }

    fn output(&self) -> PathBuf {
        self.0.path().join("out")
    }

    fn open_as(&self, argument: u32, force: bool, replacing: Replacing) -> Result<Opened> {
        let (input, output) = (self.input(), self.output());
        let arguments = serde_json::json!({ "ood_weight": argument });
        let mut request = Request::new(&output, "toy", &arguments, &[("input", &input)], force)?;
        request.replacing = replacing;
        StageDir::open(request)
    }

    fn open(&self, argument: u32) -> Result<Opened> {
        self.open_as(argument, false, Replacing::Freely)
    }

    /// Does the work of the stage: files that hold the argument, in two folders.
    fn write(dir: &StageDir, argument: u32) -> Result<()> {
        fs::write(dir.path().join("table"), argument.to_string())?;
        fs::write(dir.subdir("masks")?.join(format!("{argument}.png")), "mask")?;
        fs::write(dir.partial()?.join("checkpoint"), "state")?;
        dir.subdir("empty")?;
        Ok(())
    }

    fn make(&self, argument: u32) -> Result<()> {
        let dir = work(self.open(argument)?);
        Self::write(&dir, argument)?;
        dir.finish(&[("samples", 1)])?;
        Ok(())
    }

    /// Files in the output, sorted.
    fn files(&self) -> Vec<String> {
        let walk = walkdir::WalkDir::new(self.output()).sort_by_file_name();
        let files = walk.into_iter().filter_map(Result::ok);
        let files = files.filter(|e| !e.file_type().is_dir());
        let relative = files.map(|e| e.path().strip_prefix(self.output()).map(Path::to_owned));
        let names = relative.filter_map(Result::ok);
        names.map(|f| f.display().to_string()).collect()
    }

    fn is_whole(&self, argument: u32) -> bool {
        let read = |name: &str| fs::read_to_string(self.output().join(name)).ok();
        read("table") == Some(argument.to_string())
            && read(&format!("masks/{argument}.png")).is_some()
            && self.output().join("manifest.json").exists()
    }
}

fn work(opened: Opened) -> StageDir {
    match opened {
        Opened::Work(dir) => *dir,
        Opened::Done(_) => panic!("should not be done"),
    }
}

fn is_done(opened: &Opened) -> bool {
    matches!(opened, Opened::Done(_))
}

fn error(result: Result<Opened>) -> String {
    format!("{:#}", result.expect_err("an error"))
}

#[test]
fn done_continued_and_redone() -> Result<()> {
    let toy = Toy::new()?;
    let dir = work(toy.open(1)?);
    fs::write(dir.path().join("table"), "half")?;
    fs::write(dir.subdir("masks")?.join(".half.tmp"), "h")?;
    drop(dir); // killed
    let dir = work(toy.open(1)?);
    assert!(dir.path().join("table").exists(), "the same work goes on");
    assert!(!dir.path().join("masks/.half.tmp").exists());
    Toy::write(&dir, 1)?;
    dir.finish(&[])?;
    assert_eq!(toy.files(), ["manifest.json", "masks/1.png", "table"]);
    assert!(is_done(&toy.open(1)?));

    let dir = work(toy.open(2)?);
    assert!(
        toy.is_whole(1),
        "the earlier result stays until the new one is complete"
    );
    Toy::write(&dir, 2)?;
    drop(dir); // killed
    assert!(is_done(&toy.open(1)?), "and may be asked for again");
    toy.make(2)?;
    assert!(toy.is_whole(2));
    assert_eq!(toy.files(), ["manifest.json", "masks/2.png", "table"]);
    fs::write(toy.input(), "2")?;
    toy.make(2)?;
    drop(work(toy.open_as(2, true, Replacing::Freely)?));
    assert!(toy.is_whole(2));
    Ok(())
}

/// Wherever a call dies between "ready" and "complete", the next one completes the result, and at no time neither is whole.
#[test]
fn a_crash_at_any_step_of_the_swap_loses_nothing() -> Result<()> {
    let mut n_steps = 0;
    for step in 0.. {
        let toy = Toy::new()?;
        toy.make(1)?;
        let dir = work(toy.open(2)?);
        Toy::write(&dir, 2)?;
        STEPS_LEFT.set(Some(step));
        let finished = dir.finish(&[]);
        STEPS_LEFT.set(None);
        if finished.is_ok() {
            break;
        }
        n_steps = step + 1;
        let is_ready = toy.output().join("in-progress/manifest.json").exists();
        assert!(
            is_ready || toy.is_whole(1) || toy.is_whole(2),
            "step {step}"
        );
        // dies once more on the way, then is left alone
        STEPS_LEFT.set(Some(1));
        let _ = toy.open(2);
        STEPS_LEFT.set(None);
        assert!(is_done(&toy.open(2)?), "step {step}");
        assert!(toy.is_whole(2), "step {step}");
        assert_eq!(
            toy.files(),
            ["manifest.json", "masks/2.png", "table"],
            "step {step}"
        );
    }
    assert!(n_steps > 8, "{n_steps} steps");
    Ok(())
}

#[test]
fn other_work_finds_a_swapped_result_too() -> Result<()> {
    let toy = Toy::new()?;
    let dir = work(toy.open(1)?);
    Toy::write(&dir, 1)?;
    STEPS_LEFT.set(Some(1));
    assert!(dir.finish(&[]).is_err());
    STEPS_LEFT.set(None);
    let text = error(toy.open_as(2, false, Replacing::WithForce));
    assert!(
        text.contains("was finished with --ood-weight 1, asked for 2"),
        "{text}"
    );
    assert!(toy.is_whole(1));
    Ok(())
}

/// Wherever a call dies that gives up the work of another one, the next one starts, and takes no file of the other for its own.
#[test]
fn a_crash_while_work_is_discarded_blocks_nothing() -> Result<()> {
    for step in 0..20 {
        let toy = Toy::new()?;
        Toy::write(&work(toy.open(1)?), 1)?; // killed
        STEPS_LEFT.set(Some(step));
        let opened = toy.open(2);
        STEPS_LEFT.set(None);
        let is_last = opened.is_ok();
        drop(opened);
        let dir = work(toy.open(1)?);
        let is_given_up = step > 0; // the first step is the renaming of `work.json`
        assert_eq!(dir.path().join("table").exists(), !is_given_up, "{step}");
        drop(dir);
        toy.make(2)?;
        assert_eq!(toy.files(), ["manifest.json", "masks/2.png", "table"]);
        if is_last {
            assert!(step > 4, "{step} steps");
            return Ok(());
        }
    }
    bail!("the work is never discarded")
}

#[test]
fn folders_of_others_that_have_our_name_stay() -> Result<()> {
    let toy = Toy::new()?;
    toy.make(1)?;
    let theirs = toy.output().join("in-progress/work.json");
    fs::create_dir_all(toy.output().join("in-progress"))?;
    for content in ["{\"name\": \"work of another program\"}", ""] {
        fs::write(&theirs, content)?;
        assert!(is_done(&toy.open(1)?));
        for force in [false, true] {
            let text = error(toy.open_as(2, force, Replacing::Freely));
            assert!(text.contains("in-progress/work.json"), "{text}");
        }
        assert_eq!(fs::read_to_string(&theirs)?, content);
    }
    Ok(())
}

#[test]
fn folders_without_work_are_started_anew() -> Result<()> {
    let toy = Toy::new()?;
    fs::create_dir_all(toy.output().join("in-progress"))?;
    fs::write(toy.output().join("in-progress/.a.tmp"), "")?;
    fs::write(toy.output().join(".lock"), "")?;
    toy.make(1)?;
    assert_eq!(toy.files(), ["manifest.json", "masks/1.png", "table"]);
    // what is left of complete work goes
    fs::create_dir_all(toy.output().join("in-progress/partial"))?;
    fs::write(toy.output().join("in-progress/partial/a"), "")?;
    fs::copy(
        toy.output().join("manifest.json"),
        toy.output().join("in-progress/work.json"),
    )?;
    drop(work(toy.open_as(1, true, Replacing::Freely)?));
    assert!(toy.is_whole(1));
    Ok(())
}

#[test]
fn foreign_files_stop_a_stage_and_stay() -> Result<()> {
    let toy = Toy::new()?;
    fs::create_dir_all(toy.output())?;
    for (name, content) in [
        ("notes.txt", "mine"),
        ("manifest.json", "{\"name\": \"a web extension\"}"),
        ("manifest.json", "no JSON"),
        ("in-progress/mine", "mine"),
    ] {
        let path = toy.output().join(name);
        create_dir(path.parent().expect("a folder"))?;
        fs::write(&path, content)?;
        for force in [false, true] {
            let text = error(toy.open_as(1, force, Replacing::Freely));
            assert!(text.contains("choose another --output"), "{text}");
        }
        assert_eq!(fs::read_to_string(&path)?, content);
        fs::remove_file(&path)?;
    }
    fs::remove_dir(toy.output().join("in-progress"))?;
    toy.make(1)?;
    fs::write(toy.output().join("masks/notes.txt"), "mine")?;
    assert!(
        is_done(&toy.open(1)?),
        "foreign files do no harm to a complete result"
    );
    let text = error(toy.open_as(2, true, Replacing::Freely));
    assert!(
        text.contains("masks/notes.txt") && toy.is_whole(1),
        "{text}"
    );
    Ok(())
}

#[test]
fn an_output_is_no_input() -> Result<()> {
    let toy = Toy::new()?;
    toy.make(1)?;
    let root = toy.0.path();
    for (output, input, reason) in [
        ("out", "out", "is also read"),
        ("out/deeper", "out", "is inside of a folder that is read"),
        (".", "out", "contains a file or folder that is read"),
        ("nowhere/../out", "out", "is also read"),
    ] {
        let (output, input) = (root.join(output), root.join(input));
        let request = Request::new(&output, "toy", &(), &[("input", &input)], true)?;
        let text = error(StageDir::open(request));
        assert!(
            text.contains(reason) && text.contains("choose another --output"),
            "{text}"
        );
    }
    assert!(toy.is_whole(1));
    Ok(())
}

#[test]
fn two_calls_do_not_write_one_output() -> Result<()> {
    let toy = Toy::new()?;
    let first = work(toy.open(1)?);
    let text = error(toy.open(1));
    assert!(
        text.contains("is being written by another call (process"),
        "{text}"
    );
    Toy::write(&first, 1)?;
    first.finish(&[])?;
    assert!(is_done(&toy.open(1)?));
    assert!(!toy.output().join(".lock").exists());
    Ok(())
}

#[test]
fn valuable_results_are_replaced_with_force_alone() -> Result<()> {
    let toy = Toy::new()?;
    toy.make(1)?;
    for replacing in [Replacing::SameArguments, Replacing::WithForce] {
        let text = error(toy.open_as(2, false, replacing));
        assert!(
            text.contains("finished with --ood-weight 1, asked for 2"),
            "{text}"
        );
        assert!(text.contains("--force"), "{text}");
    }
    fs::write(toy.input(), "2")?;
    let text = error(toy.open_as(1, false, Replacing::WithForce));
    assert!(text.contains("an earlier content of --input"), "{text}");
    let dir = work(toy.open_as(1, false, Replacing::SameArguments)?);
    drop(dir); // interrupted
    let text = error(toy.open_as(3, false, Replacing::WithForce));
    assert!(
        text.contains("finished with --ood-weight 1, asked for 3"),
        "{text}"
    );
    fs::write(toy.input(), "1")?;
    assert!(is_done(&toy.open(1)?) && toy.is_whole(1));
    // once begun with --force, the same work goes on without it
    let dir = work(toy.open_as(3, true, Replacing::WithForce)?);
    fs::write(dir.path().join("table"), "half")?;
    drop(dir); // interrupted
    let dir = work(toy.open_as(3, false, Replacing::WithForce)?);
    assert!(dir.path().join("table").exists() && toy.is_whole(1));
    drop(dir);
    // interrupted work is as valuable
    let other = Toy::new()?;
    drop(work(other.open(1)?));
    let text = error(other.open_as(2, false, Replacing::WithForce));
    assert!(
        text.contains("was interrupted with --ood-weight 1, asked for 2"),
        "{text}"
    );
    drop(work(other.open_as(2, true, Replacing::WithForce)?));
    Ok(())
}

#[test]
fn files_that_are_gone_or_cut_off_are_made_again() -> Result<()> {
    let toy = Toy::new()?;
    toy.make(1)?;
    for damage in [None, Some("")] {
        let path = toy.output().join("masks/1.png");
        match damage {
            None => fs::remove_file(&path)?,
            Some(content) => fs::write(&path, content)?,
        }
        let stale = Input::of(&toy.output());
        assert!(stale.is_err(), "no stage reads it either");
        toy.make(1)?;
        assert!(toy.is_whole(1));
    }
    Ok(())
}

#[test]
fn files_that_another_program_wrote_are_other_inputs() -> Result<()> {
    let toy = Toy::new()?;
    toy.make(1)?;
    let before = Input::of(&toy.output())?;
    assert_eq!(Input::of(&toy.output())?, before);
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    let path = toy.output().join("masks/1.png");
    fs::write(&path, "MASK")?; // as long as before
    fs::File::options()
        .write(true)
        .open(&path)?
        .set_modified(later)?;
    assert_ne!(Input::of(&toy.output())?.blake3, before.blake3);
    Ok(())
}

#[test]
fn inputs_that_change_meanwhile_are_noticed() -> Result<()> {
    let toy = Toy::new()?;
    let dir = work(toy.open(1)?);
    Toy::write(&dir, 1)?;
    fs::write(toy.input(), "2")?;
    let text = format!("{:#}", dir.finish(&[]).expect_err("changed"));
    assert!(text.contains("changed while it was read"), "{text}");
    Ok(())
}

#[cfg(unix)]
#[test]
fn an_output_may_be_a_link() -> Result<()> {
    let toy = Toy::new()?;
    let target = toy.0.path().join("disk");
    fs::create_dir(&target)?;
    std::os::unix::fs::symlink(&target, toy.output())?;
    toy.make(1)?;
    toy.make(2)?;
    assert!(toy.is_whole(2) && toy.output().is_symlink() && target.join("table").exists());
    Ok(())
}
