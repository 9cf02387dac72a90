//! What each output channel of a network stands for.

use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::ClassSet;

/// What one output channel stands for; in JSON the train id, `"void"` or `"unused"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Channel {
    /// The class with this train id.
    Class(usize),
    /// Something else.
    Other(OtherChannel),
}

/// A channel that is no class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherChannel {
    /// Trained on pixels without a class, such as Cityscapes' void labels.
    Void,
    /// Never trained.
    Unused,
}

/// The classes of a network, and the meaning of each of its output channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelTable {
    /// The class set.
    pub classes: ClassSet,
    /// Meaning of each channel, in their order. Every class has exactly one.
    pub channels: Vec<Channel>,
}

/// Which output channel is void, as users say it: `first`, `last`, a number from 0 on, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoidChannel {
    /// The first one; the classes follow.
    First,
    /// The last one.
    Last,
    /// The one with this number, counted from 0.
    At(usize),
    /// There is none.
    None,
}

impl FromStr for VoidChannel {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "first" => Ok(Self::First),
            "last" => Ok(Self::Last),
            "none" => Ok(Self::None),
            number => match number.parse() {
                Ok(number) => Ok(Self::At(number)),
                Err(_) => {
                    bail!("{text:?} is neither first, last, none nor the number of a channel")
                }
            },
        }
    }
}

impl ChannelTable {
    /// The table of a network with `channels` outputs whose classes are in the order of their set.
    ///
    /// # Errors
    /// Returns an error that names the choices if the numbers do not fit, or there is one channel more than classes and `void`
    /// does not say which it is.
    pub fn new(classes: ClassSet, channels: usize, void: Option<VoidChannel>) -> Result<Self> {
        let n = classes.len();
        ensure!(
            channels == n || channels == n + 1,
            "{channels} output channels are neither the {n} classes of {:?} nor these and void: pass another --classes",
            classes.name
        );
        let has_void = channels == n + 1;
        let at = match (has_void, void) {
            (false, None | Some(VoidChannel::None)) => None,
            (false, Some(_)) => bail!(
                "{channels} output channels are the {n} classes of {:?}, so none is void: leave --void out",
                classes.name
            ),
            (true, Some(VoidChannel::First)) => Some(0),
            (true, Some(VoidChannel::Last)) => Some(n),
            (true, Some(VoidChannel::At(number))) if number < channels => Some(number),
            (true, Some(VoidChannel::At(number))) => {
                bail!(
                    "--void {number} is not one of the output channels 0 to {}",
                    channels - 1
                )
            }
            (true, None | Some(VoidChannel::None)) => bail!(
                "{channels} output channels are the {n} classes of {:?} and one that is none of them, but the file does not say which: pass --void first or --void last (or its number)",
                classes.name
            ),
        };
        let mut table: Vec<Channel> = (0..n).map(Channel::Class).collect();
        if let Some(at) = at {
            table.insert(at, Channel::Other(OtherChannel::Void));
        }
        Ok(Self {
            classes,
            channels: table,
        })
    }

    /// The table of a network with `channels` outputs whose file says nothing: that of the shipped class set with exactly as many
    /// classes.
    ///
    /// # Errors
    /// Returns an error that names the choices if no set has this number of classes, or several different ones have.
    pub fn of_count(channels: usize) -> Result<Self> {
        let sets = ClassSet::shipped()?;
        let mut fitting: Vec<&ClassSet> = sets.iter().filter(|set| set.len() == channels).collect();
        // bdd100k has the classes of Cityscapes
        fitting.sort_by_key(|set| set.name != "cityscapes");
        let names = |sets: &[&ClassSet]| {
            let names = sets
                .iter()
                .map(|set| format!("{} ({})", set.name, set.len()));
            names.collect::<Vec<_>>().join(", ")
        };
        match fitting.split_first() {
            Some((first, others)) if others.iter().all(|o| first.ensure_same(o).is_ok()) => {
                Self::new((*first).clone(), channels, None)
            }
            Some(_) => bail!(
                "{channels} output channels could be the classes of {}: pass --classes",
                names(&fitting)
            ),
            None => bail!(
                "nothing says what the {channels} output channels are: pass --classes with a file or one of {}, and --void first, last or a number if one channel is none of the classes",
                names(&sets.iter().collect::<Vec<_>>())
            ),
        }
    }

    /// Channel of each class, by train id.
    ///
    /// # Errors
    /// Returns an error if a class has no channel or several, or a channel names a class that does not exist.
    pub fn class_channels(&self) -> Result<Vec<usize>> {
        let mut found = vec![None; self.classes.len()];
        for (channel, meaning) in self.channels.iter().enumerate() {
            let &Channel::Class(train_id) = meaning else {
                continue;
            };
            let slot = found.get_mut(train_id);
            match slot {
                Some(slot @ None) => *slot = Some(channel),
                Some(Some(other)) => {
                    bail!("channels {other} and {channel} are both class {train_id}")
                }
                None => bail!("channel {channel} is class {train_id}, which does not exist"),
            }
        }
        let missing = found.iter().position(Option::is_none);
        match missing {
            Some(train_id) => bail!("class {train_id} has no channel"),
            None => Ok(found.into_iter().flatten().collect()),
        }
    }

    /// Channels in the order of logits files: the classes by train id, then void, then unused ones.
    ///
    /// # Errors
    /// Returns the errors of [`Self::class_channels`].
    pub fn canonical_order(&self) -> Result<Vec<usize>> {
        let mut order = self.class_channels()?;
        for kind in [OtherChannel::Void, OtherChannel::Unused] {
            let channels = self.channels.iter().enumerate();
            let of_kind = channels.filter(|&(_, &channel)| channel == Channel::Other(kind));
            order.extend(of_kind.map(|(position, _)| position));
        }
        Ok(order)
    }

    /// The same classes with the channels in the order of [`Self::canonical_order`].
    ///
    /// # Errors
    /// Returns the errors of [`Self::class_channels`].
    pub fn canonical(&self) -> Result<Self> {
        let order = self.canonical_order()?;
        Ok(Self {
            classes: self.classes.clone(),
            channels: order
                .iter()
                .map(|&channel| self.channels[channel])
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(channels: usize, void: Option<VoidChannel>) -> Result<ChannelTable> {
        ChannelTable::new(ClassSet::open("camvid")?, channels, void)
    }

    #[test]
    fn void_is_where_the_user_says() -> Result<()> {
        for (void, at) in [("first", 0), ("last", 11), ("4", 4)] {
            let table = table(12, Some(void.parse()?))?;
            assert_eq!(table.channels[at], Channel::Other(OtherChannel::Void));
            let order = table.canonical_order()?;
            assert_eq!(order.last(), Some(&at), "{void}");
            assert_eq!(order[0], usize::from(at == 0));
            assert_eq!(table.canonical()?.channels[3], Channel::Class(3));
        }
        assert_eq!(
            table(11, None)?.canonical_order()?,
            (0..11).collect::<Vec<_>>()
        );
        Ok(())
    }

    #[test]
    fn what_is_not_said_is_asked_for() {
        let fails = |result: Result<ChannelTable>, expected: &str| {
            let error = format!("{:#}", result.expect_err(expected));
            assert!(error.contains(expected), "{error}");
        };
        fails(table(12, None), "--void first");
        fails(table(12, Some(VoidChannel::None)), "--void first");
        fails(table(12, Some(VoidChannel::At(12))), "0 to 11");
        fails(table(11, Some(VoidChannel::Last)), "leave --void out");
        fails(table(19, None), "another --classes");
        fails(ChannelTable::of_count(20), "cityscapes (19)");
        assert!("frist".parse::<VoidChannel>().is_err());
    }

    #[test]
    fn a_number_of_channels_that_one_set_has_is_that_set() -> Result<()> {
        for (channels, name) in [(19, "cityscapes"), (11, "camvid"), (7, "idd-lite")] {
            assert_eq!(ChannelTable::of_count(channels)?.classes.name, name);
        }
        Ok(())
    }

    #[test]
    fn a_table_survives_json_and_damaged_ones_are_refused() -> Result<()> {
        let mut table = table(12, Some(VoidChannel::First))?;
        let text = serde_json::to_string(&table)?;
        assert!(text.contains(r#""channels":["void",0,1,"#), "{text}");
        assert_eq!(serde_json::from_str::<ChannelTable>(&text)?, table);
        table.channels[1] = Channel::Class(3);
        assert!(table.class_channels().is_err());
        table.channels[1] = Channel::Class(99);
        assert!(table.class_channels().is_err());
        table.channels[1] = Channel::Other(OtherChannel::Unused);
        assert!(table.class_channels().is_err());
        Ok(())
    }
}
