//! Reads the files that a start or a reload needs, in the background and within a deadline.
//!
//! The state of the previous process is optional: if the disk does not answer within [`MEMORY_TIMEOUT`], the daemon starts
//! without it, so that no health check waits. Secrets and certificates protect a port, which must not open without them:
//! if their disk does not answer within [`SECRETS_TIMEOUT`], the start or reload fails with the name of the file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::StartError;
use crate::admin;
use crate::blocking::SingleFlight;
use crate::file;
use crate::peer::key::{Key, KeyError};
use crate::provider::Config;
use crate::random::random_identifier;
use crate::state::{Access, PersistedState, StateError, Store};
use crate::text::chain;
use crate::tls;

/// How long the state directory may take. Load balancers are answered only afterwards.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(1);

/// How long secrets and certificates may take: a busy disk is faster.
const SECRETS_TIMEOUT: Duration = Duration::from_secs(5);

/// The reads of one daemon; a call that hangs is not repeated until it returns.
#[derive(Debug)]
pub(super) struct Files {
    states: SingleFlight<(Option<String>, States)>,
    claiming: SingleFlight<Identifier>,
    secrets: SingleFlight<Result<Secrets, StartError>>,
}

/// The state that the previous process left.
#[derive(Debug)]
pub(super) struct Memory {
    /// Identifies the state directory to other members; a new one at each start if it cannot be stored.
    pub(super) daemon: String,
    /// The state of each requested mirror.
    pub(super) mirrors: States,
}

/// The contents of the state files, by mirror.
type States = HashMap<String, Result<Option<PersistedState>, StateError>>;

/// The identifier; the error comes with a temporary one.
type Identifier = Result<String, (String, StateError)>;

/// The secrets of the ports and of the answers to peers.
#[derive(Debug)]
pub(super) struct Secrets {
    /// The shared secret of each mirror that has one.
    pub(super) keys: HashMap<String, Arc<Key>>,
    pub(super) access: admin::Access,
}

/// The file of a mirror's shared secret is unusable.
#[derive(Debug, thiserror::Error)]
#[error("use peer_key_file {} of mirror {mirror}", path.display())]
pub struct PeerKeyError {
    mirror: String,
    path: PathBuf,
    source: KeyError,
}

// === impl Files ===

impl Files {
    pub(super) const fn new() -> Self {
        Self { states: SingleFlight::new(), claiming: SingleFlight::new(), secrets: SingleFlight::new() }
    }

    /// Reads the state of `mirrors`, which are new to this daemon, and locks the store for this process.
    pub(super) async fn remember(&mut self, store: &Store, mirrors: Vec<String>) -> Memory {
        let deadline = Instant::now() + MEMORY_TIMEOUT;
        let hangs = |action| StateError::Io {
            action,
            path: store.directory().to_owned(),
            source: file::no_answer(MEMORY_TIMEOUT),
        };
        // Reading comes first: it works even if the disk accepts no writes.
        let (reading, names) = (store.clone(), mirrors.clone());
        let read = self.states.run(move || {
            let states = names.into_iter().map(|mirror| (mirror.clone(), reading.load(&mirror)));
            (reading.known_daemon_id(), states.collect())
        });
        let (known, mirrors) = timeout_at(deadline, read).await.unwrap_or_else(|_elapsed| {
            (None, mirrors.into_iter().map(|mirror| (mirror, Err(hangs("read")))).collect())
        });
        let claiming = store.clone();
        let claimed = timeout_at(deadline, self.claiming.run(move || claim(&claiming))).await;
        let identifier = match (claimed, known) {
            (Ok(identifier), _) => identifier,
            (Err(_elapsed), Some(known)) => Ok(known),
            (Err(_elapsed), None) => Err((random_identifier(), hangs("write to"))),
        };
        let daemon = identifier.unwrap_or_else(|(id, error)| {
            let error = chain(&error);
            tracing::warn!(error, "this daemon's identifier will not outlive the process");
            id
        });
        Memory { daemon, mirrors }
    }

    /// The secrets and certificates that `config` names.
    pub(super) async fn secrets(&mut self, config: &Config) -> Result<Secrets, StartError> {
        let (config, at) = (config.clone(), Arc::new(Mutex::new(PathBuf::new())));
        let reading = Arc::clone(&at);
        let enter =
            move |path: &Path| path.clone_into(&mut reading.lock().unwrap_or_else(PoisonError::into_inner));
        match timeout(SECRETS_TIMEOUT, self.secrets.run(move || secrets(&config, enter))).await {
            Ok(secrets) => secrets,
            Err(_elapsed) => {
                let path = at.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Err(StartError::Hangs { path, source: file::no_answer(SECRETS_TIMEOUT) })
            }
        }
    }
}

/// Locks the directory for this process, and finds or makes its identifier.
fn claim(store: &Store) -> Identifier {
    match store.claim() {
        Ok(access) => {
            report_access(store, &access);
            store.daemon_id()
        }
        // Two daemons must not share an identifier. `keep` reports which process holds the directory.
        Err(StateError::Held { .. }) => Ok(random_identifier()),
        Err(error) => store.known_daemon_id().ok_or_else(|| (random_identifier(), error)),
    }
}

fn report_access(store: &Store, access: &Access) {
    let directory = store.directory().display();
    match access {
        Access::Exclusive { exposure: None } => {}
        Access::Exclusive { exposure: Some(exposure) } => {
            tracing::warn!(%directory, exposure, "others can replace files in the state directory");
        }
        Access::Unlocked(error) => {
            tracing::warn!(%directory, error, "the state directory cannot be locked: no other daemon may use it");
        }
    }
}

/// Reads them one after the other; calls `enter` with the path before each.
fn secrets(config: &Config, enter: impl Fn(&Path)) -> Result<Secrets, StartError> {
    let mut keys = HashMap::new();
    for mirror in &config.mirrors {
        let Some(path) = &mirror.peer_key_file else { continue };
        enter(path);
        let key = Key::load(path).map_err(|source| PeerKeyError {
            mirror: mirror.name.clone(),
            path: path.clone(),
            source,
        })?;
        keys.insert(mirror.name.clone(), Arc::new(key));
    }
    if let Some(path) =
        config.admin.token_file.as_ref().or(config.admin.tls.as_ref().map(|tls| &tls.certificate))
    {
        enter(path);
    }
    let access = admin::Access::new(&config.admin)?;
    if let Some(files) = &config.health.tls {
        // The health listener reads them again and reports errors. This only verifies in the background that the disk
        // answers.
        enter(&files.certificate);
        drop(tls::load(files));
    }
    Ok(Secrets { keys, access })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_state_directory_that_hangs_costs_its_memory_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        let hanging = store.clone();
        let mut files = Files::new();
        let guard = hanging.hang();
        let memory = files.remember(&store, vec!["PROD".to_owned()]).await;
        let error = memory.mirrors["PROD"].as_ref().unwrap_err();
        assert!(chain(error).contains("did not answer within 1s"), "{}", chain(error));
        drop(guard);
        let memory = files.remember(&store, vec!["PROD".to_owned()]).await;
        assert!(matches!(memory.mirrors["PROD"], Ok(None)), "{memory:?}");
        assert_eq!(store.known_daemon_id().as_deref(), Some(&*memory.daemon));
    }

    #[tokio::test]
    async fn a_second_daemon_has_an_identifier_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let stores = [(); 2].map(|()| Store::new(directory.path().to_owned()));
        let first = Files::new().remember(&stores[0], Vec::new()).await.daemon;
        let second = Files::new().remember(&stores[1], Vec::new()).await.daemon;
        assert_ne!(first, second);
        assert_eq!(stores[0].known_daemon_id(), Some(first));
    }
}
