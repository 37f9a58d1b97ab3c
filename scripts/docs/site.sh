#!/bin/sh
# Builds the documentation as web pages. A warning is an error: a link or an anchor that leads nowhere, a page that is not
# in the sidebar. Usage: site.sh [SOURCE [OUTPUT]]; without them, this tree is built into .cache/docs-site/.
set -eu
cd "$(dirname "$0")/../.."
source=${1:-.}
output=${2:-.cache/docs-site}
tools=$(scripts/more_tools.sh docs)
"$tools/sphinx-build" --quiet --fail-on-warning --keep-going --builder html --conf-dir scripts/docs \
    --doctree-dir "$output/.doctrees" "$source" "$output"
cp "$output/README.html" "$output/index.html" # what a web server shows for the folder
echo "docs: $output/index.html"
