//! The choice of vector instructions at run time.

/// Compiles a function for several vector instruction sets; a call takes the widest that the processor has.
///
/// Everything that the function calls in its loops must be `#[inline(always)]`, or it stays outside of the vectorized code.
/// The calling crate needs `multiversion` among its dependencies.
#[macro_export]
macro_rules! vectorized {
    ($($function:tt)*) => {
        #[multiversion::multiversion(targets(
            "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+bmi1+bmi2+fma",
            "x86_64+avx2+bmi1+bmi2+fma"
        ))]
        $($function)*
    };
}
