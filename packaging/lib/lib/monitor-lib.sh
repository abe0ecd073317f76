# shellcheck shell=sh
# Alerts and the log: what most programs need. See common/common.sh.
. common/common.sh
. lib/alert-lib.sh
