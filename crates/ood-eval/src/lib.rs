//! Evaluation of runs and the report
