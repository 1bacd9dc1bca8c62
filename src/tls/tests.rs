//! Certificates and keys that fit, do not fit, end and are replaced.

use super::*;

struct Files {
    directory: tempfile::TempDir,
    files: Tls,
}

fn files() -> Files {
    let directory = tempfile::tempdir().unwrap();
    let files = Tls { certificate: directory.path().join("crt.pem"), key: directory.path().join("key.pem") };
    let made = Files { directory, files };
    made.renew();
    made
}

impl Files {
    fn renew(&self) {
        let (certificate, key) = certified();
        self.replace(&self.files.certificate, &certificate);
        self.replace(&self.files.key, &key);
    }

    /// By renaming, as careful tools do: at any moment the file is whole, and its inode is another.
    fn replace(&self, path: &Path, text: &str) {
        let beside = self.directory.path().join("new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, path).unwrap();
    }
}

fn certified() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["db.example".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn refusal(made: &Files) -> String {
    let error = load(&made.files).map(|_| ()).unwrap_err();
    error.to_string().replace(&*made.directory.path().to_string_lossy(), "")
}

#[test]
fn loads_and_inspects() {
    let made = files();
    assert_eq!(load(&made.files).unwrap().alpn_protocols, [b"http/1.1"]);
    let seen = inspect(&made.files).unwrap();
    assert!(seen.not_before < seen.not_after);
    assert!(seen.subject.contains("rcgen"));
}

#[test]
fn errors_name_the_file_and_what_to_do() {
    let made = files();
    fs::write(&made.files.key, certified().1).unwrap();
    assert_eq!(
        refusal(&made),
        "use /crt.pem with /key.pem: the key does not belong to the first certificate of the chain"
    );
    fs::write(
        &made.files.key,
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .unwrap();
    assert!(refusal(&made).contains("decrypt it"), "{}", refusal(&made));
    fs::write(&made.files.key, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0").unwrap();
    assert_eq!(refusal(&made), "use /key.pem: a section has no `END` line; the file is cut off");
    fs::write(&made.files.key, "-----BEGIN c2VjcmV0\n").unwrap();
    assert!(!refusal(&made).contains("c2VjcmV0"), "content of a key file is never shown");
    fs::remove_file(&made.files.key).unwrap();
    assert_eq!(refusal(&made), "read /key.pem");
    fs::write(&made.files.certificate, "hello").unwrap();
    assert!(refusal(&made).contains("leaf first"));
    fs::write(&made.files.certificate, vec![b'a'; 2 << 20]).unwrap();
    assert!(refusal(&made).contains("longer than"));
    fs::remove_file(&made.files.certificate).unwrap();
    fs::create_dir(&made.files.certificate).unwrap();
    assert!(refusal(&made).contains("not a regular file"));
}

/// Time is paused: the time between two looks pass as soon as nothing else is to be done.
#[tokio::test(start_paused = true)]
async fn follows_good_files_and_survives_bad_ones() {
    let made = files();
    let renewing = Arc::new(ReloadingCertificate::load(&made.files).unwrap());
    let first = renewing.current();
    let mut changes = renewing.current.subscribe();
    let mut follower = tokio::task::JoinSet::new();
    follower.spawn(Arc::clone(&renewing).follow());

    made.replace(&made.files.key, "rubbish");
    tokio::time::sleep(3 * LOOK_EVERY).await;
    assert!(Arc::ptr_eq(&first, &renewing.current()), "the old certificate stays");

    made.renew();
    changes.changed().await.unwrap();
    assert!(!Arc::ptr_eq(&first, &renewing.current()));
    changes.mark_unchanged();
    tokio::time::sleep(3 * LOOK_EVERY).await;
    assert!(!changes.has_changed().unwrap(), "files that stay as they are are not read again");
}
