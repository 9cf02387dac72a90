//! Data set folders become masks and an index; checks and the demo data set
