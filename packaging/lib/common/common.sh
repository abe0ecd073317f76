# shellcheck shell=sh
# Part of the monitor's shell library, for the programs of your own subsystems and for scripts. The monitor runs such a
# program in /usr/share/mender-monitor, with the variables of its check; a script goes there first:
#
#     cd /usr/share/mender-monitor && . lib/monitor-lib.sh
#
# Plain sh. Every name of its own begins with _vedette_ and every file may be sourced alone, or twice.

command -v _vedette_call >/dev/null 2>&1 && return 0

# Below a root of its own (mender-monitord --root DIR) the library lies below it too.
case "${MENDER_MONITOR_ROOT-}:$PWD" in
    :/?*/usr/share/mender-monitor)
        MENDER_MONITOR_ROOT=${PWD%/usr/share/mender-monitor}
        export MENDER_MONITOR_ROOT
        ;;
esac

# _vedette_call FUNCTION [ARGUMENT...]: on standard input arguments may hold any byte, and nobody else sees them.
_vedette_call() {
    _vedette_function=$1
    shift
    if [ "$#" -gt 0 ]; then
        printf '%s\000' "$@"
    fi | "${MENDER_MONITORCTL:-mender-monitorctl}" library "$_vedette_function"
}

if [ -z "${CONFIG_LOG_LEVEL-}" ]; then
    CONFIG_LOG_LEVEL=$(sed -n "s/^CONFIG_LOG_LEVEL=[\"']\{0,1\}\([A-Za-z]*\).*/\1/p" config/config.sh 2>/dev/null | tail -n 1)
fi

# log_LEVEL WORD...: to standard error, which is the monitor's log when the monitor runs the program.
log_fatal() { _vedette_log 0 FATAL "$*"; }
log_error() { _vedette_log 1 ERROR "$*"; }
log_warn() { _vedette_log 2 WARN "$*"; }
log_info() { _vedette_log 3 INFO "$*"; }
log_debug() { _vedette_log 4 DEBUG "$*"; }
log_trace() { _vedette_log 5 TRACE "$*"; }

_vedette_log() {
    case ${CONFIG_LOG_LEVEL:-INFO} in
        FATAL | fatal) _vedette_level=0 ;;
        ERROR | error) _vedette_level=1 ;;
        WARN | warn) _vedette_level=2 ;;
        DEBUG | debug) _vedette_level=4 ;;
        TRACE | trace) _vedette_level=5 ;;
        *) _vedette_level=3 ;;
    esac
    if [ "$1" -le "$_vedette_level" ]; then
        printf '%s %s\n' "$2" "$3" >&2
    fi
}
