//! `--shard`: which part of the samples a call processes, as it is written or as the engine says that started the call.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use artifacts::shard::Shard;
use serde::{Serialize, Serializer};

/// What is written in place of I/N to take it from the environment.
const AUTO: &str = "auto";

/// Engines that number their tasks from 0: the variables with the number of a task, and with how many there are.
const FROM_ZERO: [(&str, &str); 5] = [
    // Kubernetes sets only the first; the second is set in the container's environment
    ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
    ("BATCH_TASK_INDEX", "BATCH_TASK_COUNT"),
];

/// The value of `--shard`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShardFlag {
    /// The part of the samples.
    pub shard: Shard,
    /// The variable that said so.
    variable: Option<String>,
}

impl ShardFlag {
    /// Logs which variable the part was taken from, if it was.
    pub(crate) fn log(&self) {
        if let Some(variable) = &self.variable {
            tracing::info!("shard {} of the samples, by {variable}", self.shard);
        }
    }

    /// The part that the engine says which started this call.
    ///
    /// # Errors
    /// Returns an error if no engine says one, several say different ones, or it cannot be told which it is.
    fn of_environment(get: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut said = BTreeMap::new();
        if let Some(shard) = of_slurm(&get)? {
            said.insert(SLURM_ID, shard);
        }
        for (index, count) in FROM_ZERO {
            if let Some(shard) = from_zero(&get, index, count)? {
                said.insert(index, shard);
            }
        }
        // a task of an array may run in an MPI job of one process, which says nothing
        let divided = said.clone().into_iter().filter(|(_, s)| s.count > 1);
        let mut divided = divided.peekable();
        let first = divided.next_if(|_| true).or_else(|| said.pop_first());
        let Some((variable, shard)) = first else {
            let names = FROM_ZERO.map(|(index, _)| index).join(", ");
            bail!(
                "no engine says which shard this call is ({SLURM_ID}, {names} are not set): write I/N"
            );
        };
        if let Some((other, differs)) = divided.find(|(_, other)| *other != shard) {
            bail!("{variable} says {shard} and {other} says {differs}: write I/N");
        }
        Ok(Self {
            shard,
            variable: Some(variable.to_owned()),
        })
    }
}

/// The number of a task of a Slurm array.
const SLURM_ID: &str = "SLURM_ARRAY_TASK_ID";

/// The part of a task of a Slurm array, which may begin at 0 or 1.
fn of_slurm(get: impl Fn(&str) -> Option<String>) -> Result<Option<Shard>> {
    let Some(id) = number(&get, SLURM_ID)? else {
        return Ok(None);
    };
    let needed = |name| {
        number(&get, name)?
            .with_context(|| format!("{SLURM_ID} is set, but {name} is not: write I/N"))
    };
    let (count, min, max) = (
        needed("SLURM_ARRAY_TASK_COUNT")?,
        needed("SLURM_ARRAY_TASK_MIN")?,
        needed("SLURM_ARRAY_TASK_MAX")?,
    );
    // An array of the tasks that have failed has gaps or begins elsewhere. Its tasks are not the shards of its own number of tasks.
    ensure!(
        min <= 1 && id >= min && id <= max && max - min + 1 == count,
        "the array has {count} tasks from {min} to {max}, which are not all of 0 to N-1 or 1 to N, so that the number of shards is not known: \
         write I/N"
    );
    Ok(Some(Shard {
        index: id - min,
        count,
    }))
}

fn from_zero(
    get: impl Fn(&str) -> Option<String>,
    index_name: &str,
    count_name: &str,
) -> Result<Option<Shard>> {
    let Some(index) = number(&get, index_name)? else {
        return Ok(None);
    };
    let count = number(&get, count_name)?.with_context(|| {
        format!("{index_name} is set, but {count_name}, the number of tasks, is not: set it too, or write I/N")
    })?;
    ensure!(
        index < count,
        "{index_name} is {index}, but {count_name} is {count}: write I/N"
    );
    Ok(Some(Shard { index, count }))
}

fn number(get: impl Fn(&str) -> Option<String>, name: &str) -> Result<Option<usize>> {
    let Some(text) = get(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let number = text.trim().parse();
    Ok(Some(number.with_context(|| {
        format!("{name} is {text:?}, which is no number: write I/N")
    })?))
}

impl FromStr for ShardFlag {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == AUTO {
            return Self::of_environment(|name| std::env::var(name).ok());
        }
        Ok(Self {
            shard: text.parse()?,
            variable: None,
        })
    }
}

impl std::fmt::Display for ShardFlag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shard.fmt(f)
    }
}

/// Manifests record the part, however it was given.
impl Serialize for ShardFlag {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.shard.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(variables: &[(&str, &str)]) -> std::result::Result<String, String> {
        let get = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        ShardFlag::of_environment(get)
            .map(|flag| format!("{} by {}", flag.shard, flag.variable.unwrap_or_default()))
            .map_err(|error| error.to_string())
    }

    fn slurm(id: &str, count: &str, min: &str, max: &str) -> std::result::Result<String, String> {
        auto(&[
            ("SLURM_ARRAY_TASK_ID", id),
            ("SLURM_ARRAY_TASK_COUNT", count),
            ("SLURM_ARRAY_TASK_MIN", min),
            ("SLURM_ARRAY_TASK_MAX", max),
        ])
    }

    #[test]
    fn engines_say_the_shard() {
        assert_eq!(
            slurm("3", "16", "0", "15").unwrap(),
            "3/16 by SLURM_ARRAY_TASK_ID"
        );
        assert_eq!(
            slurm("16", "16", "1", "16").unwrap(),
            "15/16 by SLURM_ARRAY_TASK_ID"
        );
        for (index, count) in FROM_ZERO {
            let said = auto(&[(index, "2"), (count, "4")]).unwrap();
            assert_eq!(said, format!("2/4 by {index}"));
        }
    }

    #[test]
    fn a_job_of_one_process_says_nothing_in_an_array() {
        let both = [
            ("PMI_RANK", "0"),
            ("PMI_SIZE", "1"),
            ("JOB_COMPLETION_INDEX", "1"),
            ("JOB_COMPLETIONS", "3"),
        ];
        assert_eq!(auto(&both).unwrap(), "1/3 by JOB_COMPLETION_INDEX");
        assert_eq!(auto(&both[..2]).unwrap(), "0/1 by PMI_RANK");
    }

    #[test]
    fn what_is_not_known_is_asked_for() {
        let refused = |said: std::result::Result<String, String>, words: &str| {
            let error = said.unwrap_err();
            assert!(
                error.contains(words) && error.contains("write I/N"),
                "{error}"
            );
        };
        refused(auto(&[]), "no engine says");
        // tasks of an array that were submitted again
        refused(slurm("3", "1", "3", "3"), "tasks from 3 to 3");
        refused(slurm("5", "2", "0", "5"), "2 tasks from 0 to 5");
        refused(
            auto(&[("SLURM_ARRAY_TASK_ID", "0")]),
            "SLURM_ARRAY_TASK_COUNT is not",
        );
        refused(auto(&[("JOB_COMPLETION_INDEX", "0")]), "JOB_COMPLETIONS");
        refused(
            auto(&[("PMI_RANK", "4"), ("PMI_SIZE", "4")]),
            "PMI_SIZE is 4",
        );
        refused(auto(&[("PMI_RANK", "x"), ("PMI_SIZE", "4")]), "no number");
        let two = [("PMI_RANK", "0"), ("PMI_SIZE", "2")];
        let two_more = [("JOB_COMPLETION_INDEX", "1"), ("JOB_COMPLETIONS", "3")];
        refused(
            auto(&[two, two_more].concat()),
            "says 1/3 and PMI_RANK says 0/2",
        );
    }
}
