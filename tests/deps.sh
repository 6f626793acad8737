#!/bin/bash
# Install what is missing from Debian: `deps.sh build` what it takes to build
# and run, `deps.sh long` also what make check-long boots (tests/long), `deps.sh
# power` that and the store that make power-cut (tests/power) uses, `deps.sh
# numerics` also what make check-numerics compares with (tests/numerics), `deps.sh
# accuracy` also what make accuracy compares with (tests/accuracy), `deps.sh
# bench` that and what make bench-deps makes environments with, `deps.sh
# test` also what the tests use: among it a real object store
# (Ceph's RADOS Gateway, 70 MB to fetch), whose tests are skipped, loudly, where
# it cannot be had.  Says what it does; through sudo when not root; silent when
# nothing is missing.
set -u
build="gcc libc6-dev make pkg-config libmicrohttpd-dev libjansson-dev libyaml-dev
	libsqlite3-dev libcurl4-openssl-dev libssl-dev libopenblas-openmp-dev
	libdnnl-dev libsystemd-dev zlib1g-dev libxxhash-dev
	libjpeg62-turbo-dev libpng-dev
	ca-certificates curl dataset-fashion-mnist"
tests="python3-minimal python3 python3-numpy procps util-linux iproute2 systemd jq xxhash
	clang libclang-rt-14-dev valgrind bash-completion openssl"
services="radosgw ceph-mon ceph-osd"
models="spin"
kernels="user-mode-linux mmdebstrap e2fsprogs"   # whole ones: tests/long/uml.py
powers="python3 iproute2 systemd xxhash"         # around them: tests/power
numerics="python3-torch"
learned="python3-torch python3-numpy python3-pil"
peers="python3-torch python3-yaml python3-venv g++"     # g++: torch.compile
machines="systemd-container dbus"     # machines that boot: outside/machine.py

as_root=
if [ "$(id -u)" != 0 ]; then
	as_root=sudo
fi
updated=
# Install what is missing of the packages named; false if that did not work.
have() {
	local p missing=
	for p in "$@"; do
		dpkg-query -W -f='${Status}' "$p" 2>/dev/null |
			grep -q 'ok installed' || missing="$missing $p"
	done
	[ -n "$missing" ] || return 0
	if [ -n "$as_root" ] && ! command -v sudo >/dev/null; then
		echo "deps: missing, and neither root nor sudo to install:$missing" >&2
		return 1
	fi
	echo "deps: installing from Debian:$missing"
	export DEBIAN_FRONTEND=noninteractive
	if [ -z "$updated" ]; then
		$as_root apt-get -q -o Acquire::Retries=3 update >/dev/null ||
			return 1
		updated=1
	fi
	# shellcheck disable=SC2086
	$as_root apt-get -q -y -o Acquire::Retries=3 --no-install-recommends \
	    install $missing >/dev/null || {
		echo "deps: apt-get could not install:$missing" >&2
		return 1
	}
}

rc=0
# shellcheck disable=SC2086
have $build || rc=1
if [ "${1:-build}" = test ]; then
	# One that cannot be had does not take the others with it.
	for group in "$tests" "$services" "$models" "$machines"; do
		# shellcheck disable=SC2086
		have $group || rc=1
	done
fi
if [ "${1:-build}" = numerics ]; then
	# shellcheck disable=SC2086
	have $numerics || rc=1
fi
if [ "${1:-build}" = accuracy ]; then
	# shellcheck disable=SC2086
	have $learned || rc=1
fi
if [ "${1:-build}" = bench ]; then
	# shellcheck disable=SC2086
	have $peers || rc=1
fi
if [ "${1:-build}" = long ]; then
	# shellcheck disable=SC2086
	have $kernels || rc=1
fi
if [ "${1:-build}" = power ]; then
	for group in "$kernels" "$powers" "$services"; do
		# shellcheck disable=SC2086
		have $group || rc=1
	done
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
exit $rc
