//! Flags that are missing, contradict each other, or had another spelling.

use anyhow::Result;
use stage_testing::command::succeed;

use crate::toy::{Toy, check, coco_proxy, dataset};

#[test]
fn the_former_spelling_of_check_still_works() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    let mut command = coco_proxy(&["--check", "--annotations"]);
    let printed = succeed(command.arg(toy.annotations()))?;
    let (_, lines, _) = check(&toy)?;
    assert_eq!(printed.stdout.lines().collect::<Vec<_>>(), lines);
    let notes = printed.stderr.matches("`coco-proxy check`").count();
    assert_eq!(notes, 1, "{}", printed.stderr);
    let images = toy.path("train2017");
    let mut command = coco_proxy(&["check", "--quiet", "--annotations"]);
    succeed(command.arg(toy.annotations()).arg("--images").arg(images))?;
    Ok(())
}

#[test]
fn missing_and_contradicting_arguments_are_told_with_the_usage() -> Result<()> {
    for (arguments, expected) in [
        (&[][..], "--annotations <FILE>"),
        (&["--annotations", "a.json"], "--output <DIR>"),
        (&["check"], "--annotations <FILE>"),
        (&["--check"], "--annotations <FILE>"),
        (
            &["check", "--annotations", "a.json", "--output", "b"],
            "'--output'",
        ),
        (
            &["--check", "--annotations", "a.json", "--output", "b"],
            "cannot be used with",
        ),
        (
            &[
                "--annotations",
                "a.json",
                "check",
                "--annotations",
                "a.json",
            ],
            "cannot be used with",
        ),
    ] {
        let output = coco_proxy(arguments).output()?;
        let stderr = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
    Ok(())
}
