# SPDX-License-Identifier: MIT
# What the Makefile of wireguard-tools includes, in its src/dynamic/: `wg' gets the subcommand
# `dynamic' where libmnl is found, or as WITH_DYNAMIC=yes or no says.

STATEDIR ?= /var/lib/wg-dynamic
WITH_DYNAMIC ?=

ifeq ($(WITH_DYNAMIC)$(PLATFORM),linux)
WITH_DYNAMIC := $(shell $(PKG_CONFIG) --exists libmnl 2>/dev/null && echo yes)
endif

dynamic_objects := $(patsubst %.c,%.o,$(wildcard dynamic/*.c))
dynamic_pages := $(wildcard dynamic/man/*.[1-9])
dynamic_units := $(wildcard dynamic/systemd/*.service dynamic/systemd/*/*.conf)

wg: # remains what is made unless told otherwise

ifeq ($(WITH_DYNAMIC),yes)
CFLAGS += -DWITH_DYNAMIC -D_FILE_OFFSET_BITS=64 -iquote . -D'STATEDIR="$(STATEDIR)"'
CFLAGS += $(shell $(PKG_CONFIG) --cflags libmnl)
LDLIBS += $(shell $(PKG_CONFIG) --libs libmnl)
wg: $(dynamic_objects)

install: install-dynamic
install-dynamic: wg
	@install -v -d "$(DESTDIR)$(BINDIR)"
	@for name in wg-dynamic wg-dynamic-client wg-dynamic-server; do \
		ln -sfv wg "$(DESTDIR)$(BINDIR)/$$name" || exit 1; \
	done
	@for page in $(dynamic_pages); do \
		install -v -D -m 0644 $$page \
			"$(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}" || exit 1; \
	done
	@[ "$(WITH_BASHCOMPLETION)" = "yes" ] || exit 0; \
	install -v -D -m 0644 dynamic/completion/wg-dynamic.bash-completion \
		"$(DESTDIR)$(BASHCOMPDIR)/wg-dynamic" && \
	ln -sfv wg-dynamic "$(DESTDIR)$(BASHCOMPDIR)/wg-dynamic-client" && \
	ln -sfv wg-dynamic "$(DESTDIR)$(BASHCOMPDIR)/wg-dynamic-server"
	@[ "$(WITH_SYSTEMDUNITS)" = "yes" ] || exit 0; \
	for unit in $(patsubst dynamic/systemd/%,%,$(dynamic_units)); do \
		sed 's|@BINDIR@|$(BINDIR)|' "dynamic/systemd/$$unit" | install -v -D -m 0644 \
			/dev/stdin "$(DESTDIR)$(SYSTEMDUNITDIR)/$$unit" || exit 1; \
	done
endif

clean: clean-dynamic
clean-dynamic:
	$(RM) $(dynamic_objects) $(dynamic_objects:.o=.d)

.PHONY: install-dynamic clean-dynamic
-include dynamic/*.d
