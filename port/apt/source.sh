# Source packages of Debian and Ubuntu, from the mirror that this machine's apt uses, through an apt
# configuration of its own: nothing is installed, no root is needed, the machine's lists stay as they
# are. To be sourced by a script that has set apt_here to this directory and work to one of its own
# (absolute), and that has a function pinned VERSION, which prints the SHA-256 that its archive must
# have, or nothing.

# The machine's own binary sources of its own release, turned into deb-src of another suite.
# Both formats are read: deb822 stanzas (*.sources) and one-line entries (*.list).
apt_sources() { # suite
    names="oldstable stable testing unstable sid"
    [ -r /etc/os-release ] && names="$names $(. /etc/os-release && echo "${VERSION_CODENAME-}")"
    etc=${APT_ETC:-/etc/apt}
    for file in "$etc"/sources.list.d/*.sources; do
        [ -f "$file" ] && awk -v names="$names" -v suite="$1" -f "$apt_here/deb822.awk" "$file"
    done
    for file in "$etc"/sources.list "$etc"/sources.list.d/*.list; do
        [ -f "$file" ] && awk -v names="$names" -v suite="$1" -f "$apt_here/oneline.awk" "$file"
    done
    return 0
}

# A mirror that lags behind is good enough: what comes from it is held against the pinned sum.
apt_isolated() { # tool, arguments
    tool=$1
    shift
    "$tool" -q=2 -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/sources" \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" \
        -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=2 \
        -o Acquire::Check-Valid-Until=false -o Acquire::Check-Date=false "$@"
}

# Fills $work/apt with the source package of one of the pinned versions, if this suite has one; its
# version is then in $work/apt/version.
apt_download() { # package, suite
    rm -rf "$work/sources" "$work/lists" "$work/apt"
    mkdir -p "$work/sources" "$work/lists/partial" "$work/cache/archives/partial" "$work/apt"
    apt_sources "$2" >"$work/sources/postern.sources"
    [ -s "$work/sources/postern.sources" ] || return 1
    apt_isolated apt-get update >"$work/log" 2>&1 || return 1
    for version in $(apt_isolated apt-cache showsrc "$1" 2>/dev/null |
        sed -n 's/^Version: \([0-9.]*\)-.*/\1/p' | sort -ru); do
        [ -n "$(pinned "$version")" ] || continue
        package=$(apt_isolated apt-cache showsrc "$1" |
            sed -n "s/^Version: \($version-.*\)/\1/p" | head -n 1)
        (cd "$work/apt" &&
            apt_isolated apt-get source --download-only "$1=$package") >>"$work/log" 2>&1 ||
            continue
        echo "$version" >"$work/apt/version"
        return 0
    done
    return 1
}
