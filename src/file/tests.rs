//! On real files, with what an attacker or an accident puts in their place.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

const ROLE: Content<'_> = Content { bytes: b"primary\n", mode: 0o644, modified: None, durable: false };

fn fifo(path: &Path) {
    rustix::fs::mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
}

/// Nothing here can wait for a reader or writer; if it does, this fails and does not hang.
fn bounded<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    within(Duration::from_secs(30), call).expect("the call returns")
}

#[test]
fn only_regular_files_are_read_and_no_call_waits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    fifo(&path);
    for path in [path, directory.path().to_owned(), "/dev/zero".into()] {
        let read = bounded(move || read_bounded(&path, 10));
        assert!(matches!(read, Err(ReadError::NotRegular)), "{read:?}");
    }
}

#[test]
fn reading_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "0123456789").unwrap();
    assert_eq!(read_bounded(&path, 10).unwrap(), b"0123456789");
    assert!(matches!(read_bounded(&path, 9), Err(ReadError::TooLong { limit: 9 })));
    File::options().write(true).open(&path).unwrap().set_len(10 << 30).unwrap();
    assert!(
        matches!(read_bounded(&path, 9), Err(ReadError::TooLong { .. })),
        "10 GiB, and none of it is read"
    );
}

#[test]
fn a_call_that_hangs_is_given_up() {
    let (release, hang) = mpsc::channel::<()>();
    let given_up = within(Duration::from_millis(1), move || hang.recv());
    assert_eq!(given_up.unwrap_err().kind(), io::ErrorKind::TimedOut);
    drop(release);
}

#[test]
fn a_link_or_fifo_in_a_files_place_is_replaced_and_nothing_is_written_through_it() {
    let directory = tempfile::tempdir().unwrap();
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    let shared = directory.path().join("shared");
    fs::create_dir(&shared).unwrap();
    symlink(&victim, shared.join("PROD.role")).unwrap();
    fifo(&shared.join("TEST.role"));
    let (opened, names) = (Directory::open(&shared).unwrap(), ["PROD.role", "TEST.role"]);
    bounded(move || names.into_iter().try_for_each(|name| opened.replace(name, ROLE))).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o777, 0o600);
    for name in names {
        let metadata = fs::symlink_metadata(shared.join(name)).unwrap();
        assert!(metadata.is_file() && metadata.mode() & 0o777 == 0o644, "{metadata:?}");
    }
}

#[test]
fn a_failed_replacement_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("PROD.role/full")).unwrap();
    let opened = Directory::open(directory.path()).unwrap();
    opened.replace("PROD.role", ROLE).unwrap_err();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn only_own_temporary_files_are_swept() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (left, linked) = (temporary_name("PROD.json"), temporary_name("PROD.json"));
    fs::write(path(&left), "").unwrap();
    fs::write(path("victim"), "").unwrap();
    symlink(path("victim"), path(&linked)).unwrap();
    for other in [".PROD.json.tmp", "PROD.json", ".PROD.json.0123.tmp", ".vimrc"] {
        fs::write(path(other), "").unwrap();
    }
    Directory::open(directory.path()).unwrap().sweep();
    assert!(!path(&left).exists());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 6, "and nothing else is gone");
}

#[test]
fn a_directory_is_held_by_one_and_the_other_learns_by_whom() {
    let directory = tempfile::tempdir().unwrap();
    let opened = Directory::open(directory.path()).unwrap();
    let first = opened.lock("lock").unwrap();
    // A descriptor of its own, as another process has.
    let second = Directory::open(directory.path()).unwrap();
    let error = second.lock("lock").unwrap_err();
    let LockError::Held(holder) = &error else { panic!("{error:?}") };
    assert!(holder.starts_with(&format!("process {} on ", std::process::id())), "{holder}");
    drop(first);
    second.lock("lock").unwrap();
}

#[test]
fn a_lock_file_that_is_no_file_is_an_error_and_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, directory.path().join("lock")).unwrap();
    let opened = Directory::open(directory.path()).unwrap();
    assert!(matches!(opened.lock("lock"), Err(LockError::Io(_))));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    fs::remove_file(directory.path().join("lock")).unwrap();
    fifo(&directory.path().join("lock"));
    assert!(matches!(bounded(move || opened.lock("lock")), Err(LockError::Io(_))));
}

/// The daemon ran once as root; from then on it runs as another user. Only root can play both.
#[test]
fn a_lock_file_of_another_user_is_replaced_and_holds() {
    let directory = tempfile::tempdir().unwrap();
    let (path, text) = (directory.path().join("lock"), "process 1 on host since then\n");
    fs::write(&path, text).unwrap();
    let opened = Directory::open(directory.path()).unwrap();
    // What opening it for writing would lead to, if this test is not root.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let before = fs::metadata(&path).unwrap().ino();
    let lock = opened.lock("lock").unwrap();
    assert_ne!(fs::read_to_string(&path).unwrap(), text, "it names this process");
    if !rustix::process::geteuid().is_root() {
        assert_ne!(fs::metadata(&path).unwrap().ino(), before);
    }
    assert!(matches!(opened.lock("lock"), Err(LockError::Held(_))));
    drop(lock);
    opened.lock("lock").unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
}
