#!/bin/sh
# What must be there before any Python of this project can run.
#
#   bootstrap.sh python            name a missing Python or venv, change nothing
#   bootstrap.sh venv              the above, then .venv with what requirements.txt pins
#   bootstrap.sh packages NAME...  the Debian packages that the tests need: installed by root, named for anybody else
#
# SYSTEM_PYTHON, the distribution's, is taken if it will do, else the first on the PATH that does. A distribution builds
# its Python with profile-guided optimization, which one that was built on the machine mostly lacks: a tenth of the speed.
#
# Exit 2: something is missing, and the line that brings it was printed; nothing was changed.
set -eu
cd "$(dirname "$0")/.."

needs() {
    echo "$1" >&2
    echo "On Debian or Ubuntu:  $2" >&2
    exit 2
}

# The first Python that runs all of these lines.
find_python() {
    for name in "${SYSTEM_PYTHON:-/usr/bin/python3}" python3 python3.14 python3.13 python3.12 python3.11; do
        fits=yes
        for line in "$@"; do
            "$name" -c "$line" 2>/dev/null || fits=no
        done
        [ $fits = no ] || { echo "$name" && return; }
    done
}

check_python() {
    is_new='import sys; sys.exit(sys.version_info < (3, 11))'
    # Debian ships the module venv without what it needs to put pip into a new environment.
    python=$(find_python "$is_new" 'import venv, ensurepip')
    [ -z "$python" ] || return 0
    python=$(find_python "$is_new")
    [ -n "$python" ] || needs "txstore needs Python 3.11 or newer." "apt-get install python3 python3-venv"
    needs "txstore needs the venv module of $python." "apt-get install python3-venv"
}

wanted_state() {
    .venv/bin/python -V
    cat requirements.txt
}

make_venv() {
    check_python
    # An environment that was moved, or whose Python is gone, does not run: it is made anew.
    if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        echo "Making .venv with $("$python" -V)"
        "$python" -m venv --clear .venv
    fi
    # The stamp is written last: an installation that broke off is taken up again.
    if ! wanted_state | cmp -s - .venv/installed; then
        echo "Installing requirements.txt into .venv"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
        wanted_state >.venv/installed
    fi
}

check_packages() {
    missing=""
    for package in "$@"; do
        case "$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null)" in
        "install ok installed") ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    install="apt-get install --no-install-recommends$missing"
    command -v apt-get >/dev/null || needs "The tests need Debian's packages:$missing." "$install"
    [ "$(id -u)" = 0 ] || needs "The tests need packages that only root can install:$missing." "sudo $install"
    install_packages
}

install_packages() {
    # Debian starts a service when it installs it, unless this file forbids it. The tests start their own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    apt-get -o DPkg::Lock::Timeout=300 update
    # shellcheck disable=SC2086  # one word for each package
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing
}

command=$1
shift
case "$command" in
python) check_python ;;
venv) make_venv ;;
packages) check_packages "$@" ;;
*) echo "bootstrap.sh: no such command: $command" >&2 && exit 2 ;;
esac
