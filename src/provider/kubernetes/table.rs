//! `[[mirror.kubernetes]]`: its keys, what each sets, and how it is read.

use std::path::PathBuf;

use crate::config::Key;
use crate::config::reading::{
    DNS_NAME, Declared, ObjectClaims, Reported, Section, Setting, Value as Written, absolute_path, auto_or,
    check_ca_file, quoted, text, url,
};
use crate::config::steering::Value;

/// Longest name in the key of a label.
const LABEL_NAME: usize = 63;

const SECTION: &str = "mirror.kubernetes";

const LABEL: Setting<String> =
    Setting::or(SECTION, "label", r#""intersystems.com/mirrorRole""#, "the label's key", label_key);
const POD: Setting<Value> = Setting::or(
    SECTION,
    "pod",
    r#""auto""#,
    "this member's pod; `auto` is the variable `POD_NAME`, or the host name",
    |value| auto_or(value, object_name),
);
const NAMESPACE: Setting<Value> = Setting::or(
    SECTION,
    "namespace",
    r#""auto""#,
    "the pod's namespace; `auto` is that of the service account",
    |value| auto_or(value, object_name),
);
const SERVER: Setting<hyper::Uri> = Setting::off(
    SECTION,
    "server",
    "address of the API server, http or https; the one that the kubelet names when absent",
    url,
);
const CA_FILE: Setting<PathBuf> = Setting::or(
    SECTION,
    "ca_file",
    r#""/var/run/secrets/kubernetes.io/serviceaccount/ca.crt""#,
    "absolute path of a PEM file with the authorities to trust for https",
    absolute_path,
);
const TOKEN_FILE: Setting<PathBuf> = Setting::or(
    SECTION,
    "token_file",
    r#""/var/run/secrets/kubernetes.io/serviceaccount/token""#,
    "absolute path of the file with the service account's token, read again for each call",
    absolute_path,
);

/// A label with this member's role on its pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The label's key.
    pub label: String,
    /// The pod. Automatic: the variable `POD_NAME`, or the host name.
    pub pod: Value,
    /// Its namespace. Automatic: that of the service account.
    pub namespace: Value,
    /// The API server; `None` is the one that the kubelet names.
    pub server: Option<hyper::Uri>,
    /// PEM file with the authorities to trust for it.
    pub ca_file: PathBuf,
    /// File with the service account's token, read again for each call.
    pub token_file: PathBuf,
}

impl Declared for Table {
    const SECTION: &'static str = SECTION;
    const KEYS: &'static [Key] =
        &[LABEL.key, POD.key, NAMESPACE.key, SERVER.key, CA_FILE.key, TOKEN_FILE.key];

    fn read(section: &Section<'_>, claims: &mut ObjectClaims<'_>) -> Result<Self, Reported> {
        let label = section.read(&LABEL);
        let pod = section.read(&POD);
        let namespace = section.read(&NAMESPACE);
        let server = section.read_if_written(&SERVER);
        let ca_file = section.read(&CA_FILE);
        let token_file = section.read(&TOKEN_FILE);

        if let (Ok(label), Ok(pod), Ok(namespace)) = (&label, &pod, &namespace) {
            let (label, pod) = (&label.value, (&namespace.value, &pod.value));
            let message = format!("the label {label} is written twice");
            let help = "Write it once, or give each mirror a `label` of its own.";
            claims.take(format!("pod {pod:?} {label}"), section.span(), message, help);
        }
        if let (Ok(Some(server)), Ok(ca_file)) = (&server, &ca_file)
            && ca_file.span.is_some()
        {
            check_ca_file(section, server, Some(ca_file));
        }
        Ok(Self {
            label: label?.value,
            pod: pod?.value,
            namespace: namespace?.value,
            server: server?.map(|server| server.value),
            ca_file: ca_file?.value,
            token_file: token_file?.value,
        })
    }
}

/// The name of a pod or a namespace, as RFC 1123 has it.
fn object_name(value: &Written<'_>) -> Result<String, Reported> {
    let help = "Write \"auto\", or the name as `kubectl get` shows it: 1 to 253 of a-z 0-9 . -";
    let name = text(value, help)?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    let ends = |c: char| c.is_ascii_alphanumeric();
    if name.len() > DNS_NAME || !name.chars().all(fits) || !name.starts_with(ends) || !name.ends_with(ends) {
        return Err(value.refuse(format!("{} cannot be a name in Kubernetes", quoted(name)), help));
    }
    Ok(name.to_owned())
}

/// The key of a label: a name, with or without a prefix.
fn label_key(value: &Written<'_>) -> Result<String, Reported> {
    let help = "Write a key such as \"intersystems.com/mirrorRole\".";
    let key = text(value, help)?;
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let ends = |c: char| c.is_ascii_alphanumeric();
    let is_name = |name: &str, longest: usize, more: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        name.len() <= longest && name.chars().all(fits) && name.starts_with(ends) && name.ends_with(ends)
    };
    if !is_name(name, LABEL_NAME, "-_.") || !prefix.is_none_or(|prefix| is_name(prefix, DNS_NAME, "-.")) {
        return Err(value.refuse(format!("{} cannot be the key of a label", quoted(key)), help));
    }
    Ok(key.to_owned())
}
