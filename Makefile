# SPDX-License-Identifier: MIT
# wg-dynamic, beside an installed wireguard-tools. `make help' lists the targets.

PKG_CONFIG ?= pkg-config
PREFIX ?= /usr/local
DESTDIR ?=
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions
SYSTEMDUNITDIR ?= $(PREFIX)/lib/systemd/system
RUNSTATEDIR ?= /var/run
STATEDIR ?= /var/lib/wg-dynamic
WITH_BASHCOMPLETION ?= yes
WITH_WGQUICK ?= yes
WITH_SYSTEMDUNITS ?= yes

# The wg and wg-quick of wireguard-tools that ours stand in front of, and bash's completion of wg.
WG ?= /usr/bin/wg
WG_QUICK ?= /usr/bin/wg-quick
WG_COMPLETION ?= /usr/share/bash-completion/completions/wg

VERSION := $(shell sed -n 's/^\#define WG_DYNAMIC_VERSION "\(.*\)"/\1/p' src/dynamic.h)
BUILD := build

# Routers run this: what costs time here is the system, not the code.
CFLAGS ?= -Os
override CFLAGS += -std=gnu11 -D_GNU_SOURCE
# For fstat() on 32-bit processors, where inode numbers of large file systems are too big for it.
override CFLAGS += -D_FILE_OFFSET_BITS=64
override CFLAGS += -Wall -Wextra
# No tables for exceptions, which C does not have (some processors have them by another option), and
# nothing that is not used.
override CFLAGS += -fno-asynchronous-unwind-tables -fno-unwind-tables
override CFLAGS += -ffunction-sections -fdata-sections
override CFLAGS += -MMD -MP
override CPPFLAGS += -Isrc -Isrc/compat
override CPPFLAGS += -DSTATEDIR='"$(STATEDIR)"'
override CPPFLAGS += $(shell $(PKG_CONFIG) --cflags libmnl 2>/dev/null)
override LDFLAGS += -Wl,--gc-sections
override LDLIBS += $(shell $(PKG_CONFIG) --libs libmnl 2>/dev/null || echo -lmnl)

ifneq ($(V),1)
Q := @
say = @printf '  %-7s %s\n' $(1) $(2);
endif

# The folder in which this is built is in nothing that is built.
override CFLAGS += -ffile-prefix-map='$(CURDIR)'=.
sources := $(sort $(wildcard src/*.c src/compat/*.c))
objects := $(sources:src/%.c=$(BUILD)/obj/%.o)
wrappers := $(BUILD)/wg $(if $(filter yes,$(WITH_WGQUICK)),$(BUILD)/wg-quick)
units_of_systemd := $(patsubst src/systemd/%,%,$(wildcard src/systemd/*.service src/systemd/*/*.conf))
systemd_units := $(if $(filter yes,$(WITH_SYSTEMDUNITS)),$(units_of_systemd))

all: $(BUILD)/wg-dynamic $(wrappers) $(systemd_units:%=$(BUILD)/systemd/%)

# Objects are made anew when the flags are not those that they were made with; WERROR=-Werror, which
# `make check' sets, does not change them.
flags = $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(RUNSTATEDIR) $(WG) $(BINDIR)
$(BUILD)/flags: force
	@mkdir -p $(BUILD)
	@echo '$(subst ','\'',$(flags))' | cmp -s - $@ || echo '$(subst ','\'',$(flags))' >$@

$(BUILD)/obj/%.o: src/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) $(CPPFLAGS) -DRUNSTATEDIR='"$(RUNSTATEDIR)"' $(CFLAGS) $(WERROR) \
		-c -o $@ $<

$(BUILD)/wg-dynamic: $(objects)
	$(call say,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/wg: src/wg.sh $(BUILD)/flags
	$(call say,GEN,$@)sed 's|@WG@|$(WG)|' $< >$@
	$(Q)chmod +x $@

$(BUILD)/systemd/%: src/systemd/% $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,GEN,$@)sed 's|@BINDIR@|$(BINDIR)|' $< >$@

# The installed script with our patch; one that it does not fit is left alone.
patches := $(sort $(wildcard wg-quick-patches/*-wg-quick-*.patch))
$(BUILD)/wg-quick: $(patches) $(WG_QUICK)
	@mkdir -p $(@D)
	$(call say,PATCH,$@)cp $(WG_QUICK) $@.tmp
	$(Q)for p in $(patches); do \
		patch --quiet --fuzz=0 --no-backup-if-mismatch $@.tmp $$p || { rm -f $@.tmp*; exit 1; }; \
	done
	$(Q)chmod +x $@.tmp && mv $@.tmp $@

$(WG_QUICK):
	@echo 'wg-quick is missing at $(WG_QUICK): install wireguard-tools, or say where it is with' \
		'WG_QUICK=, or build without it: WITH_WGQUICK=no' >&2; exit 1

# --- installation ---

man_pages := $(wildcard man/*.[1-9])

# By each name, for they are loaded on demand; that of wg where it does not take the place of
# wireguard-tools' own.
completions := wg-dynamic wg-dynamic-client wg-dynamic-server \
	$(if $(filter-out $(WG_COMPLETION),$(BASHCOMPDIR)/wg),wg)

# Ours stand in front of those of wireguard-tools, and must not take their place.
in_front:
	@if [ '$(DESTDIR)$(BINDIR)/wg' -ef '$(WG)' ]; then \
		echo '$(WG) is that of wireguard-tools: choose another PREFIX' >&2; exit 1; \
	fi

install: in_front all
	@install -v -d '$(DESTDIR)$(BINDIR)'
	@install -v -m 0755 $(BUILD)/wg-dynamic $(wrappers) '$(DESTDIR)$(BINDIR)/'
	@ln -sfv wg-dynamic '$(DESTDIR)$(BINDIR)/wg-dynamic-client'
	@ln -sfv wg-dynamic '$(DESTDIR)$(BINDIR)/wg-dynamic-server'
	@for page in $(man_pages); do \
		install -v -D -m 0644 $$page '$(DESTDIR)$(MANDIR)'/man$${page##*.}/$${page##*/}; \
	done
	@for unit in $(systemd_units); do \
		install -v -D -m 0644 $(BUILD)/systemd/$$unit '$(DESTDIR)$(SYSTEMDUNITDIR)'/$$unit; \
	done
ifeq ($(WITH_BASHCOMPLETION),yes)
	@install -v -D -m 0644 completion/wg-dynamic.bash-completion \
		'$(DESTDIR)$(BASHCOMPDIR)/wg-dynamic'
	@ln -sfv wg-dynamic '$(DESTDIR)$(BASHCOMPDIR)/wg-dynamic-client'
	@ln -sfv wg-dynamic '$(DESTDIR)$(BASHCOMPDIR)/wg-dynamic-server'
ifneq ($(filter wg,$(completions)),)
	@sed 's|@WG_COMPLETION@|$(WG_COMPLETION)|' completion/wg.bash-completion | \
		install -v -m 0644 /dev/stdin '$(DESTDIR)$(BASHCOMPDIR)/wg'
endif
endif

uninstall: in_front
	@$(RM) -v $(patsubst %,'$(DESTDIR)$(BINDIR)/%',wg-dynamic wg-dynamic-client \
		wg-dynamic-server $(notdir $(wrappers)))
	@for page in $(man_pages); do \
		$(RM) -v '$(DESTDIR)$(MANDIR)'/man$${page##*.}/$${page##*/}; \
	done
	@$(RM) -v $(patsubst %,'$(DESTDIR)$(BASHCOMPDIR)/%',$(completions)) \
		$(patsubst %,'$(DESTDIR)$(SYSTEMDUNITDIR)/%',$(units_of_systemd))
	@rmdir '$(DESTDIR)$(SYSTEMDUNITDIR)'/wg-quick@.service.d 2>/dev/null || true

# --- in the source tree of wireguard-tools ---

graft ungraft:
	@wg-quick-patches/graft.sh $@ '$(WIREGUARD_TOOLS)'

clean:
	$(call say,CLEAN,$(BUILD))$(RM) -r $(BUILD)

# --- tests ---

# Unit tests are linked with all sources but main.c, plain and under the sanitizers. Paths at run time
# are relative there, so that a test has a world of its own.
unit_sources := $(filter-out src/main.c,$(sources))
unit_names := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
unit_tests := $(unit_names:%=$(BUILD)/unit/plain/%) $(unit_names:%=$(BUILD)/unit/asan/%)
flavour_plain :=
flavour_asan := -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer

define flavour
$(1)_objects := $$(unit_sources:src/%.c=$(BUILD)/unit/$(1)/obj/%.o)

$(BUILD)/unit/$(1)/obj/%.o: src/%.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)$$(CC) $$(CPPFLAGS) -DRUNSTATEDIR='"run"' $$(CFLAGS) $$(WERROR) \
		$$(flavour_$(1)) -c -o $$@ $$<

$(BUILD)/unit/$(1)/test_compat_kernel $(BUILD)/unit/$(1)/test_net: tests/unit/fake_mnl.c
$(BUILD)/unit/$(1)/test_allocate $(BUILD)/unit/$(1)/test_guard: tests/unit/fake_reading.c
$(foreach t,default_route hook resolver runner,$(BUILD)/unit/$(1)/test_$(t)): \
	tests/unit/fake_program.c
$(BUILD)/unit/$(1)/%: tests/unit/%.c $$($(1)_objects) $(BUILD)/flags
	$$(call say,LD,$$@)$$(CC) $$(CPPFLAGS) -Itests/unit -DRUNSTATEDIR='"run"' $$(CFLAGS) $$(WERROR) \
		$$(flavour_$(1)) $$(LDFLAGS) -o $$@ $$(filter %.c %.o,$$^) $$(LDLIBS) -lcmocka
endef
$(eval $(call flavour,plain))
$(eval $(call flavour,asan))

# The server's engine in a simulated world, with its system calls; from the archive comes only what
# the simulation does not stand for.
sim_calls := malloc free calloc realloc reallocarray time pwrite64 fdatasync fallocate64 ftruncate64 \
	pread64 fstat64 accept4 recv send sendto shutdown close
$(BUILD)/unit/asan/sim.a: $(asan_objects)
	@$(RM) $@
	$(call say,AR,$@)$(AR) rcs $@ $^
$(BUILD)/sim: $(wildcard tests/sim/*.c) $(BUILD)/unit/asan/sim.a $(wildcard tests/sim/*.h) src/server.c
	$(call say,LD,$@)$(CC) $(CPPFLAGS) -Itests/sim -DRUNSTATEDIR='"run"' $(CFLAGS) $(WERROR) \
		$(flavour_asan) $(LDFLAGS) $(sim_calls:%=-Wl,--wrap=%) -o $@ \
		$(filter tests/%.c %.a,$^) $(LDLIBS)

# The program under the sanitizers, and, with them and without, one whose engine is in somebody
# else's hands.
asan_program := $(sources:src/%.c=$(BUILD)/asan/obj/%.o)
test_programs := $(BUILD)/asan/wg-dynamic $(BUILD)/asan/hostile/wg-dynamic \
	$(BUILD)/hostile/wg-dynamic
hostile_engine := tests/netns/hostile.c \
	-Wl,--wrap=server_engine -Wl,--wrap=client_engine

$(BUILD)/asan/obj/%.o: src/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) $(CPPFLAGS) -DRUNSTATEDIR='"$(RUNSTATEDIR)"' $(CFLAGS) $(WERROR) \
		$(flavour_asan) -c -o $@ $<

$(BUILD)/asan/wg-dynamic $(BUILD)/asan/hostile/wg-dynamic: $(asan_program)
$(BUILD)/hostile/wg-dynamic: $(objects)
$(BUILD)/asan/hostile/wg-dynamic $(BUILD)/hostile/wg-dynamic: tests/netns/hostile.c $(wildcard src/*.h)
$(test_programs): $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CPPFLAGS) $(CFLAGS) $(WERROR) $(if $(findstring asan,$@),$(flavour_asan)) \
		$(LDFLAGS) -o $@ $(filter %.o,$^) $(if $(findstring hostile,$@),$(hostile_engine)) $(LDLIBS)

# load_journal loads them by the thousand, for tests/netns/cut.py.
$(BUILD)/clock.so: tests/netns/clock.c $(BUILD)/flags
	$(call say,LD,$@)$(CC) $(CFLAGS) $(WERROR) -shared -fPIC -o $@ $<

# --- measuring ---

# A million clients in virtual time: the core alone, by the optimiser's best.
million_core := $(patsubst %,src/%.c,allocate changes cidr device hash journal lease lifecycle options \
	pace policy pool protocol reading sealed settings siphash text) $(wildcard src/compat/*.c)
million_sources := $(wildcard tests/bench/million*.c)
$(BUILD)/bench/million: $(million_sources) $(million_core) tests/bench/million.h $(wildcard src/*.h) \
		$(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CPPFLAGS) -Itests/bench -DRUNSTATEDIR='"run"' \
		$(filter-out -MMD -MP,$(CFLAGS)) -O2 $(WERROR) $(LDFLAGS) -o $@ $(filter %.c,$^) $(LDLIBS)

units: $(unit_tests) $(test_programs) $(BUILD)/sim $(BUILD)/bench/million $(BUILD)/bench/load $(BUILD)/clock.so $(BUILD)/unit/plain/load_journal
.SECONDARY: $(plain_objects) $(asan_objects) # else make removes them again

# --- fuzzing ---

# `make fuzz' runs targets for SECONDS each, all or the TARGET named.
# All sources by clang, as an archive: a target may have functions of its own in place of theirs.
FUZZ_CC ?= clang
SECONDS ?= 20
TARGET ?=
fuzz_flags := -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Wall -Wextra -g -O1 -fno-omit-frame-pointer \
	-fsanitize=address,undefined -fno-sanitize-recover=all -DRUNSTATEDIR='"run"'
fuzz_objects := $(unit_sources:src/%.c=$(BUILD)/fuzz/obj/%.o)
fuzz_names := $(patsubst tests/fuzz/%.c,%,$(filter-out %/fuzz.c,$(wildcard tests/fuzz/*.c)))
fuzz_targets := $(fuzz_names:%=$(BUILD)/fuzz/%) $(BUILD)/fuzz/server

$(BUILD)/fuzz/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)$(FUZZ_CC) $(CPPFLAGS) -MMD -MP $(fuzz_flags) -fsanitize=fuzzer-no-link \
		-c -o $@ $<

$(BUILD)/fuzz/sources.a: $(fuzz_objects)
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

$(BUILD)/fuzz/%: tests/fuzz/%.c tests/fuzz/fuzz.c $(BUILD)/fuzz/sources.a tests/fuzz/fuzz.h
	$(call say,LD,$@)$(FUZZ_CC) $(CPPFLAGS) -Itests/fuzz $(fuzz_flags) -fsanitize=fuzzer \
		-o $@ $(filter %.c %.a,$^) $(LDLIBS)

# The simulated world of the server's engine, driven by inputs that find new ways through it.
$(BUILD)/fuzz/server: $(filter-out %/random.c,$(wildcard tests/sim/*.c)) $(BUILD)/fuzz/sources.a \
		$(wildcard tests/sim/*.h) src/server.c
	$(call say,LD,$@)$(FUZZ_CC) $(CPPFLAGS) -Itests/sim $(fuzz_flags) -fsanitize=fuzzer \
		$(sim_calls:%=-Wl,--wrap=%) -o $@ $(filter tests/%.c %.a,$^) $(LDLIBS)

fuzzers: $(fuzz_targets)
.SECONDARY: $(fuzz_objects)

deps-fuzz:
	@tests/install-deps.sh fuzz

fuzz: deps-fuzz
	@$(MAKE) --no-print-directory fuzzers
	@tests/fuzz/run.sh $(BUILD)/fuzz $(SECONDS) $(TARGET)

deps-demo:
	@tests/install-deps.sh demo
deps-check:
	@tests/install-deps.sh check
deps-cross:
	@tests/install-deps.sh cross

demo: deps-demo
	@$(MAKE) --no-print-directory all
	@tests/demo.sh

# All that is built for tests, on all processors.
build_tests = $(MAKE) --no-print-directory -j$(shell nproc) WERROR=-Werror all units fuzzers

check: deps-check
	@$(build_tests)
	@tests/run.sh $(BUILD)

check-vm: deps-check
	@$(MAKE) --no-print-directory WERROR=-Werror all
	@tests/run.sh $(BUILD) vm

check-long: deps-check deps-cross
	@tests/install-deps.sh long
	@$(build_tests)
	@tests/run.sh $(BUILD) long
	@tests/cross.sh $(BUILD)/cross

check-installed: deps-check
	@tests/run.sh installed

check-cross: deps-cross
	@tests/cross.sh $(BUILD)/cross

# --- benchmarks ---

comma := ,
# `make bench' measures all, or the PART named, in so many ROUNDS; OPTIONS go to bench.py.
PART ?=
ROUNDS ?= 5
OPTIONS ?=
bench_tools := $(BUILD)/bench/device $(BUILD)/bench/load $(BUILD)/bench/limit $(BUILD)/bench/bare
unconfined := $(BUILD)/bench/unconfined/wg-dynamic
$(BUILD)/bench/device: tests/bench/device.c tests/bench/peers.c
$(BUILD)/bench/load: tests/bench/load.c tests/bench/measure.c
$(BUILD)/bench/limit: tests/bench/limit.c
$(BUILD)/bench/bare: tests/bench/bare.c
$(bench_tools): $(wildcard tests/bench/*.h) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra $(WERROR) -o $@ \
		$(filter %.c,$^)

# What valgrind can run, as sandbox and filter are not there.
$(unconfined): tests/bench/unconfined.c $(objects)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CFLAGS) $(WERROR) $(LDFLAGS) $(addprefix -Wl$(comma)--wrap=, \
		$(shell sed -n 's/^int __wrap_\(.*\)(.*);/\1/p' $<)) -o $@ $^ $(LDLIBS)

deps-bench:
	@tests/install-deps.sh bench

bench: deps-bench
	@$(MAKE) --no-print-directory all $(bench_tools) $(unconfined) $(BUILD)/bench/million
	@tests/bench/bench.py --rounds $(ROUNDS) $(OPTIONS) $(PART)

# --- packages ---

deb rpm:
	@tests/install-deps.sh $@
	@tests/packaging/build.sh $@ $(BUILD)/$@ $(VERSION)

# For scripts: make -s print-VERSION
print-%:
	@echo '$($*)'

help:
	@echo 'make                   build/wg-dynamic, and build/wg and build/wg-quick, which stand'
	@echo '                       in front of those of wireguard-tools'
	@echo 'make install           into PREFIX ($(PREFIX)), below DESTDIR if set'
	@echo 'make uninstall         takes that out again'
	@echo 'make clean             removes $(BUILD)/'
	@echo 'make graft             into the source tree of wireguard-tools, WIREGUARD_TOOLS=DIR'
	@echo 'make ungraft           takes that out again'
	@echo 'make demo              two hosts, a lease, before your eyes (root; installs what it needs)'
	@echo 'make check             all tests (root; installs what it needs)'
	@echo 'make check-vm          of these, what runs on the kernels of virtual machines'
	@echo 'make check-long        all tests, all that can be on those kernels, the Debian package in'
	@echo '                       a clean Debian, and make check-cross'
	@echo 'make check-installed   all tests in namespaces and of wg-quick, on the wg, wg-quick and'
	@echo '                       wg-dynamic of PATH'
	@echo 'make check-cross       builds for arm64, armhf and s390x, and with clang; unit tests there'
	@echo 'make fuzz              feeds each parser with inputs of its own making for SECONDS=20, or'
	@echo '                       one of them (TARGET=NAME); what breaks it is in $(BUILD)/fuzz/broken/'
	@echo 'make bench             measures: all, or PART=rates, scale, client or simulation, in'
	@echo '                       ROUNDS=5 (client: never fewer); the report is in $(BUILD)/bench/'
	@echo '                       (root; installs what it needs)'
	@echo 'make deb               build/deb/, packages for Debian (installs what it needs)'
	@echo 'make rpm               build/rpm/, the same in the RPM format'
	@echo 'make help              this list'
	@echo
	@echo 'Variables: PREFIX DESTDIR BINDIR MANDIR BASHCOMPDIR SYSTEMDUNITDIR RUNSTATEDIR STATEDIR'
	@echo '           WITH_BASHCOMPLETION WITH_SYSTEMDUNITS WITH_WGQUICK WG WG_QUICK'
	@echo '           WG_COMPLETION WIREGUARD_TOOLS CC CFLAGS V=1 SECONDS TARGET PART ROUNDS'

force:
.DEFAULT_GOAL := all
.PHONY: all in_front install uninstall graft ungraft clean units fuzzers deps-demo deps-check deps-cross \
	deps-fuzz deps-bench demo fuzz bench check check-vm check-long check-installed check-cross deb rpm help force

-include $(objects:.o=.d) $(plain_objects:.o=.d) $(asan_objects:.o=.d) $(unit_tests:=.d) \
	$(asan_program:.o=.d) $(fuzz_objects:.o=.d)
