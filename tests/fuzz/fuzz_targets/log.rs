//! See `mirrorvip::fuzzing::log`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mirrorvip::fuzzing::log(bytes));
