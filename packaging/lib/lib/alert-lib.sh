# shellcheck shell=sh
# Alerts of your own. See common/common.sh.
. common/common.sh

# monitor_send_alert LEVEL NAME DETAILS SUBJECT_NAME SUBJECT_STATUS SUBJECT_TYPE
#                    [PATTERN FILE LINES_BEFORE LINE_MATCHING LINES_AFTER]
#
# Stores an alert, to be sent as soon as the server can be reached. LEVEL is OK or CRITICAL. An OK of the same subject
# (SUBJECT_TYPE and SUBJECT_NAME) closes what a CRITICAL opened. Fails when it could not be stored.
monitor_send_alert() { _vedette_call send-alert "$@"; }
