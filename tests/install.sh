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
    "$environment/bin/pip" install --quiet --disable-pip-version-check --requirement tests/requirements.txt
    cp tests/requirements.txt "$environment/installed.txt"
}
