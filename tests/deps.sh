#!/bin/bash
# Install what is missing from Debian: `deps.sh build` what it takes to build
# and run, `deps.sh test` also what the tests use.  Says what it does; through
# sudo when not root; silent when nothing is missing.
set -u
build="gcc libc6-dev make pkg-config libmicrohttpd-dev libjansson-dev libyaml-dev
	libsqlite3-dev libcurl4-openssl-dev libssl-dev libopenblas-openmp-dev
	libdnnl-dev libsystemd-dev zlib1g-dev ca-certificates curl
	dataset-fashion-mnist"
tests="python3-minimal python3 procps util-linux iproute2 systemd jq
	clang libclang-rt-14-dev valgrind bash-completion"

want=$build
[ "${1:-build}" = test ] && want="$build $tests"
missing=
for p in $want; do
	dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' ||
		missing="$missing $p"
done
as_root=
if [ "$(id -u)" != 0 ]; then
	as_root=sudo
fi
if [ -n "$missing" ]; then
	if [ -n "$as_root" ] && ! command -v sudo >/dev/null; then
		echo "deps: missing, and neither root nor sudo to install:$missing" >&2
		exit 1
	fi
	echo "deps: installing from Debian:$missing"
	export DEBIAN_FRONTEND=noninteractive
	$as_root apt-get -q -o Acquire::Retries=3 update >/dev/null || exit 1
	# shellcheck disable=SC2086
	$as_root apt-get -q -y -o Acquire::Retries=3 --no-install-recommends \
	    install $missing >/dev/null || {
		echo "deps: apt-get could not install:$missing" >&2
		exit 1
	}
fi

# promtool checks our /metrics.  Its package would start a Prometheus server,
# so only the one program is unpacked, into the build folder.
if [ "${1:-}" = test ] && [ -n "${2:-}" ] && [ ! -x "$2/promtool" ] &&
    ! command -v promtool >/dev/null; then
	echo "deps: unpacking promtool from Debian's package prometheus"
	mkdir -p "$2"
	tmp=$(mktemp -d)
	chmod 755 "$tmp"
	if (cd "$tmp" && apt-get -q -o APT::Sandbox::User=root \
	    -o Acquire::Retries=3 download prometheus >/dev/null) &&
	    dpkg-deb -x "$tmp"/prometheus_*.deb "$tmp/x"; then
		cp "$tmp/x/usr/bin/promtool" "$2/promtool"
	else
		echo "deps: could not fetch promtool; its test will be skipped" >&2
	fi
	rm -rf "$tmp"
fi
exit 0
