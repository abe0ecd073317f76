# Settings of the monitor: lines NAME=value, read as data and never run. What stands here are the defaults; a line that
# is missing or empty means its default. Change a line by hand, or with sed -i 's/NAME=.*/NAME=value/'. A value with
# blanks goes in quotes. Times are seconds, or numbers with units of s m h d w such as 10m or 1d12h. A line that is
# wrong is reported in the monitor's log, and its setting keeps its default. A change takes effect at once.

# --- Alerts ---

# Level of what checks raise: CRITICAL, WARNING, UNKNOWN or CRITICAL_FLAPPING. The first counts for log and service
# checks where the next two are empty.
DEFAULT_ALERT_LEVEL=CRITICAL
DEFAULT_LOG_ALERT_LEVEL=
DEFAULT_SERVICE_ALERT_LEVEL=
DEFAULT_DBUS_ALERT_LEVEL=CRITICAL

# How long after its last match an alert is called off when its check does not say; 0: when the check is disabled.
DEFAULT_LOG_PATTERN_EXPIRATION_SECONDS=0
DEFAULT_DBUS_ALERT_EXPIRATION_SECONDS=0

# Checks of disk usage, of connectivity and of subsystems of your own look this often, and a look may take this long.
DEFAULT_CHECK_INTERVAL_S=60
DEFAULT_CHECK_TIME_LIMIT_S=30

# Lines of a log sent along with the matching one, at most 1000.
DEFAULT_LOG_LINES_BEFORE=30
DEFAULT_LOG_LINES_AFTER=30

# So many changes of a service within the interval are flapping. Changes are remembered for the last of these three.
FLAPPING_COUNT_THRESHOLD=5
FLAPPING_INTERVAL=120
ALERT_LOG_MAX_AGE=3600

# --- Sending ---

# A path below the management server's URL, or a whole URL.
ALERT_URL=/api/devices/v1/devicemonitor/alert

# While tries fail, waits grow up to the first of these, and are drawn at random so that a fleet does not come back
# at once. 0: waits do not grow, and the second is the longest.
SEND_ALERT_MAX_INTERVAL_S=10m
DEFAULT_ALERT_STORE_RESEND_INTERVAL_S=60

# What is kept while the server cannot be reached. What goes beyond is dropped, counted and reported.
ALERT_OFFLINE_STORE_MAX_COUNT=10000
ALERT_STORE_MAX_RECORD_AGE_S=30d

# How often the enabled checks are reported to the server; changes are reported at once.
CONFPUSH_INTERVAL=10m

# --- Configuration from the server ---

# auto: taken here where no Mender client is installed, which takes it otherwise; on: always taken here; off: never.
CONFIG_DEPLOYMENTS=auto

# How often it is asked for. UpdatePollIntervalSeconds in mender.conf counts more.
CONFIG_DEPLOYMENTS_INTERVAL=10m

# How long one of the programs in /usr/lib/mender-configure/apply-device-config.d may take.
CONFIG_APPLY_TIME_LIMIT=10m

# Run when such a program asks for a reboot (exit code 20), for instance: systemctl reboot. Empty: whoever reboots.
CONFIG_REBOOT_COMMAND=

# --- The monitor itself ---

# FATAL, ERROR, WARN, INFO, DEBUG or TRACE.
CONFIG_LOG_LEVEL=INFO

# Empty: standard error, which is the journal under systemd.
DAEMON_LOG_FILE=

# Where checks are: available/ and enabled/ lie in it.
MONITOR_D_DIRECTORY=/etc/mender-monitor/monitor.d
