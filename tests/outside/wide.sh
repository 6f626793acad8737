#!/bin/bash
# The build whose blocked images have blocks of 16 channels, as AVX-512 wants them,
# here with the instructions of this machine.
. "$(dirname "$0")/../lib.sh"

t_case "networks of blocks of 16 channels compute what they should"
wide() {
	tests="kernel_blocked kernel_convplan nn_grad nn_grad_ops nn_random"
	make -s -C "$T_ROOT" -j 2 B="$BUILD/wide" ${CC:+CC=$CC} \
	    ${WERROR:+WERROR=$WERROR} EXTRA_CFLAGS=-DKERNEL_BLOCK=16 \
	    $(for t in $tests; do echo "$BUILD/wide/unit/$t"; done) >make.log 2>&1 ||
	    { cat make.log; t_fail "it cannot be built"; }
	for t in $tests; do
		N=1000 "$BUILD/wide/unit/$t" >log 2>&1 ||
		    { cat log; t_fail "$t fails"; }
	done
}

t_run
