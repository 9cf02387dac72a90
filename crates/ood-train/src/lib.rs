//! Training with the entropy maximisation objective
