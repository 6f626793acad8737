#!/bin/bash
# make bench-deps: what `make bench` compares rekindle with, made once in FOLDER.
#
#	peers.sh FOLDER         FOLDER/torch: the newest PyTorch that pip finds;
#	                        FOLDER/paddle: PaddlePaddle 3
#
# Debian's PyTorch 1.13 is a package (tests/deps.sh bench).  Each of the others has
# an environment of its own, because they want different versions of the same
# packages.  Where pip looks is pip's matter (PIP_INDEX_URL); the wheel of PyTorch
# that most indexes have brings 3 GB of libraries for other processors, which
# nothing here uses and import insists on.
set -u
dir=$1
rc=0

# An environment with the packages named, made anew when they are others.
environment() {
	local path=$dir/$1
	shift
	if [ "$(cat "$path/made" 2>/dev/null)" = "$*" ]; then
		echo "peers: $path is there"
		return 0
	fi
	echo "peers: making $path with $*"
	rm -rf "$path"
	if /usr/bin/python3 -m venv "$path" &&
	    "$path/bin/pip" install -q --no-cache-dir "$@"; then
		echo "$*" >"$path/made"
		return 0
	fi
	echo "peers: could not make $path: make bench leaves it out" >&2
	rm -rf "$path"
	return 1
}

mkdir -p "$dir"
environment torch torch numpy || rc=1
environment paddle 'paddlepaddle>=3,<4' || rc=1
exit $rc
