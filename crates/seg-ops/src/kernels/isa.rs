//! The instruction set that the kernels use. It is detected at run time, once, and never assumed.

use std::sync::OnceLock;

use candle_core::Result;

use super::choice;

/// The environment variable that forces an instruction set: `avx512`, `avx2` or `portable`.
const OVERRIDE: &str = "OODSEG_KERNEL";

/// An instruction set that this CPU has. Values come from [`Isa::available`] and [`Isa::selected`] only, so a value is the proof that its
/// instructions can be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// AVX-512 F, BW, DQ, VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// The instructions that every CPU of the compiler's target has: SSE2 on x86-64, NEON on ARM.
    Portable,
}

impl Isa {
    /// The instruction sets of this CPU, fastest first.
    pub(crate) fn available() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx2 && avx512 {
                all.push(Self::Avx512);
            }
            if avx2 {
                all.push(Self::Avx2);
            }
        }
        all.push(Self::Portable);
        all
    }

    /// The fastest instruction set of this CPU, or the one that `OODSEG_KERNEL` names. The first call decides for the whole process.
    ///
    /// # Errors
    /// Returns an error if `OODSEG_KERNEL` names an unknown set or one that this CPU does not have.
    pub(crate) fn selected() -> Result<Self> {
        static SELECTED: OnceLock<std::result::Result<Isa, String>> = OnceLock::new();
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
            "is not an instruction set of this CPU",
        )
    }

    /// Its name in `OODSEG_KERNEL`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }

    /// Computes `kernel` with this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            // SAFETY: a value `Avx512` exists only after `available` has found these features in the CPU.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { with_avx512(kernel) },
            // SAFETY: as above, for AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { with_avx2(kernel) },
            Self::Portable => kernel.compute(),
        }
    }
}

/// A function with its arguments that is compiled once for each instruction set.
///
/// `compute` must be `#[inline(always)]`, and so must everything that it calls in its loops: code that is not inlined is compiled for all CPUs,
/// without the instructions of the set. A closure cannot replace this trait, because nothing forces the compiler to inline it.
pub(crate) trait Kernel {
    type Output;
    fn compute(self) -> Self::Output;
}

/// Declares a [`Kernel`] in the form of a function: name, lifetimes, arguments, result and body.
macro_rules! kernel {
    ($(#[$doc:meta])* $visible:vis $name:ident<$($life:lifetime),+> { $($field:ident: $type:ty),* $(,)? } -> $output:ty $body:block) => {
        $(#[$doc])*
        $visible struct $name<$($life),+> {
            $($visible $field: $type),*
        }

        impl<$($life),+> $crate::kernels::isa::Kernel for $name<$($life),+> {
            type Output = $output;

            #[inline(always)]
            fn compute(self) -> $output {
                let Self { $($field),* } = self;
                $body
            }
        }
    };
}
pub(crate) use kernel;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) fn with_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.compute()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) fn with_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.compute()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_available_set_can_be_forced_and_nothing_else() {
        for isa in Isa::available() {
            assert_eq!(Isa::choose(Some(isa.name())), Ok(isa));
        }
        assert_eq!(Isa::choose(None), Ok(Isa::available()[0]));
        assert_eq!(Isa::choose(Some("")), Ok(Isa::available()[0]));
        let message = Isa::choose(Some("mmx")).unwrap_err();
        assert!(
            message.contains("OODSEG_KERNEL=mmx") && message.contains("portable"),
            "{message}"
        );
    }
}
