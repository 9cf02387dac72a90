//! An input or an output of a network, as its file declares it.

use anyhow::{Context, Result, bail};

/// An input or an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    /// Its name.
    pub(super) name: String,
    /// Type of its numbers.
    pub(super) number: Number,
    /// Sizes of its axes; `None` where an axis may have any size.
    pub(super) shape: Vec<Option<usize>>,
}

/// Types of numbers that images and maps can have.
#[cfg_attr(
    not(feature = "onnx"),
    allow(dead_code, reason = "only ONNX Runtime makes them")
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Number {
    F32,
    F16,
    U8,
    /// Any other, by its name in ONNX.
    Other(String),
}

impl Port {
    /// The port for people: `input: f32 [1, 3, ?, ?]`.
    pub(super) fn describe(&self) -> String {
        let sides = self.shape.iter().map(|side| match side {
            Some(side) => side.to_string(),
            None => "?".to_owned(),
        });
        let sides: Vec<_> = sides.collect();
        format!(
            "{:?}: {} [{}]",
            self.name,
            self.number.name(),
            sides.join(", ")
        )
    }

    /// The port that is asked for, or the only one. `what` is `input` or `output`.
    ///
    /// # Errors
    /// Returns an error that lists all of them if there is none of the name, or several and none is asked for.
    pub(super) fn find<'a>(ports: &'a [Self], asked: Option<&str>, what: &str) -> Result<&'a Self> {
        let all: Vec<_> = ports.iter().map(Self::describe).collect();
        let all = all.join(", ");
        match (asked, ports) {
            (Some(name), _) => ports
                .iter()
                .find(|port| port.name == name)
                .with_context(|| format!("it has no {what} {name:?}: the {what}s are {all}")),
            (None, [port]) => Ok(port),
            (None, []) => bail!("it has no {what}"),
            (None, _) => bail!("it has several {what}s ({all}): pass --{what}-name"),
        }
    }
}

impl Number {
    /// The name for people.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::U8 => "u8",
            Self::Other(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_by_name_or_if_they_are_the_only_one() -> Result<()> {
        let port = |name: &str| Port {
            name: name.to_owned(),
            number: Number::F32,
            shape: vec![Some(1), None],
        };
        let two = [port("a"), port("b")];
        assert_eq!(Port::find(&two, Some("b"), "output")?.name, "b");
        assert_eq!(Port::find(&two[..1], None, "output")?.name, "a");
        for (ports, asked, words) in [
            (&two[..], None, "--output-name"),
            (&two[..], Some("c"), "\"a\": f32 [1, ?], \"b\""),
            (&[], None, "no output"),
        ] {
            let error = Port::find(ports, asked, "output")
                .expect_err(words)
                .to_string();
            assert!(error.contains(words), "{error}");
        }
        Ok(())
    }
}
