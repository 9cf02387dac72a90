//! What multiplies bf16 numbers. It is detected at run time, once, and never assumed.

use std::sync::OnceLock;

use candle_core::Result;

use crate::kernels::choice;

/// The environment variable that forces a unit: `amx` or `f32`.
const OVERRIDE: &str = "OODSEG_BF16_KERNEL";

/// What multiplies. Values come from [`Unit::available`] and [`Unit::selected`] only, so a value is the proof that this process can use
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// The tile registers of AMX: 16 x 16 sums of 32 products in one instruction.
    #[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
    Amx,
    /// The kernels for f32, on rounded factors: what every CPU has.
    Vectors,
}

impl Unit {
    /// The units of this CPU, fastest first.
    pub(crate) fn available() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
        if super::amx::is_usable() {
            all.push(Self::Amx);
        }
        all.push(Self::Vectors);
        all
    }

    /// The fastest unit of this CPU, or the one that `OODSEG_BF16_KERNEL` names. The first call decides for the whole process.
    ///
    /// # Errors
    /// Returns an error if `OODSEG_BF16_KERNEL` names an unknown unit or one that this CPU does not have.
    pub(crate) fn selected() -> Result<Self> {
        static SELECTED: OnceLock<std::result::Result<Unit, String>> = OnceLock::new();
        SELECTED
            .get_or_init(|| Self::choose(std::env::var(OVERRIDE).ok().as_deref()))
            .clone()
            .map_err(candle_core::Error::msg)
    }

    fn choose(wanted: Option<&str>) -> std::result::Result<Self, String> {
        choice::choose(
            OVERRIDE,
            wanted,
            &Self::available(),
            Self::name,
            "is nothing that multiplies bf16 on this CPU",
        )
    }

    /// Its name in `OODSEG_BF16_KERNEL`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
            Self::Amx => "amx",
            Self::Vectors => "f32",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_available_unit_can_be_forced_and_nothing_else() {
        for unit in Unit::available() {
            assert_eq!(Unit::choose(Some(unit.name())), Ok(unit));
        }
        assert_eq!(Unit::choose(None), Ok(Unit::available()[0]));
        let message = Unit::choose(Some("abacus")).unwrap_err();
        assert!(
            message.contains("OODSEG_BF16_KERNEL=abacus") && message.contains("f32"),
            "{message}"
        );
    }
}
