#!/bin/sh
# The package for OpenWrt, unpacked into a root; its init script under sh, with stubs of OpenWrt's
# functions and of procd. The program in it is this machine's, so that it can be run.
set -u
. tests/lib/cases
WORK=${WORK:-${BUILD:-build}/work/openwrt_test}
mkdir -p "$WORK"
WORK=$(cd "$WORK" && pwd)
root=$WORK/root
ipk=$(packages/openwrt/build "${POSTERN:-build/host/postern}" 0.1 x86_64 "$WORK") || exit 1

unpack() {
    rm -rf "$root" "$WORK/ipk"
    mkdir -p "$root" "$WORK/ipk"
    tar -xzf "$ipk" -C "$WORK/ipk" && tar -xzf "$WORK/ipk/data.tar.gz" -C "$root" &&
        tar -xzf "$WORK/ipk/control.tar.gz" -C "$WORK/ipk"
}

# What /etc/rc.common and /lib/functions.sh give: config_load reads UCI's form and calls back; what is
# asked of procd is written down.
cat >"$WORK/stubs" <<'STUBS'
config_load() {
    while read -r word name value; do
        value=${value#\'}
        value=${value%\'}
        case $word in
        config) config_cb "$name" "$value" ;;
        option) option_cb "$name" "$value" ;;
        list) list_cb "$name" "$value" ;;
        esac
    done <"$IPKG_INSTROOT/etc/config/$1"
    config_cb "" ""
}
procd_open_instance() { echo open; }
procd_set_param() { echo "set $*"; }
procd_close_instance() { echo close; }
procd_add_reload_trigger() { echo "trigger $*"; }
procd_send_signal() { echo "signal $*"; }
chown() { echo "chown $*"; }
logger() { echo "logger $*"; }
start() { start_service; }
stop() { echo stop; }
pidof() { [ "${RUNS-yes}" = yes ]; }
STUBS

init() { # function of the init script
    IPKG_INSTROOT=$root sh -c '. "$0"; . "$1"; "$2"' "$WORK/stubs" "$root/etc/init.d/postern" "$1"
}
configure() { # lines
    printf '%s\n' "config postern 'main'" "$@" >"$root/etc/config/postern"
}
enabled() {
    configure "option enabled '1'" "list local_interfaces '127.0.0.1'" "list local_interfaces '::1'" \
        "option spool_directory '${SPOOL-$WORK/spool}'" "option maildir '$WORK/mail/\$local_part'" \
        "list local_users 'ann'" "list local_users 'bob'" "$@"
}

has_parts() {
    unpack && [ "$(cat "$WORK/ipk/debian-binary")" = 2.0 ] &&
        [ "$(cat "$WORK/ipk/conffiles")" = /etc/config/postern ] &&
        grep -q '^Package: postern$' "$WORK/ipk/control" && [ -x "$root/usr/sbin/postern" ] &&
        [ -x "$root/etc/init.d/postern" ] && [ -s "$root/lib/upgrade/keep.d/postern" ] && ! tar -tvzf "$WORK/ipk/data.tar.gz" | grep -v ' 0/0 '
}
is_repeatable() {
    cp "$ipk" "$WORK/first" && packages/openwrt/build "${POSTERN:-build/host/postern}" 0.1 x86_64 "$WORK" &&
        cmp "$ipk" "$WORK/first"
}
own_options_are_right() {
    unpack && init write_conf && grep -q '^spool_size = 16M$' "$root/var/etc/postern.conf"
}
# Its scripts call OpenWrt's own functions, which look for the user in the control file.
scripts_call_the_systems() {
    unpack && grep -qx 'Require-User: postern:postern' "$WORK/ipk/control" && mkdir -p "$root/lib" &&
        for name in postinst prerm; do
            printf '%s() { echo "%s $*"; }\n' "default_$name" "default_$name"
        done >"$root/lib/functions.sh" &&
        [ "$(IPKG_INSTROOT=$root "$WORK/ipk/postinst" configure)" = "default_postinst $WORK/ipk/postinst configure" ] &&
        [ "$(IPKG_INSTROOT=$root "$WORK/ipk/prerm" remove)" = "default_prerm $WORK/ipk/prerm remove" ] &&
        rm "$root/lib/functions.sh" && IPKG_INSTROOT=$root "$WORK/ipk/postinst" configure
}
is_off_at_first() { unpack && [ -z "$(init start_service)" ]; }
starts() {
    rm -rf "$WORK/home" && unpack && SPOOL=$WORK/home/queue enabled &&
        out=$(init start_service) && echo "$out" &&
        echo "$out" | grep -qx "set command $root/usr/sbin/postern -c $root/var/etc/postern.conf" &&
        echo "$out" | grep -q "^set respawn" && echo "$out" | grep -qx 'set term_timeout 40' &&
        echo "$out" | grep -qx "chown -h postern:postern $WORK/home" && [ -d "$WORK/home" ]
}
# In a directory that is there, somebody else may have put anything.
touches_nothing_of_the_users() {
    rm -rf "$WORK/home" && mkdir "$WORK/home" "$WORK/elsewhere" && ln -s "$WORK/elsewhere" "$WORK/home/queue" &&
        unpack && SPOOL=$WORK/home/queue enabled && out=$(init start_service) && echo "$out" &&
        echo "$out" | grep -qx open && ! echo "$out" | grep chown
    status=$?
    rm -rf "$WORK/home" "$WORK/elsewhere"
    return $status
}
writes_lists() {
    unpack && enabled && init write_conf && cat "$root/var/etc/postern.conf" &&
        grep -qx 'local_interfaces = <; 127.0.0.1 ; ::1' "$root/var/etc/postern.conf" &&
        grep -qx 'local_users = <; ann ; bob' "$root/var/etc/postern.conf" &&
        ! grep -q enabled "$root/var/etc/postern.conf"
}
writes_lists_of_other_forms() {
    unpack && enabled "list route_list 'example.org lmtp:[::1]:24'" "list route_list '* smtp:relay.example'" \
        "list tls_require_ciphers 'TLS_AES_128_GCM_SHA256'" "list tls_require_ciphers 'TLS_AES_256_GCM_SHA384'" &&
        init write_conf && grep -qx 'route_list = example.org lmtp:\[::1\]:24 ; \* smtp:relay.example' "$root/var/etc/postern.conf"
}
refuses_wrong_options() {
    unpack && enabled "option no_such_option '1'" && ! init start_service 2>"$WORK/errors" >"$WORK/out" &&
        cat "$WORK/out" "$WORK/errors" && grep -q '^logger' "$WORK/out" && ! grep -q '^open' "$WORK/out" &&
        grep -q no_such_option "$WORK/errors"
}
reloads() {
    unpack && enabled && init reload_service | grep -qx 'signal postern \* HUP'
}
# What the option says holds after a reload, and a mistake reaches nothing that a respawn would read.
reload_starts_and_stops() {
    unpack && enabled && RUNS=no init reload_service | grep -qx open && configure "option enabled '0'" &&
        [ "$(init reload_service)" = stop ]
}
mistake_stays_outside() {
    unpack && enabled && init write_conf && enabled "option no_such_option '1'" &&
        ! init reload_service >"$WORK/out" 2>&1 && ! grep -q no_such_option "$root/var/etc/postern.conf"
}
serves() {
    unpack && enabled "option daemon_smtp_ports '0'" && init start_service >"$WORK/out" || return 1
    command=$(sed -n 's/^set command //p' "$WORK/out")
    timeout 10 $command >"$WORK/log" 2>&1 &
    server=$!
    tries=0
    until grep -q 'listen' "$WORK/log" || [ $tries -gt 50 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    cat "$WORK/log"
    kill "$server"
    wait "$server"
    status=$?
    grep -q 'listen' "$WORK/log" && [ "$status" -eq 0 ]
}

check "has its parts, all root's" has_parts
check "is the same each time" is_repeatable
check "its own options are right" own_options_are_right
check "enables, starts and stops itself, with its user" scripts_call_the_systems
check "is off until it is enabled" is_off_at_first
check "starts under procd" starts
check "root leaves alone what is there" touches_nothing_of_the_users
check "lists become lists" writes_lists
check "lists that have another form as well" writes_lists_of_other_forms
check "wrong options are named, and nothing starts" refuses_wrong_options
check "reloads" reloads
check "a reload starts and stops it" reload_starts_and_stops
check "a mistake leaves the options as they were" mistake_stays_outside
check "what procd is told to run serves, and ends in order" serves
finish
