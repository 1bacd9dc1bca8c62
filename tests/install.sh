# Installs what tests and benchmarks need from elsewhere. Sourced by tests/run and tests/bench/run, in the
# project's directory; `step` is theirs.

# Debian packages, when the user may install them; each argument is PROGRAM=PACKAGE.
install_packages() {
    local missing=() pair
    for pair in "$@"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    # Debian's Python comes without the part that installs pip into an environment.
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    [ ${#missing[@]} -eq 0 ] && return
    local sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
    if ! command -v apt-get >/dev/null; then
        echo "$0: please install: ${missing[*]}" >&2
        exit 69
    fi
    step "installing ${missing[*]}"
    "${sudo[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Clients and a server of AWS that nobody here wrote, in an environment of their own. It is made anew when
# what is required changes.
install_python() {
    local environment=tests/.venv
    cmp -s tests/requirements.txt "$environment/installed.txt" && return
    step "installing boto3, the AWS command line and moto"
    rm -rf "$environment"
    python3 -m venv "$environment"
    # By its module: the script names the path that the environment was made under.
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
    cp tests/requirements.txt "$environment/installed.txt"
}

# Where cargo-deny has its advisories from.
ADVISORIES=https://github.com/RustSec/advisory-db

# The tool that checks dependencies, in CI and only where its advisories answer: it takes minutes to build.
install_cargo_deny() {
    cargo deny --version >/dev/null 2>&1 && return
    [ -n "${CI:-}" ] || return 0
    GIT_TERMINAL_PROMPT=0 timeout 20 git ls-remote --quiet "$ADVISORIES" HEAD >/dev/null 2>&1 || return 0
    step "installing cargo-deny"
    cargo install --locked --quiet cargo-deny
}
