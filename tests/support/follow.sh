# shellcheck shell=bash
# Follows docs/operations.md: a chapter's commands, as they stand there, on a copy of this machine that is thrown away.
# Sourced behind lib.sh.
#
# The copy is an overlay over / in a mount namespace of its own, so that what is installed, and users that are made,
# are gone with it. `sudo` and `systemctl` are stand-ins there: systemctl starts what the installed unit says, as its
# user, without systemd's own part (service_test.sh has that).

# follow_start: makes the copy; false where this machine does not allow it. Commands: follow_run, as root in $TOP.
follow_start() {
    [ "$(id -u)" -eq 0 ] && unshare --mount true 2>/dev/null || return 1
    mkdir -p "$T/copy" "$T/follow"
    # shellcheck disable=SC2016 # its own arguments
    unshare --mount --propagation private bash -c '
        mount -t tmpfs tmpfs "$1" && mkdir "$1"/up "$1"/work "$1"/root || exit 1
        mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root" || exit 1
        for each in proc dev; do mount --rbind "/$each" "$1/root/$each"; done
        : >"$2/ready"; exec sleep 3600' _ "$T/copy" "$T/follow" >"$T/follow/mount.log" 2>&1 &
    FOLLOW_PID=$!
    LOAD_PID="$LOAD_PID $FOLLOW_PID"
    wait_for 10 "a copy of the machine" follow_ready || return 1
    [ -e "$T/follow/ready" ] || return 1
    follow_tools
}
follow_ready() { [ -e "$T/follow/ready" ] || ! kill -0 "$FOLLOW_PID"; }

# follow_run [COMMAND]: there, else what is on standard input.
follow_run() {
    nsenter --mount --target "$FOLLOW_PID" chroot "$T/copy/root" bash -ec "cd '$TOP'; ${1:-$(cat)}"
}

follow_tools() {
    follow_run 'cat >/usr/local/bin/sudo; chmod 755 /usr/local/bin/sudo' <<'SH'
#!/bin/bash
if [ "$1" = -u ]; then user=$2; shift 2; exec runuser -u "$user" -- "$@"; fi
exec "$@"
SH
    follow_run 'cat >/usr/local/bin/systemctl; chmod 755 /usr/local/bin/systemctl' <<'SH'
#!/bin/bash
unit=/etc/systemd/system/pgrekey.service
of() { sed -n "s/^$1=//p" $unit | head -n 1; }
pid() { cat /run/pgrekey.pid 2>/dev/null; }
case "$*" in
daemon-reload) test -f $unit ;;
"start pgrekey" | "enable --now pgrekey")
    command=$(of ExecStart)
    runuser -u "$(of User)" -- setsid bash -c "echo \$\$; exec $command" >/run/pgrekey.pid 2>>/run/pgrekey.log </dev/null &
    for _ in $(seq 1 50); do [ -n "$(pid)" ] && exit 0; sleep 0.1; done; exit 1 ;;
"stop pgrekey" | "disable --now pgrekey")
    [ -n "$(pid)" ] || exit 0
    kill -TERM "$(pid)" 2>/dev/null
    for _ in $(seq 1 600); do kill -0 "$(pid)" 2>/dev/null || { rm -f /run/pgrekey.pid; exit 0; }; sleep 0.1; done; exit 1 ;;
"reload pgrekey") kill -HUP "$(pid)" ;;
"status pgrekey") kill -0 "$(pid)" ;;
*) echo "systemctl: what is $*?" >&2; exit 1 ;;
esac
SH
}

# The service that was started there ends with the test, however that ends.
follow_service() { LOAD_PID="$LOAD_PID $(follow_run 'cat /run/pgrekey.pid')"; }

# block CHAPTER N: the N-th block of commands of a chapter of docs/operations.md, without comments.
block() {
    awk -v chapter="## $1" -v n="$2" '/^## / { here = $0 == chapter; count = 0; inside = 0 }
        here && /^    / { count += !inside; inside = 1; if (count == n) { sub(/^    /, ""); sub(/ +# .*/, ""); print } next }
        /./ { inside = 0 }' "$TOP/docs/operations.md"
}
