//! `mirrorvip demo`: the simulated mirror of [`demo`](crate::demo) on the terminal.
