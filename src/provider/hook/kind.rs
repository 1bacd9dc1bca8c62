//! What the kind answers about a command.

use super::{Hook, Table};
use crate::config::reading::Declared as _;
use crate::finding::Finding;
use crate::provider::check::{Found, Subject};
use crate::provider::preview::{Call, Look, Preview};
use crate::provider::{Boxed, Kind, Member, Mirror, Sessions};
use crate::steer::{CallError, LoopContext, run};

impl Table {
    /// Without the arguments, which may hold a password.
    fn program(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }
}

impl Kind for Table {
    fn section(&self) -> &'static str {
        Self::SECTION
    }

    fn name(&self) -> String {
        format!("hook {}", self.program())
    }

    fn long_name(&self, name: &str, nth: usize) -> String {
        format!("{name} ({nth})")
    }

    fn acts_on_promotion(&self) -> bool {
        self.on_promotion
    }

    fn local_findings(&self, mirror: &Mirror) -> Vec<Finding> {
        if !self.on_promotion || !mirror.peers.is_empty() {
            return Vec::new();
        }
        vec![
            Finding::warning(
                format!("mirror {}, hook", mirror.name),
                "runs a command at a promotion, and there is no [[mirror.peer]]: mirrorvip does not know what the \
                 command moves, and cannot ask another member whether it was promoted later",
            )
            .help("If the command moves traffic, write one [[mirror.peer]] for each other member."),
        ]
    }

    fn steer(&self, member: Member, around: LoopContext) -> Boxed<'static, ()> {
        let remembered = around.snapshot.borrow().tracker().remember();
        let snapshots = around.snapshot.clone();
        Box::pin(run(Hook::new(self, &member.mirror, &member.name, remembered, snapshots), around))
    }

    /// There is no object to read.
    fn look<'a>(
        &'a self,
        _mirror: &'a Mirror,
        preview: Preview,
        _sessions: &'a mut Sessions,
    ) -> Boxed<'a, Look> {
        let call = || Call { call: format!("run {} (promotion)", self.program()), moves_traffic: true };
        let calls = self.on_promotion.then(call).into_iter().collect();
        Box::pin(async { preview.known(calls) })
    }

    /// `check` tests the command itself with the daemon's other files; what it does cannot be checked.
    fn check<'a>(
        &'a self,
        _subject: &'a Subject<'a>,
        _sessions: &'a mut Sessions,
        _found: &'a mut Found,
    ) -> Boxed<'a, Result<(), CallError>> {
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use crate::finding::Severity;
    use crate::provider::check::testing::{config, one, told, with_subject};

    #[test]
    fn a_command_at_a_promotion_without_peers_is_a_warning() {
        let found = |peer: &str, on: &str| {
            let hook = format!("{peer}[[mirror.hook]]\ncommand = ['/bin/true']\non = '{on}'\n");
            told(with_subject(&config("", &hook), |subject, table| {
                table.kind().local_findings(subject.mirror)
            }))
        };
        let peer = "[[mirror.peer]]\naddress = '10.0.2.12'\npage = 'http://b/'\n";
        assert_eq!(found(peer, "promotion"), []);
        assert_eq!(found("", "demotion"), []);
        one(found("", "promotion"), Severity::Warning, "mirrorvip does not know what the command moves");
    }
}
