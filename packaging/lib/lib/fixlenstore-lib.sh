# shellcheck shell=sh
# The store of alerts that the server has not got yet. See common/common.sh.
. common/common.sh

# fixlenstore_put RECORD: an alert as JSON. What is none is offered to the server all the same, which refuses it.
fixlenstore_put() { _vedette_call put "$@"; }

# fixlenstore_count: how many there are.
fixlenstore_count() { _vedette_call count "$@"; }

# keys_nolock: their numbers, one a line, oldest first.
keys_nolock() { _vedette_call keys "$@"; }
