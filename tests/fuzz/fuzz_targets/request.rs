//! See `mirrorvip::fuzzing::request`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mirrorvip::fuzzing::request(bytes));
