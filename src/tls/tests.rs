//! Certificates and keys that fit, do not fit, end and are replaced.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static CERTIFICATE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    rcgen::generate_simple_self_signed(["db.example".to_owned()]).unwrap().cert.der().to_vec()
});

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
}

/// Dates until 2049 and from then on are written as different types.
#[test]
fn validity_is_read_in_both_types_of_time() {
    let made = files();
    for (from, until) in [(1999, 2049), (2026, 2050), (1950, 2999)] {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut certificate = rcgen::CertificateParams::new(["db.example".to_owned()]).unwrap();
        certificate.not_before = rcgen::date_time_ymd(from, 1, 2);
        certificate.not_after = rcgen::date_time_ymd(until, 12, 31);
        made.replace(&made.files.certificate, &certificate.self_signed(&key).unwrap().pem());
        made.replace(&made.files.key, &key.serialize_pem());
        let read = inspect(&made.files).unwrap();
        assert_eq!(read.not_before.to_string(), format!("{from}-01-02T00:00:00Z"));
        assert_eq!(read.not_after.to_string(), format!("{until}-12-31T00:00:00Z"));
    }
}

#[test]
fn a_certificate_without_an_end_is_read() {
    let made = files();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut certificate = rcgen::CertificateParams::new(["db.example".to_owned()]).unwrap();
    certificate.not_after = rcgen::date_time_ymd(9999, 12, 31);
    made.replace(&made.files.certificate, &certificate.self_signed(&key).unwrap().pem());
    assert_eq!(inspect(&made.files).unwrap().not_after, jiff::Timestamp::MAX);
}

#[test]
fn what_is_not_a_certificate_has_no_validity() {
    let made = files();
    made.replace(
        &made.files.certificate,
        "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n",
    );
    let error = inspect(&made.files).unwrap_err().to_string();
    assert!(error.contains("the first certificate is not readable"), "{error}");
    for length in 0..CERTIFICATE.len() {
        assert!(validity(&CERTIFICATE[..length]).is_err(), "{length} bytes of it");
    }
}

proptest! {
    #[test]
    fn any_bytes_have_a_validity_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..1000) {
        let _ = validity(&bytes);
        let mut certificate = CERTIFICATE.to_vec();
        let length = certificate.len();
        for (index, byte) in bytes.iter().take(3).enumerate() {
            certificate[(at + 7 * index) % length] = *byte;
        }
        let _ = validity(&certificate);
    }
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

/// Time is paused: the time between two polls passes as soon as nothing else is to be done.
#[tokio::test(start_paused = true)]
async fn follows_good_files_and_survives_bad_ones() {
    let made = files();
    let renewing = Arc::new(ReloadingCertificate::load(&made.files).unwrap());
    let first = renewing.current();
    let mut changes = renewing.current.subscribe();
    let mut follower = tokio::task::JoinSet::new();
    follower.spawn(Arc::clone(&renewing).follow());

    made.replace(&made.files.key, "corrupt");
    tokio::time::sleep(3 * POLL_EVERY).await;
    assert!(Arc::ptr_eq(&first, &renewing.current()), "the old certificate stays");

    made.renew();
    changes.changed().await.unwrap();
    assert!(!Arc::ptr_eq(&first, &renewing.current()));
    changes.mark_unchanged();
    tokio::time::sleep(3 * POLL_EVERY).await;
    assert!(!changes.has_changed().unwrap(), "files that stay as they are are not read again");
}
