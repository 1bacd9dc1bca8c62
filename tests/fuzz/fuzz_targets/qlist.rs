//! See `mirrorvip::fuzzing::qlist`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mirrorvip::fuzzing::qlist(bytes));
