//! One vector type of f32 per instruction set, so that every micro-kernel is written only once, generically.
//!
//! A kernel that is generic over [`Vector`] becomes one function per instruction set if everything that it calls is inlined into
//! [`Vector::run`], the function that is compiled for the set. [`with_vector`] goes from an [`Isa`](super::isa::Isa), which is known at run
//! time, to the vector type, which is known at compile time.

use super::isa::Kernel;

/// Evaluates an expression in which the name `V` stands for the vector type of an instruction set.
///
/// A value of [`Isa`](super::isa::Isa) proves that the CPU has the instructions of that type, which is what unsafe functions that are generic
/// over [`Vector`] demand of their caller.
macro_rules! with_vector {
    ($isa:expr, $vector:ident => $body:expr) => {
        match $isa {
            #[cfg(target_arch = "x86_64")]
            $crate::kernels::isa::Isa::Avx512 => {
                type $vector = $crate::kernels::vector::Zmm;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::kernels::isa::Isa::Avx2 => {
                type $vector = $crate::kernels::vector::Ymm;
                $body
            }
            $crate::kernels::isa::Isa::Portable => {
                type $vector = $crate::kernels::vector::Quad;
                $body
            }
        }
    };
}
pub(crate) use with_vector;

/// A SIMD register of f32.
///
/// # Safety
/// Every method may use the instructions of its set. Call methods only on a CPU that has the set, and inlined into a function that is
/// compiled for it (see [`Vector::run`]). Pointers must be valid for the lanes named; they need no alignment.
pub(crate) trait Vector: Copy {
    /// Number of lanes: f32 values in a register.
    const LANES: usize;
    /// Most rows of a tile of [`multiply`](super::micro::multiply), which is two vectors wide, whose sums fit into registers.
    const ROWS: usize;
    /// Most output channels of a tile of [`correlate`](super::micro::correlate) whose sums fit into registers.
    const OUTPUTS: usize;
    /// Most input channels of such a tile.
    const INPUTS: usize;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// Loads the first `n` lanes, 0 elsewhere; any `n`.
    unsafe fn load_head(from: *const f32, n: usize) -> Self;
    /// Stores the first `n` lanes; any `n`.
    unsafe fn store_head(self, to: *mut f32, n: usize);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn multiply(self, other: Self) -> Self;
    /// The larger lane of each pair; that of `other` if either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// The number whose bits are those of each lane, moved up by 23: the low 8 bits become the exponent, and the rest is lost.
    unsafe fn exponent_from_low_bits(self) -> Self;
    /// `self + a * b`.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// The larger of each lane and 0; NaN stays.
    unsafe fn relu(self) -> Self;
    /// Computes a kernel within a function that is compiled for this instruction set.
    unsafe fn run<K: Kernel>(kernel: K) -> K::Output;
    /// The sum of the lanes, in a fixed order: the two halves are added until one lane is left.
    unsafe fn sum(self) -> f32;
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[allow(clippy::wildcard_imports)]
    // twenty intrinsics, whose names say where they come from
    use std::arch::x86_64::*;

    use super::{
        super::isa::{Kernel, with_avx2, with_avx512},
        Vector,
    };

    /// 16 lanes, AVX-512.
    #[derive(Clone, Copy)]
    pub(crate) struct Zmm(__m512);

    /// 8 lanes, AVX2 and FMA.
    #[derive(Clone, Copy)]
    pub(crate) struct Ymm(__m256);

    /// The mask of the first `n` of 16 lanes.
    #[inline(always)]
    fn head16(n: usize) -> u16 {
        if n >= 16 { u16::MAX } else { (1 << n) - 1 }
    }

    // SAFETY of the blocks below: the trait's contract (the CPU has the instructions, the pointers are valid for the lanes used).
    impl Vector for Zmm {
        const LANES: usize = 16;
        const ROWS: usize = 14;
        const OUTPUTS: usize = 6;
        const INPUTS: usize = 4;

        #[inline(always)]
        unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
            unsafe { with_avx512(kernel) }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            unsafe { Self(_mm512_set1_ps(value)) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { Self(_mm512_loadu_ps(from)) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn load_head(from: *const f32, n: usize) -> Self {
            unsafe { Self(_mm512_maskz_loadu_ps(head16(n), from)) }
        }
        #[inline(always)]
        unsafe fn store_head(self, to: *mut f32, n: usize) {
            unsafe { _mm512_mask_storeu_ps(to, head16(n), self.0) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            unsafe { Self(_mm512_add_ps(self.0, other.0)) }
        }
        #[inline(always)]
        unsafe fn multiply(self, other: Self) -> Self {
            unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            unsafe { Self(_mm512_max_ps(self.0, other.0)) }
        }
        #[inline(always)]
        unsafe fn exponent_from_low_bits(self) -> Self {
            unsafe {
                let bits = _mm512_castps_si512(self.0);
                Self(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(bits)))
            }
        }
        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            unsafe { Self(_mm512_fmadd_ps(a.0, b.0, self.0)) }
        }
        #[inline(always)]
        unsafe fn relu(self) -> Self {
            // of two operands the instruction gives the second when either is NaN
            unsafe { Self(_mm512_max_ps(_mm512_setzero_ps(), self.0)) }
        }
        #[inline(always)]
        unsafe fn sum(self) -> f32 {
            unsafe {
                let high = _mm512_extractf32x8_ps::<1>(self.0);
                Ymm(_mm256_add_ps(_mm512_castps512_ps256(self.0), high)).sum()
            }
        }
    }

    /// Masks for the first `n` of 8 lanes start at 8 - n.
    static HEAD8: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

    #[inline(always)]
    unsafe fn head8(n: usize) -> __m256i {
        // SAFETY: the offset is 0..=8 and 8 numbers follow it.
        unsafe { _mm256_loadu_si256(HEAD8.as_ptr().add(8 - n.min(8)).cast()) }
    }

    impl Vector for Ymm {
        const LANES: usize = 8;
        const ROWS: usize = 6;
        const OUTPUTS: usize = 3;
        const INPUTS: usize = 3;

        #[inline(always)]
        unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
            unsafe { with_avx2(kernel) }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            unsafe { Self(_mm256_set1_ps(value)) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { Self(_mm256_loadu_ps(from)) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm256_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn load_head(from: *const f32, n: usize) -> Self {
            unsafe { Self(_mm256_maskload_ps(from, head8(n))) }
        }
        #[inline(always)]
        unsafe fn store_head(self, to: *mut f32, n: usize) {
            unsafe { _mm256_maskstore_ps(to, head8(n), self.0) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            unsafe { Self(_mm256_add_ps(self.0, other.0)) }
        }
        #[inline(always)]
        unsafe fn multiply(self, other: Self) -> Self {
            unsafe { Self(_mm256_mul_ps(self.0, other.0)) }
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            unsafe { Self(_mm256_max_ps(self.0, other.0)) }
        }
        #[inline(always)]
        unsafe fn exponent_from_low_bits(self) -> Self {
            unsafe {
                let bits = _mm256_castps_si256(self.0);
                Self(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(bits)))
            }
        }
        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            unsafe { Self(_mm256_fmadd_ps(a.0, b.0, self.0)) }
        }
        #[inline(always)]
        unsafe fn relu(self) -> Self {
            unsafe { Self(_mm256_max_ps(_mm256_setzero_ps(), self.0)) }
        }
        #[inline(always)]
        unsafe fn sum(self) -> f32 {
            unsafe {
                let high = _mm256_extractf128_ps::<1>(self.0);
                let four = _mm_add_ps(_mm256_castps256_ps128(self.0), high);
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
            }
        }
    }
}
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Ymm, Zmm};

/// 4 lanes in plain Rust, which the compiler translates to the target's own vectors.
#[derive(Clone, Copy)]
pub(crate) struct Quad([f32; 4]);

// SAFETY of the blocks below: the trait's contract (the pointers are valid for the lanes used).
impl Vector for Quad {
    const LANES: usize = 4;
    const ROWS: usize = 6;
    const OUTPUTS: usize = 3;
    const INPUTS: usize = 3;

    #[inline(always)]
    unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
        kernel.compute()
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { Self(from.cast::<[f32; 4]>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_head(from: *const f32, n: usize) -> Self {
        let mut lanes = [0f32; 4];
        for (i, lane) in lanes.iter_mut().enumerate().take(n) {
            *lane = unsafe { *from.add(i) };
        }
        Self(lanes)
    }
    #[inline(always)]
    unsafe fn store_head(self, to: *mut f32, n: usize) {
        for (i, lane) in self.0.iter().enumerate().take(n) {
            unsafe { *to.add(i) = *lane };
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
    #[inline(always)]
    unsafe fn multiply(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| larger(self.0[i], other.0[i])))
    }
    #[inline(always)]
    unsafe fn exponent_from_low_bits(self) -> Self {
        Self(self.0.map(|v| f32::from_bits(v.to_bits() << 23)))
    }
    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|i| fused(self.0[i], a.0[i], b.0[i])))
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        Self(self.0.map(|v| if v < 0.0 { 0.0 } else { v }))
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let [a, b, c, d] = self.0;
        (a + c) + (b + d)
    }
}

/// `a` if it is larger than `b`, otherwise `b`, also if either is NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// `sum + a * b`. It is fused only where the target has an instruction for it, because elsewhere `mul_add` is a slow function call.
#[inline(always)]
fn fused(sum: f32, a: f32, b: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        a.mul_add(b, sum)
    } else {
        sum + a * b
    }
}
