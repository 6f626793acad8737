#!/bin/bash
# src/LAYERS and the code agree: every #include of our own headers and of the
# outside headers that have an owner is allowed by the page, every outside
# library header has one owner, and the page names no module that is not there.
# Beside that, who may start a thread and take a signal.
# Prints `ok` or `FAILED` lines as the unit tests do.  An argument is the tree.
set -u
cd "${1:-$(dirname "$0")/..}" || exit 1
bad=0

faults=$(awk '
	BEGIN { FS = "[:|]" }
	FNR == NR {
		if ($0 ~ /^#/ || NF < 2)
			next
		m = $1; gsub(/[ \t]/, "", m)
		known[m] = 1; allowed[m] = " " m " " $2 " "
		gsub(/[ \t]+/, " ", allowed[m])
		n = split($3, h, /[ \t]+/)
		for (i = 1; i <= n; i++)
			if (h[i] != "")
				owner[h[i]] = m
		# Arrows point up only: what a module includes stands above it.
		n = split($2, h, /[ \t]+/)
		for (i = 1; i <= n; i++)
			if (h[i] != "" && !(h[i] in known))
				print "LAYERS: " m " names " h[i] ", which is not above it"
		next
	}
	/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
		file = FILENAME
		if (file ~ /^include\/rekindle\//) {
			m = file; sub(/^include\/rekindle\//, "", m); sub(/(_[a-z]+)?\.h$/, "", m)
		} else {
			m = file; sub(/^src\//, "", m); sub(/\/.*/, "", m)
		}
		line = $0; sub(/^[^<"]*[<"]/, "", line); sub(/[>"].*/, "", line)
		if (!(m in known)) {
			if (!told[m]++) print file ": module " m " is not in LAYERS"
		} else if (line ~ /^rekindle\//) {
			t = line; sub(/^rekindle\//, "", t); sub(/(_[a-z]+)?\.h$/, "", t)
			# Tables that others are made of: spec holds them.
			if (t ~ /\.def$/) t = "spec"
			if (index(allowed[m], " " t " ") == 0)
				print file ": " m " may not include " t
		} else if (line in owner) {
			if (owner[line] != m)
				print file ": " line " belongs to " owner[line]
		} else if (line ~ /^(openssl|sqlite|curl|microhttpd|jansson|yaml|cblas|dnnl|oneapi|zlib|png|jpeg|turbojpeg|systemd)/)
			print file ": " line " has no owner in LAYERS"
	}
' src/LAYERS $(find src include -name '*.[ch]' | sort))
if [ -n "$faults" ]; then
	printf '%s\n' "$faults" >&2
	bad=1
fi
for d in src/*/; do
	m=$(basename "$d")
	grep -q "^$m *:" src/LAYERS || { echo "src/$m is not in LAYERS" >&2; bad=1; }
done
for m in $(awk -F: '/^[a-z]+ *:/{print $1}' src/LAYERS); do
	[ -d "src/$m" ] || { echo "LAYERS names $m, and src/$m is not there" >&2; bad=1; }
done
if [ $bad = 0 ]; then
	echo "ok the_code_includes_what_LAYERS_allows"
else
	echo "FAILED the_code_includes_what_LAYERS_allows"
fi

# kernel.h and base.h say why: a thread begins with its signals blocked, and no
# program has a handler.
faults=$({
	grep -rnE '\<(pthread_create|thrd_create)\(' src include | grep -v '^src/base/thread.c:'
	grep -rnE '\<(sigvec|sigset|bsd_signal|sysv_signal|sigaltstack)\(' src include
	grep -rnE '\<signal\([A-Z]' src include | grep -vE 'SIG_(IGN|DFL)\)'
	grep -rnE '\<sa_(sigaction|handler) = |\<sigaction\([^,]*, *[^N ]' src include
} | grep -vE ':[0-9]+: \*|/\*.*pthread_create')
if [ -z "$faults" ]; then
	echo "ok no_thread_takes_signals_and_no_program_has_a_handler"
else
	printf '%s\n' "$faults" >&2
	echo "FAILED no_thread_takes_signals_and_no_program_has_a_handler"
	bad=1
fi

# A program of tests or of etc that begins with #! can be run as it lies there.
faults=$(find tests etc .ci -type f ! -perm -u+x 2>/dev/null -exec grep -lm1 '^#!' {} + |
    while read -r f; do [ "$(head -c 2 "$f")" != '#!' ] || echo "$f: is not executable"; done)
if [ -z "$faults" ]; then
	echo "ok programs_that_begin_with_#!_can_be_run"
else
	printf '%s\n' "$faults" >&2
	echo "FAILED programs_that_begin_with_#!_can_be_run"
	bad=1
fi

# The check itself: an include that LAYERS forbids must be found.
if [ $# = 0 ]; then
	tmp=$(mktemp -d)
	mkdir -p "$tmp/src" "$tmp/include"
	cp -r src/LAYERS src/*/ "$tmp/src/" 2>/dev/null
	cp -r include/rekindle "$tmp/include/"
	echo '#include "rekindle/sup.h"' >> "$tmp/src/base/time.c"
	if bash "$0" "$tmp" 2>&1 | grep -q 'base may not include sup'; then
		echo "ok a_forbidden_include_is_found"
	else
		echo "FAILED a_forbidden_include_is_found"
		bad=1
	fi
	rm -rf "$tmp"
fi
exit $bad
