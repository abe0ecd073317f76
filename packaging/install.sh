#!/bin/sh
# Installs Vedette from this source tree on a machine with Python 3.11 and systemd, or brings it up to date:
#
#     sudo packaging/install.sh device     the monitor: mender-monitord, mender-monitorctl, mender-monitor.service
#     sudo packaging/install.sh server     the management server: vedette, vedette.service
#
# Environment:
#     PYTHON       the interpreter; python3
#     PREFIX       where the programs live, in a virtual environment of their own; /opt/vedette
#     VEDETTE_BIN  take the programs from this directory, installed there by other means, and make no environment
#     DESTDIR      put files below this directory, as for the image of a device, and start nothing; needs VEDETTE_BIN
#
# What was edited on the machine stays: config.sh, checks, /etc/default/vedette.
set -eu

fail() { echo "install.sh: $1" >&2; exit 1; }

case "$#:${1-}" in
    1:device) commands='mender-monitord mender-monitorctl' unit=mender-monitor extra='' start=/usr/bin/mender-monitord ;;
    1:server) commands='vedette' unit=vedette extra='[server,cli]' start='/usr/bin/vedette server' ;;
    *) echo "usage: packaging/install.sh device|server" >&2; exit 2 ;;
esac
source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
root=${DESTDIR:-}
bin=${VEDETTE_BIN:-}

if [ -n "$root" ]; then
    [ -n "$bin" ] || fail "DESTDIR needs VEDETTE_BIN, the directory on the device where the programs will be"
    mkdir -p "$root" || fail "$root cannot be made"
elif [ "$(id -u)" != 0 ]; then
    fail "must run as root"
fi

if [ -z "$bin" ]; then
    python=${PYTHON:-python3}
    prefix=${PREFIX:-/opt/vedette}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$python is missing or older than Python 3.11"
    "$python" -m venv "$prefix" || fail "no virtual environment in $prefix (on Debian: apt install python3-venv)"
    # From a copy: a build leaves files behind, and these would be root's in somebody's clone.
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    cp -R "$source/pyproject.toml" "$source/README.md" "$source/LICENSE" "$source/src" "$copy"
    # The fast engine only where it comes ready-made: to compile it takes longer than anybody waits.
    if [ "$unit" = mender-monitor ] &&
        "$prefix/bin/python" -m pip install --quiet --upgrade --only-binary hyperscan "$copy[fast]" 2>/dev/null; then :
    else
        "$prefix/bin/python" -m pip install --quiet --upgrade "$copy$extra" || fail "the programs cannot be installed"
    fi
    bin=$prefix/bin
fi

install -d "$root/usr/bin" "$root/etc/systemd/system"
for command in $commands; do
    ln -sfn "$bin/$command" "$root/usr/bin/$command"
done
install -m 644 "$source/packaging/systemd/$unit.service" "$root/etc/systemd/system/$unit.service"

if [ "$unit" = mender-monitor ]; then
    install -d "$root/etc/mender-monitor/monitor.d/available" "$root/etc/mender-monitor/monitor.d/enabled" \
        "$root/usr/share/mender-monitor/config"
    install -d -m 700 "$root/var/lib/mender-monitor"
    for file in common/common.sh lib/alert-lib.sh lib/fixlenstore-lib.sh lib/monitor-lib.sh lib/subsystem-storage-lib.sh; do
        install -D -m 644 "$source/packaging/lib/$file" "$root/usr/share/mender-monitor/$file"
    done
    install -D -m 755 "$source/packaging/mender-configure/vedette" \
        "$root/usr/lib/mender-configure/apply-device-config.d/vedette"
    install -D -m 755 "$source/packaging/examples/pid-change" "$root/usr/share/mender-monitor/examples/pid-change"
    config=$root/usr/share/mender-monitor/config/config.sh
    [ -e "$config" ] || install -m 644 "$source/packaging/config/config.sh" "$config"
fi

if [ -z "$root" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable --quiet "$unit"
    systemctl restart "$unit"
    echo "$unit is running; its log: journalctl -u $unit"
elif [ -z "$root" ]; then
    echo "installed; systemd does not run here, so start it yourself: $start"
fi
