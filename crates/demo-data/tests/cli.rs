//! Runs the executable: the same bytes on any number of threads, and no file of others is touched.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use stage_testing::command::{fail, succeed};
use stage_testing::folder::files;

fn draw(output: &Path, threads: &str) -> Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo-data"));
    command.args(["--seed", "5", "--scale", "small", "--threads", threads]);
    let printed = succeed(command.arg("--output").arg(output))?;
    assert!(
        printed.stdout.contains("drawn images in"),
        "{}",
        printed.stdout
    );
    Ok(())
}

#[test]
fn the_images_are_the_same_on_any_number_of_threads() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    draw(&one, "1")?;
    draw(&two, "3")?;
    let drawn = files(&one)?;
    assert!(drawn.len() > 250, "{} files", drawn.len());
    assert!(drawn == files(&two)?, "bytes depend on threads");
    Ok(())
}

#[test]
fn folders_with_files_of_others_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mine = [
        ("notes.txt", "mine"),
        ("manifest.json", "{\"name\": \"a web extension\"}"),
    ];
    for (name, content) in mine {
        fs::write(dir.path().join(name), content)?;
        for output in [Path::new("."), dir.path()] {
            for more in [&[][..], &["--force"]] {
                let mut command = Command::new(env!("CARGO_BIN_EXE_demo-data"));
                command.args(["--scale", "small", "--quiet", "--output"]);
                command.arg(output).args(more).current_dir(&dir);
                fail(&mut command, &[name, "choose another --output"])?;
            }
        }
        assert_eq!(fs::read_to_string(dir.path().join(name))?, content);
        assert_eq!(fs::read_dir(&dir)?.count(), 1);
        fs::remove_file(dir.path().join(name))?;
    }
    Ok(())
}
