//! What the kind answers about a label.

use super::{Kubernetes, Table, View};
use crate::config::crosses_in_the_clear;
use crate::config::reading::Declared as _;
use crate::config::steering::Value;
use crate::finding::Finding;
use crate::provider::check::{Found, Subject};
use crate::provider::preview::{Look, Preview};
use crate::provider::{Boxed, Kind, Member, Mirror, Sessions};
use crate::steer::{CallError, LoopContext, run};
use crate::text::printable;

/// How much of a label's value is shown, in characters: as much as a label may have.
const LABEL_LENGTH: usize = 63;

impl Kind for Table {
    fn section(&self) -> &'static str {
        Self::SECTION
    }

    fn name(&self) -> String {
        match &self.pod {
            Value::Is(pod) => format!("kubernetes pod/{pod}"),
            Value::Auto => "kubernetes pod/(this one)".to_owned(),
        }
    }

    /// The service account's token must not cross the network in the clear.
    fn local_findings(&self, mirror: &Mirror) -> Vec<Finding> {
        let server = self.server.iter().filter(|server| crosses_in_the_clear(server));
        let finding = |server| {
            Finding::warning(
                format!("mirror {}, {}", mirror.name, self.name()),
                format!("server = \"{server}\" receives the service account's token without TLS: it can be read on the network"),
            )
            .help("Write an https address, or remove `server` to use the one that the kubelet names.")
        };
        server.map(finding).collect()
    }

    fn steer(&self, _member: Member, around: LoopContext) -> Boxed<'static, ()> {
        let view = View { snapshots: around.snapshot.clone(), clock: around.clock.clone() };
        Box::pin(run(Kubernetes::new(self, Some(view)), around))
    }

    fn look<'a>(
        &'a self,
        _mirror: &'a Mirror,
        preview: Preview,
        _sessions: &'a mut Sessions,
    ) -> Boxed<'a, Look> {
        Box::pin(preview.look(Kubernetes::new(self, None)))
    }

    /// A patch that changes nothing tests the right that the daemon needs.
    fn check<'a>(
        &'a self,
        subject: &'a Subject<'a>,
        _sessions: &'a mut Sessions,
        found: &'a mut Found,
    ) -> Boxed<'a, Result<(), CallError>> {
        Box::pin(async move {
            let value = Kubernetes::new(self, None).look().await?;
            let value = printable(&value.unwrap_or_else(|| "not set yet".to_owned()), LABEL_LENGTH);
            let label = &self.label;
            found.findings = vec![subject.good(format!("may be patched; its label {label} is {value}"))];
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::finding::Severity;
    use crate::provider::check::testing::{config, one, told, with_subject};

    #[test]
    fn an_api_server_without_tls_is_reported() {
        let found = |server: &str| {
            let config = config("", &format!("[[mirror.kubernetes]]\nserver = \"{server}\"\n"));
            told(with_subject(&config, |subject, table| table.kind().local_findings(subject.mirror)))
        };
        one(found("http://10.96.0.1"), Severity::Warning, "token without TLS");
        assert_eq!(found("http://127.0.0.1:8001"), [], "`kubectl proxy` in the pod");
        assert_eq!(found("https://10.96.0.1"), []);
    }
}
