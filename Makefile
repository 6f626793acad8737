# rekindle - see README.md.  `make help` lists the targets.
#
# What depends on what is read from src/LAYERS: a module's objects go into an
# archive, and a program or test links the archives of the modules it may know.

B        ?= build
CORES    := $(shell nproc 2>/dev/null || echo 2)
PREFIX   ?= /usr/local
DESTDIR  ?=
MULTI    := $(shell $(CC) -print-multiarch 2>/dev/null || true)
MULTI    := $(or $(MULTI),$(shell gcc -print-multiarch 2>/dev/null))
BLAS_DIR := /usr/lib/$(MULTI)/openblas-openmp

CSTD     := -std=gnu11
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	    -Wpointer-arith -Wcast-qual -Wwrite-strings -Wvla -Wundef
OPT      ?= -O2 -g
CPPFLAGS += -Iinclude -D_GNU_SOURCE
HARDEN   := -fstack-protector-strong -fPIE
ifndef SAN
HARDEN   += -D_FORTIFY_SOURCE=2
endif
CFLAGS   += $(CSTD) $(OPT) $(WARN) $(HARDEN) -fno-math-errno -pthread $(EXTRA_CFLAGS)
LDFLAGS  += -pie -Wl,--as-needed -Wl,-z,relro,-z,now -pthread
ifdef SAN
CFLAGS   += -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	    -fno-omit-frame-pointer
LDFLAGS  += -fsanitize=address,undefined
endif
ifdef WERROR
CFLAGS   += -Werror
endif

# Outside libraries by owning module.
LIB_base   := -lcrypto -lxxhash
LIB_json   := -ljansson -lyaml
LIB_kernel := -L$(BLAS_DIR) -Wl,-rpath,$(BLAS_DIR) -lopenblas -ldnnl
LIB_image  := -ljpeg -lpng
LIB_format := -lz
LIB_store  := -lsqlite3
LIB_api    := -lmicrohttpd
LIB_daemon := -lsystemd
LIB_http   := -lcurl
CFLAGS_kernel := -O3 -I/usr/include/$(MULTI)/openblas-openmp
# clang takes half an hour for the loops of micro.inc where they are optimised and
# sanitized; a fuzz target that links them runs none.
ifdef FUZZER
CFLAGS_kernel += -O1 -fno-sanitize=address,undefined
endif
CFLAGS_image := -O3

# --- modules, from src/LAYERS -------------------------------------------------
MODULES  := $(shell awk -F: '/^[a-z]+ *:/{print $$1}' src/LAYERS)
needs     = $(shell awk -F'[:|]' -v m=$(1) '/^[a-z]+ *:/{n=$$1; gsub(/ /,"",n); \
	    if (n==m) print $$2}' src/LAYERS)
$(foreach m,$(MODULES),$(eval NEEDS_$m := $(call needs,$m)))
# A module and all that it stands on, transitively, those that need others first.
closure   = $(if $(1),$(1) $(call closure,$(sort $(foreach m,$(1),$(NEEDS_$m)))))
order     = $(foreach m,$(call reverse,$(MODULES)),$(if $(filter $m,$(1)),$m))
reverse   = $(if $(1),$(call reverse,$(wordlist 2,$(words $(1)),$(1))) $(firstword $(1)))
above     = $(call order,$(sort $(call closure,$(1))))
archives  = $(patsubst %,$(B)/lib/rk-%.a,$(1))
libs      = $(foreach m,$(1),$(LIB_$m))

# main() lives in src/<module>/main.c of the three modules that are programs.
PROG_daemon := rekindled
PROG_train  := rekindle-train
PROG_cli    := rekindle
PROGRAMS := $(B)/rekindled $(B)/rekindle-train $(B)/rekindle

.PHONY: all
all: $(PROGRAMS)

.SECONDARY:
define module_rules
SRC_$(1) := $$(filter-out src/$(1)/main.c,$$(wildcard src/$(1)/*.c))
OBJ_$(1) := $$(patsubst src/%.c,$(B)/obj/%.o,$$(SRC_$(1)))
$(B)/lib/rk-$(1).a: $$(OBJ_$(1)) | $(B)/lib/
	@rm -f $$@
	@ar rcs $$@ $$(OBJ_$(1))
$(B)/obj/$(1)/%.o: src/$(1)/%.c $(B)/flags | $(B)/obj/$(1)/
	@echo "  CC   $$<"
	@$$(CC) $$(CPPFLAGS) $$(CFLAGS) $$(CFLAGS_$(1)) -MMD -MP -c -o $$@ $$<
-include $$(OBJ_$(1):.o=.d) $(B)/obj/$(1)/main.d
endef
$(foreach m,$(MODULES),$(eval $(call module_rules,$m)))

define program_rules
$(B)/$(PROG_$(1)): $(B)/obj/$(1)/main.o $(call archives,$(call above,$(1)))
	@echo "  LINK $$@"
	@$$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$< -Wl,--start-group \
	    $$(filter %.a,$$^) -Wl,--end-group $(call libs,$(call above,$(1))) -lm
endef
$(foreach m,daemon train cli,$(eval $(call program_rules,$m)))

# Rebuild everything when the flags or the compiler change, and only then.
FLAGS_NOW := $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)
$(B)/flags: FORCE | $(B)/
	@echo '$(FLAGS_NOW)' | cmp -s - $@ || echo '$(FLAGS_NOW)' > $@
.PHONY: FORCE
FORCE:

%/:
	@mkdir -p $@

include tests/tests.mk

.PHONY: deps demo install clean help
deps:
	@tests/deps.sh build
	@echo "deps: all that rekindle needs is installed"

# The README's first command: from nothing to a network that survived kill -9.
demo:
	@tests/deps.sh build
	@$(MAKE) --no-print-directory -j $(CORES) all
	@BUILD=$(abspath $(B)) tests/demo.sh

CONF     := $(DESTDIR)/etc/rekindle/rekindled.yaml
OLD_MODE := ^\# Its permissions, octal, in quotes\.  Who may write to it may do everything\.
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/systemd/system \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
	    $(DESTDIR)$(PREFIX)/share/rekindle/jobs $(DESTDIR)/etc/rekindle
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin/
	for u in rekindled.service rekindled-failed.service; do \
	    sed 's|@PREFIX@|$(PREFIX)|g' systemd/$$u > \
	        $(DESTDIR)$(PREFIX)/lib/systemd/system/$$u || exit 1; done
	install -m 644 etc/rekindle.bash \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions/rekindle
	install -m 644 etc/jobs/*.yaml $(DESTDIR)$(PREFIX)/share/rekindle/jobs/
	install etc/jobs/*.sh $(DESTDIR)$(PREFIX)/share/rekindle/jobs/
	install -m 644 etc/checkpoint.schema.json etc/model-version.schema.json \
	    $(DESTDIR)$(PREFIX)/share/rekindle/
	test -e $(CONF) || install -m 644 etc/rekindled.yaml $(CONF)
	@! grep -A1 '$(OLD_MODE)$$' $(CONF) | grep -q '^socket_mode: "0660"$$' || { \
	    sed -i '/$(OLD_MODE)$$/{n;s/^socket_mode: "0660"$$/# &/}' $(CONF) && \
	    echo 'install: $(CONF): socket_mode "0660", which an earlier version' \
	        'shipped and its unit went over, is commented out: it would count now,' \
	        'and lock out all users but root' >&2; }

clean:
	rm -rf $(B)

help:
	@echo 'make            build the three programs in $(B)/'
	@echo 'make deps       install what is missing from Debian'
	@echo 'make deps-test  also what the tests use, among it an object store'
	@echo 'make demo       train Fashion-MNIST, kill -9 half way, see it go on'
	@echo 'make check      build and run every test (SAN=1: under ASan and UBSan)'
	@echo 'make check-before  compare with the bytes of an older program, built anew'
	@echo 'make mutants    break it in many ways, and see whether tests notice (MUTANTS=...)'
	@echo 'make check-long hours: machines that boot, many rounds, fuzzing'
	@echo 'make power-cut  cut the power of a machine that trains (CUTS=40 SETTINGS=...)'
	@echo 'make check-numerics  a step of every network against PyTorch (CASES=...)'
	@echo 'make check-interop   files of weights against real Paddle and PyTorch'
	@echo 'make accuracy   train on real data, also beside PyTorch: hours (ROWS=...)'
	@echo 'make bench      measure, and write $(B)/bench.json (ROWS=...)'
	@echo 'make bench-conv NET=lenet5  each convolution of a network, by pass and way'
	@echo 'make bench-team what waiting and waking take, by the number of threads'
	@echo 'make bench-deps PyTorch and Paddle, which bench compares with (6 GB)'
	@echo 'make fuzz T=spec SECONDS=60   libFuzzer on one target'
	@echo 'make install    DESTDIR= PREFIX=$(PREFIX)'
	@echo 'CC=clang, SAN=1, WERROR=1, B=folder change the build'
