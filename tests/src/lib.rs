//! Tests over all stages live in `tests/`.
