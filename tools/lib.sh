# Shell functions shared by the scripts in this folder; sourced, not run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck disable=SC2034 # the sourcing scripts use it
cache=$root/.cache
umask 022

say() { printf '==> %s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
    exit 1
}

# need PROGRAM WHAT-TO-DO …: in pairs; lists all that is missing, then stops.
need() {
    local missing=0
    while [ $# -gt 1 ]; do
        if ! command -v "$1" >/dev/null 2>&1; then
            printf 'missing: %s (%s)\n' "$1" "$2" >&2
            missing=1
        fi
        shift 2
    done
    [ "$missing" -eq 0 ] || die "some programs are missing, see above"
}

need_rust() {
    need cargo "install Rust by rustup, then open a new shell" cc "a C compiler and linker: apt install gcc libc6-dev"
}

# PostgreSQL refuses to run as root: root drops to this user for all that is the server's.
server_user() {
    if [ "$(id -u)" -ne 0 ]; then
        id -un
    elif id postgres >/dev/null 2>&1; then
        echo postgres
    else
        echo nobody
    fi
}

# as_server COMMAND …: runs it as that user, in a directory that everybody can read.
as_server() {
    (
        cd /
        if [ "$(id -u)" -ne 0 ]; then
            exec "$@"
        fi
        user=$(server_user)
        exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups -- "$@"
    )
}

# sha NAME: some characters that stand for a text, for the names of files and folders.
sha() { printf '%s' "$1" | sha256sum | cut -c1-8; }

# pip_download REQUIREMENT DIR: one wheel and nothing else, from the index that pip is configured for.
pip_download() {
    python3 -m pip --version >/dev/null 2>&1 ||
        die "python3 has no pip, which fetches $1" "apt install python3-pip, or python3 -m ensurepip"
    python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$2" "$1" >&2 ||
        die "pip could not fetch $1" "is there a network, and a wheel for this machine ($(uname -sm))?"
}

# unzip_wheel DIR: unpacks the wheel that lies in DIR there, and removes it.
unzip_wheel() {
    local wheel
    wheel=$(find "$1" -maxdepth 1 -name '*.whl' -print -quit)
    [ -n "$wheel" ] || die "no wheel in $1"
    python3 -m zipfile -e "$wheel" "$1"
    rm -f "$wheel"
}

# debian_package NAME VERSION DIR: unpacks one of Debian's packages in DIR/root, in that version if it is to be had (empty:
# whichever); the system is not changed.
debian_package() {
    local package=$1 version=$2 work=$3/apt
    need apt-get "$package has to be installed by hand" dpkg "part of Debian"
    mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
    local private=(-o "Dir::State=$work/state" -o Dir::State::status=/var/lib/dpkg/status -o "Dir::Cache=$work/cache"
        -o APT::Sandbox::User=root)
    fetch_package() (
        cd "$work"
        { [ -n "$version" ] && apt-get -qq "$@" download "$package=$version" 2>/dev/null; } || apt-get -qq "$@" download "$package"
    )
    if ! fetch_package -o APT::Sandbox::User=root >/dev/null 2>&1; then
        say "no package lists: fetching them into a private folder"
        # What the machine's hooks have to say after an update concerns its own folders.
        apt-get -qq "${private[@]}" update >"$work/log" 2>&1 || say "some package lists could not be fetched, going on"
        fetch_package "${private[@]}" >>"$work/log" 2>&1 || {
            cat "$work/log" >&2
            return 1
        }
    fi
    dpkg -x "$work/$package"_*.deb "$3/root"
    rm -rf "$work"
}

# has_headers PG_CONFIG: whether one can build against its server.
has_headers() { [ -f "$("$1" --includedir-server)/postgres.h" ]; }

# headers_package MAJOR DIR: unpacks Debian's postgresql-server-dev-MAJOR in DIR/headers; the system is not changed.
headers_package() {
    local package=postgresql-server-dev-$1 version
    version=$(dpkg-query -W -f '${Version}' "postgresql-$1" 2>/dev/null || true)
    say "fetching the headers: $package (unpacked, not installed)"
    debian_package "$package" "$version" "$2" ||
        die "the headers of PostgreSQL $1 are missing and apt-get cannot fetch $package" "apt install $package"
    mv "$2/root" "$2/headers"
}

# The system's server with headers that has the highest version, if any.
system_server() {
    local candidate found='' version best=0
    for candidate in "$(command -v pg_config || true)" /usr/lib/postgresql/*/bin/pg_config; do
        [ -x "$candidate" ] && has_headers "$candidate" && [ -x "$("$candidate" --bindir)/initdb" ] || continue
        version=$("$candidate" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
        if [ "$version" -ge 14 ] && [ "$version" -le 18 ] && [ "$version" -gt "$best" ]; then
            best=$version found=$candidate
        fi
    done
    printf '%s\n' "$found"
}

# resolve_server SERVER: what auto stands for: $PG_CONFIG, else the system's server if it has headers, else 18.
resolve_server() {
    local which=$1
    if [ "$which" = auto ]; then
        which=${PG_CONFIG:-$(system_server)}
        which=${which:-18}
    fi
    printf '%s\n' "$which"
}
