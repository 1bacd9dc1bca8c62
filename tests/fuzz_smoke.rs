//! The fuzz targets for a short time and under any compiler: real samples, and what becomes of them when they
//! are cut, spliced and damaged.

use std::fs;
use std::path::{Path, PathBuf};

use mirrorvip::fuzzing;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Words that a mutation inserts: they lead deeper into a parser than noise does.
const WORDS: [&[u8]; 26] = [
    b"^",
    b"^^^^^^^^^^^",
    b"\n",
    b"\r\n\r\n",
    b"IRIS^",
    b"Primary",
    b"primary",
    b"Failover",
    b"running,",
    b"In Trouble",
    b"iris_mirror_status",
    b"iris_mirror_member_type 3\n",
    b" 2\n",
    b"{",
    b"}",
    b"\"",
    b"\\",
    b"PROXY ",
    b"\r\n\r\n\0\r\nQUIT\n",
    b"GET /csp/mirror_status.cxw HTTP/1.1\r\n",
    b" HTTP/1.0",
    b"mirror",
    b"[[mirror]]\n",
    b"[mirror.probe.file]\npath = \"/a\"\n",
    b"\xff\xfe",
    "\u{202e}é".as_bytes(),
];

/// One change. Places are shares of the length, in 1/65536, so that they exist in any sample.
#[derive(Clone, Debug)]
enum Change {
    Cut(u16),
    Drop(u16, u16),
    Flip(u16, u8),
    Insert(u16, usize),
    Repeat(u16, u16),
    Splice(u16, usize),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        any::<u16>().prop_map(Change::Cut),
        any::<(u16, u16)>().prop_map(|(from, to)| Change::Drop(from, to)),
        any::<(u16, u8)>().prop_map(|(at, bits)| Change::Flip(at, bits)),
        (any::<u16>(), 0..WORDS.len()).prop_map(|(at, word)| Change::Insert(at, word)),
        any::<(u16, u16)>().prop_map(|(from, to)| Change::Repeat(from, to)),
        (any::<u16>(), any::<usize>()).prop_map(|(at, seed)| Change::Splice(at, seed)),
    ];
    vec(change, 0..6)
}

fn change(bytes: &mut Vec<u8>, change: &Change, seeds: &[Vec<u8>]) {
    let length = bytes.len();
    let place = |share: u16| length * usize::from(share) / 65_536;
    let range = |from: u16, to: u16| place(from.min(to))..place(from.max(to));
    match *change {
        Change::Cut(at) => bytes.truncate(place(at)),
        Change::Drop(from, to) => drop(bytes.drain(range(from, to))),
        Change::Flip(at, bits) => bytes.iter_mut().skip(place(at)).take(1).for_each(|byte| *byte ^= bits),
        Change::Insert(at, word) => drop(bytes.splice(place(at)..place(at), WORDS[word].iter().copied())),
        Change::Repeat(from, to) => bytes.extend_from_within(range(from, to)),
        Change::Splice(at, seed) => {
            let other = &seeds[seed % seeds.len()];
            let from = other.len() * usize::from(at) / 65_536;
            bytes.truncate(place(at));
            bytes.extend_from_slice(&other[from..]);
        }
    }
}

/// How many inputs each target gets: a few, or as many as `PROPTEST_CASES` says.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_500)
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is part of the source");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.sort();
    files
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut found = files(&folder("fuzz/seeds").join(target));
    if target == "config" {
        found.extend(
            files(&folder("config")).into_iter().filter(|path| path.extension() == Some("toml".as_ref())),
        );
    }
    assert!(!found.is_empty(), "{target} has no seeds");
    found.iter().map(|path| fs::read(path).expect("seeds are readable")).collect()
}

/// Every target of the library, a short time each.
#[test]
fn nothing_breaks_an_invariant() {
    for (name, target) in fuzzing::TARGETS {
        let seeds = seeds(name);
        for seed in &seeds {
            target(seed);
        }
        let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
        let input = prop_oneof![
            8 => (0..seeds.len(), changes()).prop_map(|(seed, changes)| {
                let mut bytes = seeds[seed].clone();
                for one in &changes {
                    change(&mut bytes, one, &seeds);
                }
                bytes
            }),
            1 => vec(any::<u8>(), 0..200),
        ];
        let outcome = TestRunner::new(config).run(&input, |bytes| {
            target(&bytes);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// The list of the library, the folder of cargo-fuzz and its manifest are three places; they agree.
#[test]
fn every_target_is_known_everywhere() {
    let names: Vec<_> = fuzzing::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let stems = |name: &str| -> Vec<_> {
        files(&folder(name))
            .iter()
            .map(|path| path.file_stem().expect("named").to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(stems("fuzz/fuzz_targets"), names);
    assert_eq!(stems("fuzz/seeds"), names);
    let manifest = fs::read_to_string(folder("fuzz/Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
}
