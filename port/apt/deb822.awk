# From a deb822 apt file, the stanzas of this machine's own release as deb-src of another suite.
# names: suites that count as this release; suite: the wanted one.
function field(name, line) {
    return tolower(line) ~ ("^" name ":")
}
function value(line) {
    sub(/^[^:]*:[ \t]*/, "", line)
    return line
}
function ours(suites, i, n, have) {
    n = split(suites, have, /[ \t]+/)
    for (i = 1; i <= n; i++)
        if (have[i] != "" && index(" " names " ", " " have[i] " "))
            return 1
    return 0
}
function flush_stanza() {
    if (binary && enabled && ours(suites))
        printf "Types: deb-src\nSuites: %s\nComponents: main%s\n%s\n", suite,
            components ~ /universe/ || uris ~ /ubuntu/ ? " universe" : "", kept
    binary = 0
    enabled = 1
    suites = components = uris = kept = ""
}
BEGIN { enabled = 1 }
/^[ \t]*$/ { flush_stanza(); next }
/^#/ { next }
/^[ \t]/ {
    if (keeping)
        kept = kept $0 "\n"
    else if (in_suites)
        suites = suites " " $0
    next
}
{
    keeping = field("uris", $0) || field("signed-by", $0) || field("trusted", $0)
    in_suites = field("suites", $0)
    if (keeping)
        kept = kept $0 "\n"
    if (field("uris", $0))
        uris = value($0)
    if (in_suites)
        suites = value($0)
    if (field("components", $0))
        components = value($0)
    if (field("types", $0))
        binary = (" " value($0) " ") ~ / deb /
    if (field("enabled", $0))
        enabled = tolower(value($0)) !~ /^(no|false|0)/
}
END { flush_stanza() }
