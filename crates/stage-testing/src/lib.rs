//! What the tests of several stages share. Only tests depend on this crate.
//!
//! [`command`] runs executables and looks at their errors, [`folder`] compares what they wrote, [`toy`] makes small inputs,
//! [`data`] finds the goldens and the real data, [`npy`] reads arrays that Python wrote.

pub mod command;
pub mod data;
pub mod folder;
pub mod npy;
pub mod toy;
