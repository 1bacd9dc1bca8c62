//! Log events as entries of systemd's journal with structured fields: `journalctl MIRRORVIP_MIRROR=PROD
//! MIRRORVIP_TO=primary` finds events by their fields `mirror` and `to`.
//!
//! The wire format is that of `systemd.io/JOURNAL_NATIVE_PROTOCOL`: one datagram per entry. No library is used because no
//! send may block: a journal that hangs must neither delay a health check nor starve the watchdog. An entry that the
//! journal does not accept is lost, and the next accepted entry says how many were.

use std::fmt::{Debug, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::fstat;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::explained;

const SOCKET: &str = "/run/systemd/journal/socket";

/// The longest value, in bytes; a datagram takes some 200 KiB.
const MAX_VALUE: usize = 16 * 1024;

/// Sends events to the journal.
pub(super) struct Journal {
    socket: UnixDatagram,
    lost: AtomicU64,
}

/// One entry under construction.
#[derive(Default)]
struct Entry {
    message: String,
    /// The other fields as text behind the message.
    details: String,
    fields: Vec<u8>,
}

/// Whether standard error is the journal's stream, as `JOURNAL_STREAM` says: its device and inode.
pub(super) fn is_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = fstat(io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

// === impl Journal ===

impl Journal {
    /// Connects to the journal, if there is one.
    pub(super) fn open() -> io::Result<Self> {
        Self::open_at(SOCKET)
    }

    fn open_at(path: &str) -> io::Result<Self> {
        // Connecting fails here if there is no journal, and not at the first line.
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, lost: AtomicU64::new(0) })
    }

    fn send(&self, level: Level, target: &str, mut entry: Entry) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            entry.detail("lost_entries", &lost.to_string());
        }
        let Entry { mut message, details, fields } = entry;
        message.push_str(&details);
        let mut datagram = Vec::with_capacity(fields.len() + message.len() + 128);
        put(&mut datagram, "MESSAGE", &message);
        put(&mut datagram, "PRIORITY", priority(level));
        put(&mut datagram, "SYSLOG_IDENTIFIER", "mirrorvip");
        put(&mut datagram, "CODE_MODULE", target);
        datagram.extend_from_slice(&fields);
        if self.socket.send(&datagram).is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut entry = Entry::default();
        event.record(&mut entry);
        if let Some(word) = explained::word(event) {
            entry.detail(explained::FIELD, word);
        }
        self.send(*event.metadata().level(), event.metadata().target(), entry);
    }
}

/// The levels of `syslog(3)`.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// A field in the form with a length, which allows any value.
fn put(datagram: &mut Vec<u8>, name: &str, value: &str) {
    let value = &value[..value.floor_char_boundary(MAX_VALUE)];
    datagram.extend_from_slice(name.as_bytes());
    datagram.push(b'\n');
    datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

// === impl Entry ===

impl Entry {
    fn detail(&mut self, name: &str, value: &str) {
        let _ = write!(self.details, " {name}={value}");
        // Names consist of capitals, digits and underscores.
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        put(&mut self.fields, &format!("MIRRORVIP_{name}"), value);
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.detail(name, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What arrives when `log` runs, as pairs.
    fn entries(log: impl Fn()) -> Vec<Vec<(String, String)>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let listening = UnixDatagram::bind(&path).unwrap();
        listening.set_nonblocking(true).unwrap();
        let journal = Journal::open_at(path.to_str().unwrap()).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), log);
        let mut buffer = vec![0; 256 * 1024];
        let mut entries = Vec::new();
        while let Ok(length) = listening.recv(&mut buffer) {
            entries.push(parse(&buffer[..length]));
        }
        entries
    }

    fn parse(mut bytes: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let name_end = bytes.iter().position(|&b| b == b'\n').unwrap();
            let (name, rest) = (&bytes[..name_end], &bytes[name_end + 1..]);
            let (length, rest) = rest.split_at(8);
            let length = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            fields.push((text(name), text(&rest[..length])));
            assert_eq!(rest[length], b'\n');
            bytes = &rest[length + 1..];
        }
        fields
    }

    #[test]
    fn an_entry_has_its_fields_and_reads_as_a_line() {
        let entries = entries(|| {
            tracing::info!(mirror = "PROD", from = "backup", to = "primary", epoch = 3_u64, "state changed");
            tracing::error!(evidence = "two\nlines\nPRIORITY=0", "no evidence");
            tracing::warn!(cause = "timed-out", "no evidence of the role");
        });
        let field = |entry: usize, name: &str| {
            let found = entries[entry].iter().find(|(key, _)| key == name);
            found.unwrap_or_else(|| panic!("{name} in {:?}", entries[entry])).1.as_str()
        };
        assert_eq!(field(0, "MESSAGE"), "state changed mirror=PROD from=backup to=primary epoch=3");
        assert_eq!((field(0, "PRIORITY"), field(1, "PRIORITY")), ("6", "3"));
        assert_eq!((field(0, "MIRRORVIP_TO"), field(0, "MIRRORVIP_EPOCH")), ("primary", "3"));
        assert_eq!(field(0, "SYSLOG_IDENTIFIER"), "mirrorvip");
        assert_eq!(field(1, "MIRRORVIP_EVIDENCE"), "two\nlines\nPRIORITY=0", "a value is a value");
        assert_eq!(field(2, "MIRRORVIP_EXPLAIN"), "timed-out", "the page of the runbook");
        assert_eq!(entries[1].iter().filter(|(name, _)| name == "PRIORITY").count(), 1);
    }

    #[test]
    fn a_blocked_journal_delays_nothing_and_is_reported_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let listening = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::open_at(path.to_str().unwrap()).unwrap();
        let say = || journal.send(Level::INFO, "test", Entry::default());
        let said = (0..100_000)
            .take_while(|_| {
                say();
                journal.lost.load(Ordering::Relaxed) == 0
            })
            .count();
        assert!(said < 100_000, "its queue is full some time");
        say();
        let mut buffer = vec![0; 4_096];
        let _room = listening.recv(&mut buffer).unwrap();
        say();
        listening.set_nonblocking(true).unwrap();
        let mut last = Vec::new();
        while let Ok(length) = listening.recv(&mut buffer) {
            last = parse(&buffer[..length]);
        }
        assert!(last.contains(&("MIRRORVIP_LOST_ENTRIES".to_owned(), "2".to_owned())), "{last:?}");
    }

    #[test]
    fn long_values_are_cut() {
        let entries = entries(|| tracing::warn!(report = "ä".repeat(100_000), "long"));
        let (_, report) = entries[0].iter().find(|(name, _)| name == "MIRRORVIP_REPORT").unwrap();
        assert_eq!(report.len(), MAX_VALUE);
    }

    #[test]
    fn without_a_journal_there_is_none() {
        assert!(Journal::open_at("/nonexistent/socket").is_err());
    }
}
