//! Everything on disk that a start or a reload needs, read where it holds up nobody else and within a deadline.
//!
//! What the process before left is an aid: a disk that does not answer within [`MEMORY_TIMEOUT`] costs that memory, and
//! no check is left waiting for it. Secrets and certificates protect a port, and it must not open without them: when
//! their disk does not answer within [`SECRETS_TIMEOUT`], the start or reload fails with the name of the file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::StartError;
use super::mirrors::PeerKeyError;
use crate::admin;
use crate::blocking::SingleFlight;
use crate::config::Config;
use crate::file;
use crate::peer::key::{Key, random_identifier};
use crate::state::{Access, PersistedState, StateError, Store};
use crate::text::chain;
use crate::tls;

/// How long the state directory may take. Load balancers are answered after it.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(1);

/// How long secrets and certificates may take: a busy disk gives them sooner.
const SECRETS_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads for one daemon; a call that hangs is not repeated beside itself.
#[derive(Debug)]
pub(super) struct Files {
    states: SingleFlight<(Option<String>, States)>,
    claiming: SingleFlight<Identifier>,
    secrets: SingleFlight<Result<Secrets, StartError>>,
}

/// What the process before left.
#[derive(Debug)]
pub(super) struct Memory {
    /// Identifies the state directory to others; another one at each start where it cannot be kept.
    pub(super) daemon: String,
    /// Of each mirror that was asked for.
    pub(super) mirrors: States,
}

/// What is in the files of mirrors.
type States = HashMap<String, Result<Option<PersistedState>, StateError>>;

/// The identifier; the error comes with one that ends with the process.
type Identifier = Result<String, (String, StateError)>;

/// What protects the ports, and the answers to peers.
#[derive(Debug)]
pub(super) struct Secrets {
    /// The shared secret of each mirror that has one.
    pub(super) keys: HashMap<String, Arc<Key>>,
    pub(super) access: admin::Access,
}

// === impl Files ===

impl Files {
    pub(super) const fn new() -> Self {
        Self { states: SingleFlight::new(), claiming: SingleFlight::new(), secrets: SingleFlight::new() }
    }

    /// What `store` remembers of `mirrors`, which this daemon has not known so far. Takes the store for this process.
    pub(super) async fn remember(&mut self, store: &Store, mirrors: Vec<String>) -> Memory {
        let deadline = Instant::now() + MEMORY_TIMEOUT;
        let hangs = |action| StateError::Io {
            action,
            path: store.directory().to_owned(),
            source: file::no_answer(MEMORY_TIMEOUT),
        };
        // Reading comes first: of a disk that takes no writes the memory can still be had.
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
        // Two daemons with one identifier could not tell each other apart. Whoever keeps the state says who holds it.
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

/// Reads them one after the other; `enter` hears which is next.
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
        // The health listener reads them itself, and reports what is wrong with them. Here it is found out in the
        // background whether their disk answers.
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
