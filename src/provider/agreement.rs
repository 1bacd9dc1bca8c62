//! What all members of a mirror must agree on, as a short digest: comparing one word finds a member whose configuration
//! differs. PURE.
//!
//! It covers the mirror's name, its quality of service timeout, and the steered cloud objects with how they are steered.
//! A member's own settings (addresses, its name, metrics, labels, hooks) are left out.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest as sha256};

use crate::provider::Mirror;
use crate::random::hexadecimal;

/// Bytes of the SHA-256 that are kept: enough to notice an accidental difference.
const LENGTH: usize = 8;

pub(crate) fn digest(mirror: &Mirror) -> String {
    let mut objects: Vec<String> =
        mirror.targets.iter().filter_map(|table| table.kind().agreement()).collect();
    objects.sort_unstable();
    let mut text = format!("{}\nqos_timeout {}\n", mirror.name, mirror.qos_timeout.as_millis());
    for object in objects {
        writeln!(text, "{object}").expect("writing to a string cannot fail");
    }
    hexadecimal(&sha256(&SHA256, text.as_bytes()).as_ref()[..LENGTH])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::check::testing::config;

    fn of(tables: &str) -> String {
        digest(&config("", tables).mirrors[0])
    }

    #[test]
    fn what_is_a_members_own_business_does_not_count() {
        let plain = of("");
        assert_eq!(plain.len(), 2 * LENGTH);
        assert_eq!(plain, of("member = \"db1\"\ninterval = \"500ms\""));
        assert_ne!(plain, of("qos_timeout = \"9s\""));
        let route = |target: &str, tables: &str| {
            of(&format!(
                "[[mirror.route]]\nroute_tables = [{tables}]\ndestination = \"192.0.2.10/32\"\ntarget = \"{target}\"\n"
            ))
        };
        let one = route("eni-0123456789abcdef0", "\"rtb-0123456789abcdef0\", \"rtb-0123456789abcdef1\"");
        assert_eq!(
            one,
            route("eni-0123456789abcdef1", "\"rtb-0123456789abcdef1\", \"rtb-0123456789abcdef0\"")
        );
        assert_ne!(one, route("eni-0123456789abcdef0", "\"rtb-0123456789abcdef0\""));
        assert_ne!(one, plain);
    }
}
