//! Segments with the metrics of their context, and segments without.

use anyhow::Result;
use artifacts::basis::Basis;
use artifacts::tables::features::features_of;

use crate::run::{Scratch, apply, apply_fails, fit, fit_fails};
use crate::toy::Table;

#[test]
fn models_use_the_context_where_it_was_measured() -> Result<()> {
    let scratch = Scratch::new()?;
    let basis = Basis::logits(19);
    let with = Table::of_basis(basis.with_context(), None, 60, |i| i % 3 == 0);
    let without = Table::of_basis(basis, None, 60, |i| i % 3 == 0);
    let (with, without) = (
        scratch.write("with", &with)?,
        scratch.write("without", &without)?,
    );
    for (segments, basis) in [(&with, basis.with_context()), (&without, basis)] {
        fit(segments, &scratch.path("fitted"), &["--force"])?;
        let names = features_of(basis).into_iter().map(|f| f.name);
        assert!(names.eq(scratch.model("fitted")?.features));
        let model = scratch.path("fitted/model.json");
        apply(&model, segments, &scratch.path("applied"), &["--force"])?;
        let (other, words) = if basis.has_context {
            (
                &without,
                "which these lack: run `segment-metrics --context`",
            )
        } else {
            (&with, "run `segment-metrics` without --context, or fit")
        };
        apply_fails(&model, other, &scratch.path("out"), &[words])?;
    }
    let words = ["cannot be joined", "only those in", "with have the metrics"];
    fit_fails(
        &format!("{without},{with}"),
        &scratch.path("out"),
        &[],
        &words,
    )
}
