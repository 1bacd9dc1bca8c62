//! From parsed TOML to what steers one mirror: the tables that providers declare, and the other members.

use super::super::cloud_value as cloud;
use super::super::diagnostic::{Problem, Reported};
use super::super::rules::{self, ObjectClaims};
use super::super::section::{Located, Section, all};
use super::super::steering::Peer;
use super::super::{HttpTarget, Tables, value};

/// All targets of one mirror, kind by kind.
pub(super) fn targets<T: Tables>(
    mirror: &Section<'_>,
    objects: &mut ObjectClaims<'_>,
) -> Result<Vec<T>, Reported> {
    let kinds = T::kinds().iter().map(|kind| {
        let sections = mirror.tables(kind.section)?;
        all(sections.iter().map(|section| (kind.read)(section, objects)))
    });
    let targets = all(kinds)?;
    Ok(targets.into_iter().flatten().collect())
}

/// The other members.
pub(super) fn peers(mirror: &Section<'_>) -> Result<Vec<Peer>, Reported> {
    let sections = mirror.tables("mirror.peer")?;
    let mut seen: Vec<Located<String>> = Vec::new();
    all(sections.iter().map(|section| {
        let address = section.required("address", cloud::peer_address);
        let page = section.required("page", value::url);
        let ca_file = section.optional("ca_file", value::absolute_path);
        let member = section.optional("member", cloud::peer_member);
        if let Ok(address) = &address {
            if let Some(first) = seen.iter().find(|before| before.value == address.value) {
                let message = format!("two peers have the address {}", address.value);
                section.report(
                    Problem::new(address.span.clone(), message)
                        .related(first.span.clone(), "first here")
                        .with_help("Write one [[mirror.peer]] for each other member."),
                );
            }
            seen.push(address.clone());
        }
        let (page, ca_file) = (page?, ca_file?);
        rules::check_ca_file(section, &page, ca_file.as_ref());
        let page = HttpTarget { url: page.value, ca_file: ca_file.map(|file| file.value) };
        Ok(Peer { address: address?.value, page, member: member?.map(|member| member.value) })
    }))
}
