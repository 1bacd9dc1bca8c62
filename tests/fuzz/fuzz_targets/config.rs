//! See `mirrorvip::fuzzing::config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mirrorvip::fuzzing::config(bytes));
