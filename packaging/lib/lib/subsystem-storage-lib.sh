# shellcheck shell=sh
# What a subsystem wants to know again at its next run; survives a reboot. See common/common.sh.
. common/common.sh

# subsystem_get SUBSYSTEM KEY: prints the value, or nothing.
subsystem_get() { _vedette_call get "$@"; }

# subsystem_set SUBSYSTEM KEY VALUE
subsystem_set() { _vedette_call set "$@"; }
