# From a one-line apt file, the entries of this machine's own release as deb-src of another suite.
# names: suites that count as this release; suite: the wanted one.
$1 == "deb" {
    i = 2
    signed = trusted = ""
    if ($i ~ /^\[/) {
        for (; i <= NF; i++) {
            word = $i
            gsub(/[][]/, "", word)
            if (word ~ /^signed-by=/)
                signed = substr(word, 11)
            if (word ~ /^trusted=/)
                trusted = substr(word, 9)
            if ($i ~ /\]$/)
                break
        }
        i++
    }
    uri = $i
    if (!index(" " names " ", " " $(i + 1) " ") || seen[uri]++)
        next
    printf "Types: deb-src\nSuites: %s\nComponents: main%s\nURIs: %s\n", suite,
        uri ~ /ubuntu/ || $0 ~ / universe/ ? " universe" : "", uri
    if (signed != "")
        printf "Signed-By: %s\n", signed
    if (trusted != "")
        printf "Trusted: %s\n", trusted
    print ""
}
