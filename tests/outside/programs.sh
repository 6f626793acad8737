#!/bin/bash
# What the programs link, how they install, how the service is confined.
. "$(dirname "$0")/../lib.sh"

links() {               # every library a program loads, the indirect ones too
	ldd "$BUILD/$1" | awk '{print $1}'
}

t_case "rekindled links no BLAS"
daemon_links() {
	if links rekindled | grep -iE 'blas|dnnl|gomp|omp'; then
		t_fail "rekindled links the numeric side"
	fi
	links rekindled | grep -q microhttpd || t_fail "ldd shows nothing"
}

t_case "rekindle-train links no HTTP and no SQL"
trainer_links() {
	if links rekindle-train | grep -iE 'curl|microhttpd|sqlite|systemd'; then
		t_fail "rekindle-train links the control side"
	fi
	links rekindle-train | grep -q jansson || t_fail "ldd shows nothing"
}

t_case "the command line links neither"
cli_links() {
	if links rekindle | grep -iE 'microhttpd|sqlite|blas|dnnl|systemd'; then
		t_fail "rekindle links too much"
	fi
}

t_case "make install puts everything under DESTDIR and PREFIX"
installs() {
	[ -z "${SAN:-}" ] || t_skip "sanitized programs are not for installing"
	make -s -C "$T_ROOT" B="$(realpath --relative-to="$T_ROOT" "$BUILD")" ${CC:+CC=$CC} ${WERROR:+WERROR=$WERROR} \
	    install DESTDIR="$PWD/d" PREFIX=/opt/rk >install.log
	for f in opt/rk/bin/rekindled opt/rk/bin/rekindle-train opt/rk/bin/rekindle \
	    opt/rk/lib/systemd/system/rekindled.service etc/rekindle/rekindled.yaml \
	    opt/rk/share/bash-completion/completions/rekindle \
	    opt/rk/share/rekindle/jobs/fashion-mlp.yaml; do
		[ -s "d/$f" ] || t_fail "$f was not installed"
	done
	grep -q '^ExecStart=/opt/rk/bin/rekindled' d/opt/rk/lib/systemd/system/rekindled.service ||
		t_fail "the unit does not start what was installed"
}

t_case "a rebuild with nothing changed compiles nothing"
rebuild() {
	make -s -C "$T_ROOT" B="$(realpath --relative-to="$T_ROOT" "$BUILD")" all >again 2>&1 || t_fail "$(cat again)"
	eq "$(grep -cE ' (CC|LINK) ' again)" 0 "files compiled again"
}

t_case "systemd finds no fault in the unit"
unit_verifies() {
	command -v systemd-analyze >/dev/null || t_skip "no systemd-analyze"
	mkdir -p tree/bin
	sed "s|@PREFIX@/bin|$PWD/tree/bin|g" "$T_ROOT/systemd/rekindled.service" >rekindled.service
	printf '#!/bin/sh\n' >tree/bin/rekindled
	chmod +x tree/bin/rekindled
	systemd-analyze verify --man=no "$PWD/rekindled.service" >verify 2>&1 || true
	grep -i rekindled verify && t_fail "$(cat verify)"
	return 0
}

t_case "the unit is confined to an exposure of 2.5 or below"
unit_confined() {
	command -v systemd-analyze >/dev/null || t_skip "no systemd-analyze"
	sed "s|@PREFIX@|/usr/local|g" "$T_ROOT/systemd/rekindled.service" >rekindled.service
	systemd-analyze security --no-pager --offline=true "$PWD/rekindled.service" >security 2>&1 ||
		t_skip "systemd-analyze cannot look offline here"
	level=$(sed -n 's/.*exposure level for [^:]*: \([0-9.]*\).*/\1/p' security)
	[ -n "$level" ] || t_fail "$(tail -n 2 security)"
	awk -v l="$level" 'BEGIN {exit !(l <= 2.5)}' || t_fail "exposure $level"
}

t_case "every program says what it is and how it is used"
helps() {
	for p in rekindled rekindle-train rekindle; do
		"$BUILD/$p" --help >help || t_fail "$p --help: $?"
		[ "$(wc -l <help)" -gt 5 ] || t_fail "$p --help says little"
		"$BUILD/$p" --version | grep -q "$p" || t_fail "$p --version"
		if "$BUILD/$p" --no-such-flag >/dev/null 2>err; then
			t_fail "$p took an unknown flag"
		fi
		[ -s err ] || t_fail "$p says nothing of an unknown flag"
	done
}

t_run
