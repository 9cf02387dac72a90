//! Every convolution kernel on every instruction set of this CPU, compared with the definition in f64.

use proptest::prelude::*;

use super::{
    bf16::{rounded, unit::Unit},
    convolution::{Arithmetic, forward, input_gradient, weight_gradient},
    epilogue::Epilogue,
    isa::Isa,
};
use crate::geometry::{Geometry, output_extent};

/// Pseudorandom numbers in [-1, 1), the same in every run.
fn numbers(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / 2_147_483_648.0 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Sums of products, and of their absolute values, which bound the rounding error.
struct Sums(Vec<(f64, f64)>);

impl Sums {
    fn new(n: usize) -> Self {
        Self(vec![(0.0, 0.0); n])
    }

    fn add(&mut self, at: usize, a: f32, b: f32) {
        let product = a as f64 * b as f64;
        self.0[at].0 += product;
        self.0[at].1 += product.abs();
    }

    #[track_caller]
    fn assert_close(&self, what: &str, got: &[f32], finish: impl Fn(usize, f64) -> f64) {
        assert_eq!(got.len(), self.0.len(), "{what}");
        for (i, (&got, &(sum, size))) in got.iter().zip(&self.0).enumerate() {
            let expected = finish(i, sum);
            assert!(
                (got as f64 - expected).abs() <= 3e-6 * (size + 1.0),
                "{what}: element {i} is {got}, expected {expected}"
            );
        }
    }
}

/// The convolution and both gradients by their definition.
fn by_definition(g: &Geometry, x: &[f32], weight: &[f32], grad: &[f32]) -> [Sums; 3] {
    let mut sums = [
        Sums::new(grad.len()),
        Sums::new(x.len()),
        Sums::new(weight.len()),
    ];
    for image in 0..g.n {
        for channel in 0..g.groups * g.co {
            for (oy, ox) in (0..g.output.0).flat_map(|y| (0..g.output.1).map(move |x| (y, x))) {
                let out = ((image * g.groups * g.co + channel) * g.output.0 + oy) * g.output.1 + ox;
                for i in 0..g.ci {
                    for (ky, kx) in
                        (0..g.kernel.0).flat_map(|y| (0..g.kernel.1).map(move |x| (y, x)))
                    {
                        let (y, x_) = (
                            oy * g.stride.0 + ky * g.dilation.0,
                            ox * g.stride.1 + kx * g.dilation.1,
                        );
                        let (Some(y), Some(x_)) =
                            (y.checked_sub(g.padding.0), x_.checked_sub(g.padding.1))
                        else {
                            continue;
                        };
                        if y >= g.input.0 || x_ >= g.input.1 {
                            continue;
                        }
                        let source = (((image * g.groups + channel / g.co) * g.ci + i) * g.input.0
                            + y)
                            * g.input.1
                            + x_;
                        let w = ((channel * g.ci + i) * g.kernel.0 + ky) * g.kernel.1 + kx;
                        sums[0].add(out, x[source], weight[w]);
                        sums[1].add(source, grad[out], weight[w]);
                        sums[2].add(w, grad[out], x[source]);
                    }
                }
            }
        }
    }
    sums
}

/// Every arithmetic of this CPU: f32, or bf16 on each of its units.
fn arithmetics(is_bf16: bool) -> Vec<Arithmetic> {
    let units: Vec<_> = if is_bf16 {
        Unit::available().into_iter().map(Some).collect()
    } else {
        vec![None]
    };
    let of = |isa| units.iter().map(move |&bf16| Arithmetic { isa, bf16 });
    Isa::available().into_iter().flat_map(of).collect()
}

fn check(g: &Geometry) {
    check_arithmetics(g, false);
    check_arithmetics(g, true);
}

/// With bf16 the factors are numbers that rounding leaves as they are, so that only the sums are rounded differently.
fn check_arithmetics(g: &Geometry, is_bf16: bool) {
    let numbers = |n, seed| {
        let exact = numbers(n, seed);
        if is_bf16 {
            rounded(Isa::Portable, &exact)
        } else {
            exact
        }
    };
    let x = numbers(g.n * g.groups * g.ci * g.input_len(), 1);
    let weight = numbers(g.groups * g.co * g.ci * g.taps(), 2);
    let grad = numbers(g.n * g.groups * g.co * g.output_len(), 3);
    let bias = numbers(g.groups * g.co, 4);
    let input_bias = numbers(g.groups * g.ci, 5);
    let [y, dx, dw] = by_definition(g, &x, &weight, &grad);
    for arithmetic in arithmetics(is_bf16) {
        let name = |what: &str| format!("{what} of {g:?} with {arithmetic:?}");
        y.assert_close(
            &name("output"),
            &forward(arithmetic, g, &x, &weight, Epilogue::default()),
            |_, v| v,
        );
        let epilogue = Epilogue {
            bias: Some(&bias),
            residual: (!g.is_depthwise()).then_some(&grad),
            relu: true,
        };
        let channel = |i: usize| i / g.output_len() % (g.groups * g.co);
        let residual = |i: usize| epilogue.residual.map_or(0.0, |r| r[i] as f64);
        let finish = |i: usize, v: f64| (v + bias[channel(i)] as f64 + residual(i)).max(0.0);
        y.assert_close(
            &name("rectified output"),
            &forward(arithmetic, g, &x, &weight, epilogue),
            finish,
        );
        dx.assert_close(
            &name("input gradient"),
            &input_gradient(arithmetic, g, &grad, &weight, Epilogue::default()),
            |_, v| v,
        );
        let epilogue = Epilogue {
            bias: Some(&input_bias),
            ..Epilogue::default()
        };
        let channel = |i: usize| i / g.input_len() % (g.groups * g.ci);
        let finish = |i: usize, v: f64| v + input_bias[channel(i)] as f64;
        dx.assert_close(
            &name("transposed convolution"),
            &input_gradient(arithmetic, g, &grad, &weight, epilogue),
            finish,
        );
        dw.assert_close(
            &name("weight gradient"),
            &weight_gradient(arithmetic, g, &x, &grad),
            |_, v| v,
        );
    }
}

type Pair = (usize, usize);

#[allow(clippy::too_many_arguments)] // the parameters of a convolution, for the tables below
fn geometry(
    n: usize,
    groups: usize,
    ci: usize,
    co: usize,
    input: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> Option<Geometry> {
    let oh = output_extent(input.0, kernel.0, stride.0, padding.0, dilation.0).ok()?;
    let ow = output_extent(input.1, kernel.1, stride.1, padding.1, dilation.1).ok()?;
    Some(Geometry {
        n,
        groups,
        ci,
        co,
        input,
        output: (oh, ow),
        kernel,
        stride,
        padding,
        dilation,
    })
}

fn geometries() -> impl Strategy<Value = Geometry> {
    let pair = |low: usize, high: usize| (low..=high, low..=high);
    let few = (1..=2usize, 1..=3usize, 1..=7usize, 1..=18usize);
    // enough for tiles of bf16, with some left over
    let many = (1..=2usize, 1..=2usize, 16..=70usize, 16..=40usize);
    let channels = prop_oneof![few, many];
    (
        channels,
        pair(1, 40),
        pair(1, 5),
        pair(1, 4),
        pair(0, 4),
        pair(1, 3),
    )
        .prop_filter_map(
            "the kernel does not fit",
            |((n, groups, ci, co), input, kernel, stride, padding, dilation)| {
                geometry(n, groups, ci, co, input, kernel, stride, padding, dilation)
            },
        )
}

fn depthwise_geometries() -> impl Strategy<Value = Geometry> {
    geometries().prop_map(|g| Geometry {
        groups: g.groups + 1,
        ci: 1,
        co: 1,
        ..g
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_shapes(g in geometries()) {
        check(&g);
    }

    #[test]
    fn random_depthwise_shapes(g in depthwise_geometries()) {
        check(&g);
    }
}

#[test]
fn shapes_beyond_one_tile() {
    let shapes = [
        // more products than one block sums, more rows and pixels than one tile has
        geometry(1, 1, 70, 33, (9, 71), (3, 3), (1, 1), (1, 1), (1, 1)),
        geometry(2, 1, 300, 15, (5, 13), (1, 1), (1, 1), (0, 0), (1, 1)),
        geometry(1, 1, 3, 64, (33, 65), (3, 3), (2, 2), (1, 1), (1, 1)),
        geometry(1, 2, 20, 20, (40, 40), (3, 1), (1, 1), (8, 0), (8, 1)),
        geometry(1, 1, 5, 40, (33, 33), (3, 3), (1, 1), (12, 12), (12, 12)),
        // rows longer than a block of pixels
        geometry(1, 1, 2, 3, (3, 1100), (3, 3), (1, 1), (1, 1), (1, 1)),
        geometry(1, 1, 4, 5, (16, 64), (2, 2), (2, 2), (0, 0), (1, 1)),
        geometry(2, 64, 1, 1, (30, 70), (3, 3), (1, 1), (1, 1), (1, 1)),
        geometry(1, 20, 1, 1, (31, 71), (5, 3), (2, 2), (2, 1), (1, 1)),
        geometry(2, 1, 64, 128, (17, 49), (3, 3), (2, 2), (1, 1), (1, 1)),
        geometry(1, 1, 40, 33, (24, 48), (1, 3), (1, 1), (0, 16), (1, 16)),
    ];
    shapes.into_iter().flatten().for_each(|g| check(&g));
}

/// An output that extends beyond the input, as in a transposed convolution whose output padding exceeds its stride.
#[test]
fn output_larger_than_the_kernel_allows() {
    let g = geometry(1, 2, 3, 4, (7, 9), (3, 3), (1, 1), (1, 1), (2, 2)).unwrap();
    check(&Geometry {
        output: (g.output.0 - 1, g.output.1 - 1),
        ..g
    });
    check(&Geometry {
        output: (g.output.0 + 2, g.output.1 + 1),
        ..g
    });
}

/// Numbers that are not finite reach the results that are made of them, and no others.
#[test]
fn nan_and_infinity_stay() {
    let g = geometry(1, 1, 17, 16, (5, 20), (3, 3), (1, 1), (1, 1), (1, 1)).unwrap();
    let mut x = vec![1.0; g.ci * g.input_len()];
    x[7] = f32::NAN;
    x[30] = f32::INFINITY;
    let weight = vec![1.0; g.co * g.ci * g.taps()];
    for arithmetic in [arithmetics(false), arithmetics(true)].concat() {
        let y = forward(arithmetic, &g, &x, &weight, Epilogue::default());
        for (i, y) in y.iter().enumerate() {
            let (row, column) = (i / 20 % 5, i % 20);
            let reads = |r: usize, c: usize| row.abs_diff(r) <= 1 && column.abs_diff(c) <= 1;
            assert_eq!(y.is_nan(), reads(0, 7), "{arithmetic:?}: {row}, {column}");
            assert_eq!(
                y.is_infinite(),
                reads(1, 10),
                "{arithmetic:?}: {row}, {column}"
            );
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let g = geometry(2, 1, 40, 30, (33, 47), (3, 3), (2, 1), (1, 1), (1, 1)).unwrap();
    let depthwise = Geometry {
        groups: 40,
        ci: 1,
        co: 1,
        ..g
    };
    for g in [g, depthwise] {
        let x = numbers(g.n * g.groups * g.ci * g.input_len(), 1);
        let weight = numbers(g.groups * g.co * g.ci * g.taps(), 2);
        let grad = numbers(g.n * g.groups * g.co * g.output_len(), 3);
        for arithmetic in [arithmetics(false), arithmetics(true)].concat() {
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                pool.install(|| {
                    let epilogue = Epilogue::default();
                    (
                        forward(arithmetic, &g, &x, &weight, epilogue),
                        input_gradient(arithmetic, &g, &grad, &weight, epilogue),
                        weight_gradient(arithmetic, &g, &x, &grad),
                    )
                })
            };
            let one = run(1);
            assert!(
                run(2) == one && run(3) == one,
                "{arithmetic:?} depends on the number of threads"
            );
        }
    }
}
