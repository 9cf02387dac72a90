//! Calls that are killed at any moment.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Instant;

use anyhow::Result;
use artifacts::manifest::Manifest;
use stage_testing::folder::files;

use crate::toy::Toy;

/// After calls that were killed, one that is not gives the bytes and counts of undisturbed work.
#[test]
fn killed_calls_lose_nothing_and_count_nothing_twice() -> Result<()> {
    const N_MOMENTS: u32 = 40;
    let toy = Toy::new()?;
    for options in [&[][..], &["--skip-without-ood", "--thresholds", "0.5"]] {
        let started = Instant::now();
        toy.run("whole", &[options, &["--force"]].concat())?;
        let duration = started.elapsed();
        let whole = files(&toy.path("whole"))?;
        for i in 0..N_MOMENTS {
            let output = format!("{}-{i}", options.len());
            // the second call is killed as it goes on from what the first has left
            for moment in [i, i * 7 % N_MOMENTS] {
                let mut command = toy.command(&output, options);
                let mut call = command
                    .arg("--quiet")
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()?;
                sleep(duration * moment / N_MOMENTS);
                call.kill()?;
                call.wait()?;
            }
            toy.run(&output, options)?;
            let mut found = files(&toy.path(&output))?;
            // a call that was killed between completing its output and unlocking it leaves the file, which locks nothing any more
            found.remove(".lock");
            let names = [&whole, &found].map(|files| files.keys().cloned().collect::<Vec<_>>());
            assert_eq!(names[0], names[1], "moment {i}");
            assert!(found == whole, "moment {i}");
            let [expected, found] = ["whole", &output].map(|name| Manifest::read(&toy.path(name)));
            assert_eq!(found?.counts, expected?.counts, "moment {i}");
        }
    }
    Ok(())
}
