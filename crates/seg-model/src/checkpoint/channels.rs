//! What the output channels of weights stand for: as the file says, as the user says, or as their number alone says.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use artifacts::classes::{Channel, ChannelTable, ClassSet, OtherChannel, VoidChannel};
use candle_core::{Device, Tensor};

use crate::hub::Hub;

/// Name of the class set of files that say only how many classes they have.
const UNNAMED: &str = "unnamed";

/// What the user says of the output channels.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked<'a> {
    /// `--classes`.
    pub(super) classes: Option<&'a ClassSet>,
    /// `--void`.
    pub(super) void: Option<VoidChannel>,
}

/// A channel table and who says so.
#[derive(Debug)]
pub(super) struct Said {
    /// The channels in the order of the file.
    pub(super) table: ChannelTable,
    /// Whether only the number of channels speaks for the classes.
    pub(super) is_by_number: bool,
}

/// The table of `channels` output channels whose file has these metadata and `hub` beside it, in the order of the file.
///
/// Metadata of the file and flags must agree; labels beside it count only where there is neither.
///
/// # Errors
/// Returns an error if the metadata are damaged or contradict the flags, and one that names the choices if nothing says what the
/// channels are.
pub(super) fn table(
    metadata: &BTreeMap<String, String>,
    hub: &Hub,
    channels: usize,
    asked: Asked,
) -> Result<Said> {
    let said = |table| Said {
        table,
        is_by_number: false,
    };
    if let Some(recorded) = recorded(metadata, channels)? {
        return agreed(recorded, asked).map(said);
    }
    if asked.classes.is_none()
        && let Some(labeled) = hub.table(channels, asked.void)?
    {
        return Ok(said(labeled));
    }
    match (asked.classes, asked.void) {
        (Some(classes), void) => ChannelTable::new(classes.clone(), channels, void).map(said),
        (None, Some(VoidChannel::None) | None) => Ok(Said {
            table: ChannelTable::of_count(channels)?,
            is_by_number: true,
        }),
        (None, Some(_)) => {
            let names: Vec<_> = ClassSet::shipped()?.into_iter().map(|s| s.name).collect();
            bail!(
                "--void says which of the {channels} output channels is none of the classes, but nothing says which classes the others are: pass --classes with a file or one of {}",
                names.join(", ")
            )
        }
    }
}

/// The table that the metadata of a file record, if they do.
fn recorded(metadata: &BTreeMap<String, String>, channels: usize) -> Result<Option<ChannelTable>> {
    let text = |key: &str| metadata.get(key).map(String::as_str);
    if let Some(number) = text("num_classes") {
        return of_version_1(number, channels).map(Some);
    }
    let (classes, table) = match (text("classes"), text("channels")) {
        (None, None) => return Ok(None),
        (Some(classes), Some(table)) => (classes, table),
        _ => bail!("they name classes without channels or channels without classes"),
    };
    let classes: ClassSet = serde_json::from_str(classes).context("their classes are damaged")?;
    classes.check().context("their classes are damaged")?;
    let table = ChannelTable {
        classes,
        channels: serde_json::from_str(table).context("their channels are damaged")?,
    };
    ensure!(
        table.channels.len() == channels,
        "they describe {} output channels, but have {channels}",
        table.channels.len()
    );
    table
        .class_channels()
        .context("their channels are damaged")?;
    Ok(Some(table))
}

/// The table of files of version 1, which record the number of classes: these come first, void follows, and others are not used. As
/// many as Cityscapes has are its classes.
fn of_version_1(number: &str, channels: usize) -> Result<ChannelTable> {
    let n: usize = number
        .parse()
        .context("their number of classes is damaged")?;
    ensure!(
        (2..=channels).contains(&n),
        "they have {channels} channels, so {n} classes are impossible"
    );
    let cityscapes = ClassSet::cityscapes()?;
    let classes = if n == cityscapes.len() {
        cityscapes
    } else {
        ClassSet::unnamed(n)?
    };
    let other = match channels - n {
        1 => OtherChannel::Void,
        _ => OtherChannel::Unused,
    };
    let mut table: Vec<_> = (0..n).map(Channel::Class).collect();
    table.resize(channels, Channel::Other(other));
    Ok(ChannelTable {
        classes,
        channels: table,
    })
}

/// The recorded table, if the user does not say otherwise. Classes without names take those that the user gives.
fn agreed(mut table: ChannelTable, asked: Asked) -> Result<ChannelTable> {
    if let Some(classes) = asked.classes {
        if table.classes.name == UNNAMED && table.classes.len() == classes.len() {
            table.classes = classes.clone();
        } else {
            let same = table.classes.ensure_same(classes);
            same.with_context(|| {
                format!(
                    "they say that their classes are {:?}, but --classes says {:?}",
                    table.classes.name, classes.name
                )
            })?;
        }
    }
    let Some(void) = asked.void else {
        return Ok(table);
    };
    let voids: Vec<_> = voids(&table).collect();
    let agrees = match void {
        VoidChannel::None => voids.is_empty(),
        VoidChannel::First => voids.contains(&0),
        VoidChannel::Last => voids.contains(&(table.channels.len() - 1)),
        VoidChannel::At(channel) => voids.contains(&channel),
    };
    let recorded = match voids.first() {
        Some(channel) => format!("channel {channel} is void"),
        None => "no channel is void".to_owned(),
    };
    ensure!(
        agrees,
        "they say that {recorded}, but --void says {}",
        void_text(void)
    );
    Ok(table)
}

fn voids(table: &ChannelTable) -> impl Iterator<Item = usize> {
    let channels = table.channels.iter().enumerate();
    let void = channels.filter(|&(_, &channel)| channel == Channel::Other(OtherChannel::Void));
    void.map(|(position, _)| position)
}

/// A void channel as users write it.
pub(crate) fn void_text(void: VoidChannel) -> String {
    match void {
        VoidChannel::First => "first".to_owned(),
        VoidChannel::Last => "last".to_owned(),
        VoidChannel::None => "none".to_owned(),
        VoidChannel::At(channel) => channel.to_string(),
    }
}

/// The tensor of a head with its output channels, which dimension `dim` counts, in this order.
pub(super) fn reordered(tensor: &Tensor, dim: usize, order: &[usize]) -> Result<Tensor> {
    if order.iter().copied().eq(0..order.len()) {
        return Ok(tensor.clone());
    }
    let order: Vec<u32> = order.iter().map(|&channel| channel as u32).collect();
    let order = Tensor::new(order, &Device::Cpu)?;
    Ok(tensor.index_select(&order, dim)?.contiguous()?)
}
