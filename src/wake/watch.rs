//! inotify on one file and on its directory.
//!
//! The file's own watch reports writes; the directory's reports a new file of the same name. The directory is not watched
//! for writes, as it also contains databases and journals of the instance.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio_stream::StreamExt;

/// Room for several events with the longest names.
const BUFFER: usize = 4096;

/// The events of the file, as a stream.
pub(super) struct Events {
    stream: EventStream<[u8; BUFFER]>,
    name: OsString,
}

/// The watches.
pub(super) struct Watch {
    watches: Watches,
    file: PathBuf,
    directory: PathBuf,
    on_file: Option<WatchDescriptor>,
    on_directory: Option<WatchDescriptor>,
}

// === impl Events ===

impl Events {
    /// Opens inotify for the file at `path`, and watches nothing yet.
    pub(super) fn new(path: &Path) -> io::Result<(Self, Watch)> {
        let stream = Inotify::init()?.into_event_stream([0; BUFFER])?;
        let watch = Watch {
            watches: stream.watches(),
            file: path.to_owned(),
            directory: directory_of(path),
            on_file: None,
            on_directory: None,
        };
        Ok((Self { stream, name: path.file_name().unwrap_or_default().to_owned() }, watch))
    }

    /// Waits for something to happen to the file. Cancel-safe.
    pub(super) async fn next(&mut self) {
        loop {
            match self.stream.next().await {
                // Other files come and go in the same directory.
                Some(Ok(event)) if event.name.as_ref().is_some_and(|name| *name != self.name) => {}
                // Sent after the removal of a watch, which happens here.
                Some(Ok(event)) if event.mask == EventMask::IGNORED => {}
                Some(Ok(_)) => return,
                // Only polling remains.
                Some(Err(_)) | None => std::future::pending().await,
            }
        }
    }
}

// === impl Watch ===

impl Watch {
    /// Watches the files that the paths currently lead to. A missing one is tried again at the next call.
    ///
    /// Adding a watch is idempotent.
    pub(super) fn renew(&mut self) {
        let coming_and_going = WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::ONLYDIR;
        let directory = self.watches.add(&self.directory, coming_and_going).ok();
        replace(&mut self.watches, &mut self.on_directory, directory);
        let changes = WatchMask::MODIFY | WatchMask::ATTRIB | WatchMask::MOVE_SELF | WatchMask::DELETE_SELF;
        let file = self.watches.add(&self.file, changes).ok();
        replace(&mut self.watches, &mut self.on_file, file);
    }
}

/// Replaces a watch and removes the old one, so that no watch of a rolled-over file stays behind.
fn replace(watches: &mut Watches, current: &mut Option<WatchDescriptor>, new: Option<WatchDescriptor>) {
    if *current == new {
        return;
    }
    if let Some(old) = std::mem::replace(current, new) {
        // Fails if the file is gone, and its watch with it.
        let _gone = watches.remove(old);
    }
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}
