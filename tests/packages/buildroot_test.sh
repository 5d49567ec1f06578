#!/bin/sh
# The init script for Buildroot, with paths of a directory here and a program that stands for the server:
# under BusyBox's shell where that is there, else under this machine's.
set -u
. tests/lib/cases
WORK=${WORK:-${BUILD:-build}/work/buildroot_test}
mkdir -p "$WORK"
WORK=$(cd "$WORK" && pwd)
package=packages/buildroot/package/postern
shell=/bin/sh
command -v busybox >/dev/null && shell="$(command -v busybox) sh"
script=$WORK/S60postern
sed -e "1s|.*|#!$shell|" -e "s|^CONF=.*|CONF=$WORK/conf|" -e "s|^PROGRAM=.*|PROGRAM=$WORK/program|" \
    -e "s|^PIDFILE=.*|PIDFILE=$WORK/pid|" -e 's/^PAUSE_S=.*/PAUSE_S=1/' "$package/S60postern" >"$script"
chmod 755 "$script"
# Takes two seconds to end, and must never run twice.
cat >"$WORK/program" <<PROGRAM
#!/bin/sh
[ "\$1" != check ] || exec test ! -f "$WORK/wrong"
[ ! -f "$WORK/exits" ] || { echo x >>"$WORK/starts"; exit "\$(cat "$WORK/exits")"; }
mkdir "$WORK/lock" || exit 75
echo x >>"$WORK/starts"
trap 'sleep 2; rmdir "$WORK/lock"; exit 0' TERM
trap 'echo x >>"$WORK/reloads"' HUP
while :; do sleep 0.1; done
PROGRAM
chmod 755 "$WORK/program"

fresh() {
    rm -rf "$WORK/lock" "$WORK/starts" "$WORK/reloads" "$WORK/exits" "$WORK/wrong" "$WORK/pid"
    : >"$WORK/conf"
}
until_there() { # file, lines
    tries=0
    until [ -f "$1" ] && [ "$(wc -l <"$1")" -ge "$2" ]; do
        tries=$((tries + 1))
        [ $tries -lt 80 ] || return 1
        sleep 0.1
    done
}
its_options_are_right() { "${POSTERN:-build/host/postern}" check -c "$package/postern.conf"; }
starts_and_stops() {
    fresh
    "$script" start | grep OK && until_there "$WORK/starts" 1 && "$script" start | grep already &&
        "$script" reload && until_there "$WORK/reloads" 1 && "$script" stop | grep OK &&
        [ ! -d "$WORK/lock" ] && [ ! -f "$WORK/pid" ] && [ "$(wc -l <"$WORK/starts")" -eq 1 ]
}
restart_waits_for_the_end() {
    fresh
    "$script" start && until_there "$WORK/starts" 1 && "$script" restart && until_there "$WORK/starts" 2 &&
        sleep 0.5 && [ -d "$WORK/lock" ] && "$script" stop && [ "$(wc -l <"$WORK/starts")" -eq 2 ]
}
is_started_again() {
    fresh
    echo 74 >"$WORK/exits"
    "$script" start && until_there "$WORK/starts" 2 && "$script" stop &&
        sleep 1.5 && [ "$(wc -l <"$WORK/starts")" -le 3 ]
}
mistakes_end_it() {
    fresh
    echo 78 >"$WORK/exits"
    "$script" start && until_there "$WORK/starts" 1 && sleep 1.5 && [ "$(wc -l <"$WORK/starts")" -eq 1 ] &&
        [ ! -f "$WORK/pid" ] && : >"$WORK/wrong" && ! "$script" start
}

check "its options are right" its_options_are_right
check "starts, reloads and stops" starts_and_stops
check "a restart waits until the old server has ended" restart_waits_for_the_end
check "is started again when it ends" is_started_again
check "a mistake in the options ends it" mistakes_end_it
finish
