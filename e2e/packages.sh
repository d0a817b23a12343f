#!/bin/sh
# Installs the programs that the tests start, with apt, and says which. Nothing
# is done when all are there.
set -eu

command -v go >/dev/null || { echo "make test needs Go 1.26 or newer: https://go.dev/dl" >&2; exit 1; }

# program:package; daemons are in /usr/sbin, which is not on everybody's path.
PATH=$PATH:/usr/sbin:/sbin
missing=
for pair in curl:curl nginx:nginx-light htpasswd:apache2-utils prometheus:prometheus promtool:prometheus buildah:buildah gcc:gcc; do
	command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
done
# The race detector links against the C library.
test -e /usr/include/stdlib.h || missing="$missing libc6-dev"
test -n "$missing" || exit 0

echo "the tests need programs that are not installed; apt-get installs:$missing"
run=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "not root and no sudo: run apt-get install$missing yourself" >&2; exit 1; }
	run=sudo
fi
# The tests start these programs themselves, on free ports. As services they
# are not wanted, and port 80 may be somebody's.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' | $run tee $policy >/dev/null
	$run chmod +x $policy
	trap '$run rm -f $policy' EXIT
fi
$run apt-get update -qq
# shellcheck disable=SC2086 — a list of words
$run env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
