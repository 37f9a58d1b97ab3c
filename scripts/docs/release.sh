#!/bin/sh
# Makes a release of what is in changelogs/fragments: `make release VERSION=1.2.0`. It writes the version wherever it
# stands, moves the fragments into changelogs/changelog.yaml, and CHANGELOG.md with them; you commit, tag and build.
set -eu
cd "$(dirname "$0")/../.."
version=$1

fail() {
    printf 'release: %s\n' "$1" >&2
    exit 1
}

echo "$version" | grep -Eqx '[0-9]+\.[0-9]+\.[0-9]+' || fail "Say which version: make release VERSION=1.2.0"
present=$(sed -n 's/^version: //p' galaxy.yml)
[ "$version" != "$present" ] && [ "$(printf '%s\n' "$present" "$version" | sort -V | tail -n 1)" = "$version" ] ||
    fail "$version is not newer than $present"
ls changelogs/fragments/*.y*ml >/dev/null 2>&1 || fail "There is nothing in changelogs/fragments (CONTRIBUTING.md)"
tools=$(scripts/more_tools.sh docs)
# By the link: antsibull-changelog looks for plugins in a folder that is named as a collection's is.
changelog() { (cd collections/ansible_collections/channels/stack && PATH="$PATH:$tools" antsibull-changelog "$@"); }
changelog lint
replace() { sed "$1" "$2" >"$2.new" && cat "$2.new" >"$2" && rm "$2.new"; }
replace "s/^version: .*/version: $version/" galaxy.yml
replace "s/^version = .*/version = \"$version\"/" pyproject.toml
replace "s/channels-stack-[0-9.]*[0-9]\.tar\.gz/channels-stack-$version.tar.gz/" README.md
changelog release --version "$version"
echo "release: $version is written. If \`git diff\` and \`make test\` are good:"
echo "  git add --all && git commit --message 'Release $version' && git tag --annotate v$version --message 'Release $version'"
echo "  ansible-galaxy collection build"
