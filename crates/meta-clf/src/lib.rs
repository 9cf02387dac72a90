//! Meta classification: which segments are false positives
