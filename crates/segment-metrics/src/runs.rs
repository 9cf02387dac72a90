//! Runs: the stretches of a row that belong to something, found fast where most of the row does not.

use std::ops::Range;

/// All runs of values other than zero or `false`, from left to right.
pub(crate) fn runs<T: Default + PartialEq>(row: &[T]) -> impl Iterator<Item = Range<usize>> {
    std::iter::successors(next_run(row, 0), |run| next_run(row, run.end))
}

/// The next run of values other than zero or `false` from column `from` on.
pub(crate) fn next_run<T: Default + PartialEq>(row: &[T], from: usize) -> Option<Range<usize>> {
    let outside = T::default();
    let start = from + first_other(&row[from..], &outside)?;
    let length = row[start..].iter().position(|value| *value == outside);
    Some(start..length.map_or(row.len(), |n| start + n))
}

/// Index of the first value other than `usual`. Long stretches of it are skipped by vector instructions, which a search for the
/// first difference alone would not use.
fn first_other<T: PartialEq>(values: &[T], usual: &T) -> Option<usize> {
    const STRETCH: usize = 64;
    let is_usual = |stretch: &&[T]| stretch.iter().map(|v| u32::from(v != usual)).sum::<u32>() == 0;
    let from = STRETCH * values.chunks_exact(STRETCH).take_while(is_usual).count();
    let other = values[from..].iter().position(|value| value != usual)?;
    Some(from + other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_wherever_they_are() {
        for start in 0..200 {
            for n in [1, 2, 63, 64, 65, 128] {
                let is_member = |i: &usize| (start..start + n).contains(i) || *i == 400;
                let row: Vec<u32> = (0..420).map(|i| u32::from(is_member(&i))).collect();
                let expected = [start..start + n, 400..401];
                assert!(runs(&row).eq(expected), "{n} from {start}");
            }
        }
        assert_eq!(runs(&[false; 99]).count(), 0);
        assert!(runs(&[true; 99]).eq(std::iter::once(0..99)));
    }
}
