//! Rules between two values, or two steering tables.
//!
//! A configuration that broke one of these would let two loops of one daemon compete for an object, empty another owner's
//! pool, or send a request that the cloud can only refuse.

use super::super::Tables;
use super::super::diagnostic::{Problem, Problems, Span};
use super::super::section::{Located, Section};
use super::super::steering::Peer;

/// The claims of tables on cloud objects, each with its place in the text: two tables must not steer one object.
pub(crate) struct ObjectClaims<'a> {
    problems: &'a Problems,
    /// Number of the mirror whose tables are being read.
    mirror: usize,
    pools: Vec<PoolClaim>,
    sole: Vec<(String, Option<Span>)>,
}

/// The targets that a table's mirror may deregister.
pub(crate) struct Owned<'a> {
    pub(crate) key: &'static str,
    pub(crate) targets: &'a Located<Vec<String>>,
}

struct PoolClaim {
    mirror: usize,
    pool: Located<String>,
    port: Option<u32>,
    owned: Vec<String>,
}

// === impl ObjectClaims ===

impl<'a> ObjectClaims<'a> {
    pub(in crate::config) fn new(problems: &'a Problems) -> Self {
        Self { problems, mirror: 0, pools: Vec::new(), sole: Vec::new() }
    }

    /// The next tables are those of another mirror.
    pub(crate) fn next_mirror(&mut self) {
        self.mirror += 1;
    }

    /// Which mirror's tables are being read, by its number.
    pub(crate) fn mirror(&self) -> usize {
        self.mirror
    }

    /// Claims a pool. Mirrors may share one if each names its own targets.
    pub(crate) fn pool(&mut self, pool: &Located<String>, port: Option<u32>, owned: &Owned<'_>) {
        let contest = self.pools.iter().filter(|other| other.pool.value == pool.value).find_map(|other| {
            let (message, help) = self.contest(other, port, owned)?;
            let problem = Problem::new(pool.span.clone(), message).with_help(help);
            Some(problem.related(other.pool.span.clone(), "first here"))
        });
        if let Some(problem) = contest {
            self.problems.report(problem);
        }
        let owned = owned.targets.value.clone();
        self.pools.push(PoolClaim { mirror: self.mirror, pool: pool.clone(), port, owned });
    }

    /// Why a table with these targets conflicts with another one for the same pool, and what to write.
    fn contest(&self, other: &PoolClaim, port: Option<u32>, owned: &Owned<'_>) -> Option<(String, String)> {
        let Owned { key, targets } = owned;
        let same_port = other.port == port;
        if other.mirror == self.mirror {
            let help = "Write one table for each pool and port.".to_owned();
            return same_port.then(|| ("the same targets are steered twice".to_owned(), help));
        }
        if targets.value.is_empty() || other.owned.is_empty() {
            return Some((
                format!("two mirrors share a pool without naming `{key}`"),
                format!(
                    "Write pool = \"primary-only\" and `{key}` in both tables, so that each primary leaves the other \
                     mirror's targets alone; or give each mirror a pool of its own."
                ),
            ));
        }
        let both = targets.value.iter().find(|target| same_port && other.owned.contains(target))?;
        Some((
            format!("two mirrors own the target {both} of one pool"),
            format!("Leave it to one of them in `{key}`, or give each a port of its own."),
        ))
    }

    /// Claims an object that only one table may steer.
    pub(crate) fn take(&mut self, object: String, span: Option<Span>, message: String, help: &str) {
        match self.sole.iter().find(|(taken, _)| *taken == object) {
            Some((_, first)) => {
                let problem = Problem::new(span, message).related(first.clone(), "first here");
                self.problems.report(problem.with_help(help));
            }
            None => self.sole.push((object, span)),
        }
    }
}

/// A mirror that moves traffic must name its other members, so that they can be asked, or say that there is none.
pub(crate) fn check_peers<T: Tables>(
    section: &Section<'_>,
    peers: &[Peer],
    no_peers: Option<&Located<()>>,
    targets: &[T],
) {
    if let (Some(none), false) = (no_peers, peers.is_empty()) {
        section.report(
            Problem::new(none.span.clone(), "`peers` is \"none\", and there are [[mirror.peer]] tables")
                .with_help("Remove peers = \"none\", or the [[mirror.peer]] tables."),
        );
    }
    let mover = targets.iter().find(|target| target.moves_traffic());
    if let (Some(mover), None, true) = (mover, no_peers, peers.is_empty()) {
        section.report(
            Problem::new(section.span(), format!("{} moves traffic, and no other member is named", mover.table()))
                .with_help(
                    "Write a [[mirror.peer]] table with `address` and `page` for each other member, which is asked before \
                     anything is taken from it; or peers = \"none\" in [[mirror]] if there is no other member.",
                )
                .needs_whole_text(),
        );
    }
}

/// A `ca_file` needs https.
pub(crate) fn check_ca_file<T>(
    section: &Section<'_>,
    url: &Located<hyper::Uri>,
    ca_file: Option<&Located<T>>,
) {
    if let Some(ca_file) = ca_file
        && url.value.scheme_str() != Some("https")
    {
        section.report(
            Problem::new(ca_file.span.clone(), "`ca_file` has no effect without https")
                .related(url.span.clone(), "this is not https")
                .with_help("Write an https address, or remove `ca_file`."),
        );
    }
}
