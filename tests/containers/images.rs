//! Stand-ins under the names of the images that the Dockerfiles and compose files expect.

use std::path::Path;
use std::process::Command;

use crate::support::docker::{Docker, Root, output_of, repository, which};

/// What the image of Rust has: `cargo`, which checks that it is called as the Dockerfile should, for all that is
/// needed and nothing else.
const CARGO: &str = r#"#!/bin/sh
set -e
[ "$*" = "build --release --locked --no-default-features" ]
[ -f Cargo.toml ] && [ -f Cargo.lock ] && [ -f src/main.rs ] && [ -f src/lib.rs ] && [ -f docs/runbook/states.md ]
[ "$(ls -A | tr '\n' ' ')" = "Cargo.lock Cargo.toml docs src " ]
mkdir -p target/release
cp /binary target/release/mirrorvip
"#;

/// What matters of `iris-main`: it calls the hook `--after`, waits until the hook and everything that holds its
/// output have ended, says that the instance is up, and runs until it is stopped. The instance's directory
/// `/instance` is the test's; its web server serves the line of `iris qlist`, for the stand-in of the gateway.
const IRIS_MAIN: &str = r#"#!/bin/sh
trap 'exit 0' TERM INT
while [ $# -gt 0 ]; do
    case $1 in
        --after) after=$2; shift 2 ;;
        *) echo "iris-main: unknown option $1" >&2; exit 1 ;;
    esac
done
mkdir -p "$ISC_DATA_DIRECTORY/mgr"
ln -sf /instance/messages.log "$ISC_DATA_DIRECTORY/mgr/messages.log"
httpd -p 52773 -h /instance
if [ -n "$after" ]; then output=$(sh -c "$after" 2>&1) || { echo "hook failed: $output"; exit 1; }; fi
echo "instance is up $output"
while :; do sleep 1 & wait $!; done
"#;

/// The status page of a Web Gateway: it asks the instance over the network that it shares with it.
const GATEWAY: &str = "\
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
backend instance
    option httpchk GET /qlist
    http-check expect rstring Failover\\^Primary
    server iris iris:52773 check inter 100ms
frontend web
    bind :80
    http-request return status 200 content-type text/plain string SUCCESS if { nbsrv(instance) gt 0 }
    http-request return status 503 content-type text/plain string FAILED
";

/// User of the instance in InterSystems' images.
const IRIS_OWNER: u32 = 51_773;

pub(crate) const MIRRORVIP: &str = "mirrorvip";
pub(crate) const HAPROXY: &str = "haproxy";

/// Builds the image by its Dockerfile, unchanged.
pub(crate) fn build_mirrorvip(docker: &Docker) {
    // Without what only a debugger reads, which is nine tenths.
    let stripped = tempfile::NamedTempFile::new().expect("a temporary file");
    let binary = Path::new(env!("CARGO_BIN_EXE_mirrorvip"));
    output_of(Command::new("objcopy").arg("--strip-debug").arg(binary).arg(stripped.path()));

    let rust = Root::with_shell();
    rust.write("usr/local/bin/cargo", CARGO);
    rust.copy(stripped.path(), "binary");
    rust.write("usr/bin/env", "");
    docker.import(&rust, "rust:1.95-alpine", &["ENV PATH=/usr/local/bin:/usr/bin:/bin"]);

    let distroless = Root::new();
    distroless.write("etc/passwd", "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n");
    distroless.copy_libraries_of(binary);
    docker.import(&distroless, "gcr.io/distroless/static-debian12:nonroot", &["USER 0"]);

    docker.run(&["build", "--tag", MIRRORVIP, &repository("").to_string_lossy()]);
}

/// The images of IRIS, with mirrorvip in it, of the Web Gateway, and of HAProxy.
pub(crate) fn make_others(docker: &Docker) {
    let haproxy = which("haproxy");
    let root = Root::with_shell();
    root.copy(&haproxy, "usr/bin/haproxy");
    root.copy_libraries_of(&haproxy);
    root.write("gateway.cfg", GATEWAY);
    docker.import(&root, HAPROXY, &[]);
    let gateway = r#"ENTRYPOINT ["haproxy", "-f", "/gateway.cfg"]"#;
    docker.import(&root, "containers.intersystems.com/intersystems/webgateway:2025.1", &[gateway]);

    let iris = Root::with_shell();
    iris.write("iris-main", IRIS_MAIN);
    iris.write("usr/bin/iris", "#!/bin/sh\nexec /instance/iris \"$@\"\n");
    iris.make_directory("durable", 0o755);
    iris.owned_by("durable", IRIS_OWNER);
    iris.copy_libraries_of(Path::new(env!("CARGO_BIN_EXE_mirrorvip")));
    let settings = [r#"ENTRYPOINT ["/iris-main"]"#, "USER 51773", "ENV PATH=/usr/local/bin:/usr/bin:/bin"];
    docker.import(&iris, "containers.intersystems.com/intersystems/iris:2025.1", &settings);
    let context = repository("config/docker/inside-iris");
    docker.run(&["build", "--tag", "iris-mirrorvip", &context.to_string_lossy()]);
}
