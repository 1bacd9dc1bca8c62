//! See `mirrorvip::fuzzing::metrics`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mirrorvip::fuzzing::metrics(bytes));
