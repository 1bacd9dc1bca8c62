//! Reading CBOR (RFC 8949), as much of it as boto3 sends for `PutMetricData`. PURE.
//!
//! Numbers, text, lists, maps, tags (skipped) and simple values, of definite or indefinite length; no bytes.

use serde_json::{Map, Number, Value};

/// Deepest nesting that is followed.
const DEEPEST: usize = 16;

/// The value in `bytes`; `None` if it is malformed or of a kind that is not read.
pub(super) fn read(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader { bytes };
    let value = reader.value(0)?;
    reader.bytes.is_empty().then_some(value)
}

/// An error as Smithy's RPC v2 CBOR protocol has it: a map of `__type` and `message`.
pub(super) fn error(code: &str, message: &str) -> Vec<u8> {
    let mut bytes = vec![0xa2];
    for text in ["__type", code, "message", message] {
        bytes.push(0x7a);
        bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// The map without entries.
pub(super) const EMPTY: &[u8] = &[0xa0];

struct Reader<'a> {
    bytes: &'a [u8],
}

/// How many items of a list or map follow.
enum Items {
    Left(u64),
    UpToTheBreak,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 0x1f);
        match (major, info) {
            (0, _) => Some(self.argument(info)?.into()),
            (1, _) => Some((-1 - i64::try_from(self.argument(info)?).ok()?).into()),
            (3, _) => self.text(info).map(Value::String),
            (4, _) => self.list(info, depth),
            (5, _) => self.map(info, depth),
            (6, _) => {
                self.argument(info)?;
                self.value(depth + 1)
            }
            (7, 20 | 21) => Some(Value::Bool(info == 21)),
            (7, 22 | 23) => Some(Value::Null),
            (7, 26) => number(f32::from_be_bytes(self.take(4)?.try_into().ok()?).into()),
            (7, 27) => number(f64::from_be_bytes(self.take(8)?.try_into().ok()?)),
            _ => None,
        }
    }

    fn text(&mut self, info: u8) -> Option<String> {
        if info != 31 {
            let length = usize::try_from(self.argument(info)?).ok()?;
            return String::from_utf8(self.take(length)?.to_vec()).ok();
        }
        let mut text = String::new();
        while !self.at_break() {
            let first = self.take(1)?[0];
            let length = (first >> 5 == 3).then(|| self.argument(first & 0x1f))??;
            text.push_str(std::str::from_utf8(self.take(usize::try_from(length).ok()?)?).ok()?);
        }
        Some(text)
    }

    fn list(&mut self, info: u8, depth: usize) -> Option<Value> {
        let mut left = self.items(info)?;
        let mut list = Vec::new();
        while self.more(&mut left) {
            list.push(self.value(depth + 1)?);
        }
        Some(Value::Array(list))
    }

    fn map(&mut self, info: u8, depth: usize) -> Option<Value> {
        let mut left = self.items(info)?;
        let mut map = Map::new();
        while self.more(&mut left) {
            let Value::String(key) = self.value(depth + 1)? else {
                return None;
            };
            map.insert(key, self.value(depth + 1)?);
        }
        Some(Value::Object(map))
    }

    fn items(&mut self, info: u8) -> Option<Items> {
        if info == 31 { Some(Items::UpToTheBreak) } else { self.argument(info).map(Items::Left) }
    }

    fn more(&mut self, items: &mut Items) -> bool {
        match items {
            Items::Left(0) => false,
            Items::Left(left) => {
                *left -= 1;
                true
            }
            Items::UpToTheBreak => !self.at_break(),
        }
    }

    fn at_break(&mut self) -> bool {
        match self.bytes.split_first() {
            Some((0xff, rest)) => {
                self.bytes = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    fn argument(&mut self, info: u8) -> Option<u64> {
        let length = match info {
            0..=23 => return Some(info.into()),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return None,
        };
        Some(self.take(length)?.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }
}

fn number(value: f64) -> Option<Value> {
    Number::from_f64(value).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_the_examples_of_the_rfc() {
        let cases: [(&[u8], Value); 9] = [
            (&[0x18, 0x64], json!(100)),
            (&[0x38, 0x63], json!(-100)),
            (&[0xfb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a], json!(1.1)),
            (&[0xf5], json!(true)),
            (&[0x64, b'I', b'E', b'T', b'F'], json!("IETF")),
            (&[0x83, 1, 2, 3], json!([1, 2, 3])),
            (&[0xa2, 0x61, b'a', 1, 0x61, b'b', 0x82, 2, 3], json!({"a": 1, "b": [2, 3]})),
            (&[0x9f, 1, 0x7f, 0x61, b'x', 0x61, b'y', 0xff, 0xff], json!([1, "xy"])),
            (&[0xc1, 0x1a, 0x51, 0x4b, 0x67, 0xb0], json!(1_363_896_240)),
        ];
        for (bytes, value) in cases {
            assert_eq!(read(bytes), Some(value), "{bytes:x?}");
        }
    }

    #[test]
    fn errors_can_be_read_back() {
        assert_eq!(
            read(&error("Throttling", "slow")),
            Some(json!({"__type": "Throttling", "message": "slow"}))
        );
        assert_eq!(read(EMPTY), Some(json!({})));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(value) = read(&bytes) {
                prop_assert!(!value.to_string().is_empty());
            }
        }
    }
}
