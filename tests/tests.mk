# Building and running the tests; included by the Makefile.

# Unit tests: tests/unit/<module>_<what>.c links <module> and what it stands on.
# By <module>_drive tests from outside drive one module, too.
UNIT_SRC := $(wildcard tests/unit/*_*.c)
UNIT     := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_SRC))
DRIVE    := $(filter %_drive,$(UNIT))
module_of = $(firstword $(subst _, ,$(1)))

define unit_rules
$(B)/unit/$(1): tests/unit/$(1).c tests/unit/t.h $(B)/flags \
    $(call archives,$(call above,$(call module_of,$(1)))) | $(B)/unit/
	@echo "  TEST $$@"
	@$$(CC) $$(CPPFLAGS) $$(CFLAGS) -Itests/unit -Isrc/$(call module_of,$(1)) \
	    $$(LDFLAGS) -MMD -MP -MF $$@.d -o $$@ $$< -Wl,--start-group \
	    $$(filter %.a,$$^) -Wl,--end-group \
	    $(call libs,$(call above,$(call module_of,$(1)))) -lm
-include $(B)/unit/$(1).d
endef
$(foreach t,$(patsubst tests/unit/%.c,%,$(UNIT_SRC)),$(eval $(call unit_rules,$t)))

# make unit-spec: the unit tests of one module.
$(patsubst %,unit-%,$(MODULES)): unit-%:
	@$(MAKE) --no-print-directory $(filter $(B)/unit/$*_%,$(UNIT))
	@set -e; for t in $(filter $(B)/unit/$*_%,$(UNIT)); do $$t; done

# What writes down the system calls of any program (tests/outside/calls.py).
$(B)/calls.so: tests/calls.c tests/unit/u_calls.h | $(B)/
	@echo "  TEST $@"
	@$(CC) $(CPPFLAGS) $(CSTD) -O2 $(WARN) $(if $(WERROR),-Werror) -fPIC -shared \
	    -o $@ $<

# Fuzz targets: tests/fuzz/<target>.c; the first line names the module that it
# links, as `/* module: spec */`.
FUZZ_SRC := $(filter-out tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c))
FUZZ     := $(patsubst tests/fuzz/%.c,%,$(FUZZ_SRC))
fuzz_mod  = $(shell sed -n '1s|^/\* module: \([a-z]*\) \*/$$|\1|p' tests/fuzz/$(1).c)

define fuzz_rules
FUZZMOD_$(1) := $(call fuzz_mod,$(1))
$(B)/fuzz/$(1): tests/fuzz/$(1).c tests/fuzz/replay.c $(B)/flags \
    $$(call archives,$$(call above,$$(FUZZMOD_$(1)))) | $(B)/fuzz/
	@echo "  FUZZ $$@"
	@$$(CC) $$(CPPFLAGS) $$(CFLAGS) -Isrc/$$(FUZZMOD_$(1)) $$(LDFLAGS) -o $$@ $$< \
	    $$(if $$(FUZZER),-fsanitize=fuzzer,tests/fuzz/replay.c) -Wl,--start-group \
	    $$(filter %.a,$$^) -Wl,--end-group $$(call libs,$$(call above,$$(FUZZMOD_$(1)))) -lm
endef
$(foreach t,$(FUZZ),$(eval $(call fuzz_rules,$t)))

# make fuzz T=spec SECONDS=60: libFuzzer on one target, from its corpus.
SECONDS ?= 60
.PHONY: fuzz
fuzz:
	@$(MAKE) --no-print-directory CC=clang SAN=1 FUZZER=1 B=$(B)-fuzz \
	    EXTRA_CFLAGS=-fsanitize=fuzzer-no-link $(B)-fuzz/fuzz/$(T)
	@mkdir -p $(B)-fuzz/found/$(T)
	$(B)-fuzz/fuzz/$(T) -max_total_time=$(SECONDS) -timeout=10 \
	    -rss_limit_mb=2048 -artifact_prefix=$(B)-fuzz/found/ \
	    $(B)-fuzz/found/$(T) tests/fuzz/corpus/$(T)

# Replaying a corpus is a test like the others: one `ok` line a target.
REPLAYS := $(patsubst %,$(B)/fuzz/%.sh,$(FUZZ))
$(B)/fuzz/%.sh: $(B)/fuzz/%
	@printf '#!/bin/sh\n$(CURDIR)/$< $(CURDIR)/tests/fuzz/corpus/$* >/dev/null && echo ok the_corpus_of_$*_is_survived || { echo FAILED the_corpus_of_$*_is_survived; exit 1; }\n' > $@
	@chmod +x $@

# What begins with #! is a test; the other modules of Python are their words.
OUTSIDE := $(sort $(shell grep -l '^\#!/' tests/outside/*.sh tests/outside/*.py) \
    tests/numerics/keys_test.py tests/mutants/still_apply.py)
export RK_SHARED ?= $(abspath $(CURDIR)/../shared)
ifdef SAN
export SAN
export T_SLOW := 6
export ASAN_OPTIONS := detect_leaks=1
export LSAN_OPTIONS := suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS := print_stacktrace=1
endif
JOBS ?= 2

# make check: everything that a quarter of an hour or two is enough for.
# check-unit, check-outside: a part.
.PHONY: check check-unit check-outside check-long
check: check-deps
	@$(MAKE) --no-print-directory -j $(CORES) all $(UNIT) $(REPLAYS) $(B)/calls.so
	@BUILD=$(abspath $(B)) tests/run.sh -j $(JOBS) tests/layers.sh \
	    $(abspath $(UNIT)) $(abspath $(REPLAYS)) $(OUTSIDE)
check-unit: $(UNIT) $(REPLAYS)
	@BUILD=$(abspath $(B)) tests/run.sh -j $(JOBS) tests/layers.sh \
	    $(abspath $(UNIT)) $(abspath $(REPLAYS))
check-outside: all $(DRIVE) $(B)/calls.so
	@BUILD=$(abspath $(B)) tests/run.sh -j $(JOBS) $(OUTSIDE)

# make check-before: the bytes of jobs against those of an older program, which is
# built in a git worktree; SEED=N chooses the checkpoints.
.PHONY: check-before
check-before: all $(B)/unit/spec_drive
	@BUILD=$(abspath $(B)) T_LIMIT=3600 tests/run.sh tests/long/before.py

# make mutants: small breakages, one at a time, and whether the tests that are named
# for each notice it; MUTANTS="retention" for some.  Within an hour.
.PHONY: mutants
mutants: check-deps
	@$(MAKE) --no-print-directory -j $(CORES) all $(UNIT) $(B)/calls.so
	@BUILD=$(abspath $(B)) JOBS=$(JOBS) tests/mutants/mutants.py $(MUTANTS)

# make check-long: hours.  The tests of tests/long (machines that boot), the ones
# that choose moments at random with many more of them, and every fuzz target.
LONG_OWN  := $(sort $(shell grep -ls '^\#!/' tests/long/*.sh tests/long/*.py))
LONG_MANY := crash.py nets.py takeover.py ship.py faults.py shipfaults.py \
    random_storage.py
check-long: check-deps
	@tests/deps.sh long || echo "check-long: going on without"
	@$(MAKE) --no-print-directory -j $(CORES) all $(UNIT) $(B)/calls.so
	@BUILD=$(abspath $(B)) T_LIMIT=14400 LONG=1 KILLS=200 ROUNDS=30 \
	    RK_KILLS=1000 RK_KILL_STRIDE=3 tests/run.sh -j 1 $(LONG_OWN) \
	    $(addprefix tests/outside/,$(LONG_MANY)) $(abspath $(B))/unit/ckpt_crash \
	    $(abspath $(B))/unit/nn_random
	@set -e; for t in $(FUZZ); do \
	    $(MAKE) --no-print-directory fuzz T=$$t SECONDS=$(SECONDS); done

# make power-cut: the power of a machine that trains ends, CUTS times at random, and
# nothing that was acknowledged may be lost.  SETTINGS="mirror full" for some of plain,
# mirror, large and full; SEED=N for the same moments.  Half a minute and more a cut.
.PHONY: power-cut
power-cut: all
	@tests/deps.sh power
	@BUILD=$(abspath $(B)) CUTS="$(CUTS)" SEED="$(SEED)" SETTINGS="$(SETTINGS)" \
	    tests/power/power_cut.py

# make check-numerics: a step of each architecture and of graphs of one's own
# against PyTorch in double precision; CASES="resnet18 bert" for some.  PyTorch is
# Debian's, or that of the interpreters that BENCH_PYTHON names.  Without CASES
# also the tables of optimisers and schedules, and the memory of networks of full
# size.
.PHONY: check-numerics
check-numerics:
	@tests/deps.sh numerics || echo "check-numerics: going on without"
	@$(MAKE) --no-print-directory -j $(CORES) all $(B)/unit/train_drive
	@BUILD=$(abspath $(B)) T_LIMIT=14400 tests/run.sh -j 1 \
	    "tests/numerics/compare.py $(CASES)" \
	    $(if $(CASES),,tests/numerics/optim.py "tests/outside/memory.py full")

# make check-interop: files of weights against the real packages: they load what we
# write and train on from it, we read what they write and train on from that.  They come
# from Python's package index into virtual environments (tests/interop/environments.sh),
# but for those that TORCH_PYTHON, PADDLE_PYTHON, PADDLECLAS_PYTHON and
# PADDLENLP_PYTHON name, and for Debian's PyTorch.
INTEROP = $(abspath $(B))/interop
INTEROP_WITH = BUILD=$(abspath $(B)) T_LIMIT=14400 HF_HUB_OFFLINE=1 \
    TORCH_PYTHON=$${TORCH_PYTHON:-$(INTEROP)/torch/bin/python} \
    PADDLE_PYTHON=$${PADDLE_PYTHON:-$(INTEROP)/paddle/bin/python}
.PHONY: check-interop
check-interop:
	@tests/deps.sh numerics || echo "check-interop: going on without"
	@$(MAKE) --no-print-directory -j $(CORES) all $(DRIVE)
	@tests/interop/environments.sh $(INTEROP) $(abspath $(B))/bench || \
	    echo "check-interop: going on without"
	@$(INTEROP_WITH) tests/run.sh -j 1 \
	    "env TORCH_PYTHON=/usr/bin/python3 tests/interop/torch_files.py" \
	    tests/interop/torch_files.py tests/interop/torch_nets.py \
	    tests/interop/torch_goes_on.py tests/interop/torch_exports.py \
	    tests/interop/paddle_files.py tests/interop/paddle_nets.py \
	    tests/interop/paddle_goes_on.py tests/interop/paddle_exports.py \
	    tests/interop/torch_grows.py tests/interop/paddle_grows.py \
	    tests/interop/torch_shards.py \
	    tests/interop/first_job.py \
	    "env TORCH_PYTHON=/usr/bin/python3 tests/interop/torch_exports.py" \
	    "env PADDLE_PYTHON=$${PADDLECLAS_PYTHON:-$(INTEROP)/paddleclas/bin/python} tests/interop/paddle_exports.py" \
	    "env PADDLE_PYTHON=$${PADDLENLP_PYTHON:-$(INTEROP)/paddlenlp/bin/python} tests/interop/paddle_exports.py" \
	    "env PADDLE_PYTHON=$${PADDLECLAS_PYTHON:-$(INTEROP)/paddleclas/bin/python} tests/interop/paddle_nets.py" \
	    "env PADDLE_PYTHON=$${PADDLENLP_PYTHON:-$(INTEROP)/paddlenlp/bin/python} tests/interop/paddle_nets.py"

# make deps-test: what the tests use, also a real object store (Ceph's RADOS
# Gateway); make deps is all that building and running takes.
.PHONY: check-deps deps-test
deps-test:
	@tests/deps.sh test $(abspath $(B))/tools
	@echo "deps: all that the tests use is installed"
check-deps:
	@tests/deps.sh test $(abspath $(B))/tools || \
	    echo "check: going on without; tests that need them are skipped"

# make bench: measure what the README's table says; ROWS="step api" for some, and
# ROWS=speed for the networks alone.  make bench-deps fetches and makes whom they
# are compared with; without it there is Debian's PyTorch or nobody.
$(B)/bench/%: tests/bench/%.c | $(B)/bench/
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $<
# Of kernel alone: what the convolutions of some networks take, by pass and by way
# (NET=lenet5); each way of a matrix product, shape by shape; what the team takes.
KERNEL_BENCH := conv mm team
$(KERNEL_BENCH:%=$(B)/bench/%): $(B)/bench/%: tests/bench/%.c \
    $(call archives,$(call above,kernel)) | $(B)/bench/
	@$(CC) $(CPPFLAGS) $(CFLAGS) -Isrc/kernel $(LDFLAGS) -o $@ $< \
	    -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
	    $(call libs,$(call above,kernel)) -lm
.PHONY: $(KERNEL_BENCH:%=bench-%)
$(KERNEL_BENCH:%=bench-%): bench-%: $(B)/bench/%
	@$< $(NET)

# JPEGs made ready for a network, and folders of them (paint.h makes them).
PICTURE_BENCH := image pictures
$(PICTURE_BENCH:%=$(B)/bench/%): $(B)/bench/%: tests/bench/%.c tests/bench/paint.h \
    $(call archives,$(call above,data)) | $(B)/bench/
	@$(CC) $(CPPFLAGS) $(CFLAGS) -Isrc/data $(LDFLAGS) -o $@ $< \
	    -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
	    $(call libs,$(call above,data)) -lm

.PHONY: bench bench-deps
bench: all $(PICTURE_BENCH:%=$(B)/bench/%) $(B)/bench/load $(B)/bench/sink $(B)/bench/mode $(B)/bench/peak \
    $(B)/unit/remote_drive $(B)/unit/text_drive
	@BUILD=$(abspath $(B)) tests/bench/bench.py $(ROWS)
bench-deps:
	@tests/deps.sh bench || echo "bench-deps: going on without"
	@tests/bench/peers.sh $(abspath $(B))/bench

# make accuracy: what networks learn on real data, and whether PyTorch's learn the
# same; ROWS="lenet5 cifar" for some, FRESH=1 without what was trained before.  Hours;
# what is interrupted is gone on with by the next call.
.PHONY: accuracy
accuracy: all
	@tests/deps.sh accuracy || echo "accuracy: going on without"
	@BUILD=$(abspath $(B)) tests/accuracy/accuracy.py $(ROWS)
