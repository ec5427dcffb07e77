#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# graft and ungraft: on a tree of the lines that the patches have for context, and, with
# WIREGUARD_TOOLS=DIR, on a copy of that source tree of wireguard-tools. Nothing is built.

bats_require_minimum_version 1.5.0

setup() {
	ROOT=$(readlink -f "$BATS_TEST_DIRNAME/..")
	TREE=$BATS_TEST_TMPDIR/tree
	context_tree "$TREE"
	snapshot before
}

# context_tree DIR: what the patches take for granted, and wg.c's neighbours.
context_tree() {
	perl -we '
		my ($dir, $file, %lines) = shift;
		while (<>) {
			if (m{^\+\+\+ b/(.*)}) { $file = $1; push @{$lines{$file}}, "first line\n" }
			elsif (/^(---|[A-Z])/ || !$file) { }
			elsif (/^@@/) { push @{$lines{$file}}, "between\n" }
			elsif (/^[ -](.*)/s) { push @{$lines{$file}}, $1 }
			$file = undef if eof;
		}
		for my $name (keys %lines) {
			system("mkdir", "-p", "$dir/$name") == 0 && rmdir "$dir/$name" or die;
			open my $out, ">", "$dir/$name" or die;
			print $out @{$lines{$name}}, "last line\n";
		}' "$1" "$ROOT"/wg-quick-patches/*.patch
	chmod 755 "$1/src/wg-quick/linux.bash"
	echo other >"$1/src/other.c"
}

# snapshot NAME: every file of the tree, with mode and contents.
snapshot() {
	(cd "$TREE" && find . ! -type d -printf '%p %m %l ' -exec sha256sum {} \; | sort) \
		>"$BATS_TEST_TMPDIR/$1" 2>&1
}

# unchanged NAME: the tree is as it was at that snapshot.
unchanged() {
	snapshot now
	diff "$BATS_TEST_TMPDIR/$1" "$BATS_TEST_TMPDIR/now"
}

graft() {
	"$ROOT/wg-quick-patches/graft.sh" graft "$TREE"
}

ungraft() {
	"$ROOT/wg-quick-patches/graft.sh" ungraft "$TREE"
}

# real_tree: the same on a copy of the tree that was named.
real_tree() {
	[[ -n ${WIREGUARD_TOOLS-} ]] || skip "WIREGUARD_TOOLS, a tree of wireguard-tools, is not set"
	rm -rf "$TREE"
	cp -a "$WIREGUARD_TOOLS" "$TREE"
	ungraft >/dev/null # it may be in use
	snapshot before
}

# in_and_out: all of a graft's life in this tree
in_and_out() {
	local word mode
	mode=$(stat -c %a "$TREE/src/wg-quick/linux.bash")
	graft
	[[ -f $TREE/src/dynamic/server.c && -f $TREE/src/dynamic/man/wg-dynamic.8 ]]
	[[ ! -e $TREE/src/dynamic/main.c && ! -e $TREE/src/dynamic/compat ]]
	for word in 'include dynamic/dynamic.mk' '{ "dynamic", dynamic_main' WGPEER_UPDATE_ONLY \
		'wg dynamic client' 'BR wg-dynamic (8)' _wg_dynamic; do
		grep -rqF "$word" "$TREE/src" --exclude-dir=dynamic
	done
	[[ $(stat -c %a "$TREE/src/wg-quick/linux.bash") == "$mode" ]]
	[[ -z $(find "$TREE" -name '*.orig' -o -name '*.rej' -o -name '*.new') ]]
	snapshot grafted
	find "$TREE" -printf '%p %C@ %i\n' | sort >"$BATS_TEST_TMPDIR/times"
	graft
	unchanged grafted
	find "$TREE" -printf '%p %C@ %i\n' | sort | diff "$BATS_TEST_TMPDIR/times" -
	ungraft
	unchanged before
	run -0 ungraft
	[[ $output == "nothing to take out of $TREE" ]]
}

# refused LINE...: graft fails with these lines alone, and nothing is changed.
refused() {
	snapshot before
	run -1 --separate-stderr graft
	# shellcheck disable=SC2154 # run sets it
	[[ -z $output && $stderr == "$(printf '%s\n' "$@")" ]] || { echo "$stderr"; return 1; }
	unchanged before
}

@test "goes in, changes nothing the second time, and comes out to the last byte" {
	in_and_out
}

@test "does so in the tree of wireguard-tools" {
	real_tree
	in_and_out
}

@test "takes what was built there with it" {
	graft
	touch "$TREE"/src/dynamic/server.{o,d}
	ungraft
	unchanged before
}

@test "an older graft gives way to the present one" {
	graft
	snapshot grafted
	cd "$TREE/src/dynamic"
	echo >>server.c
	echo gone >removed-since.c
	sed -i 's/^+int dynamic_main.*/+int older_main(void);/' wg-quick-patches/0002-*.patch
	sed -i 's/^int dynamic_main.*/int older_main(void);/' ../subcommands.h
	find . -type f ! -name sha256sums -printf '%P\n' | xargs sha256sum >sums
	mv sums sha256sums
	graft
	[[ ! -e removed-since.c ]]
	unchanged grafted
}

@test "a tree that it does not fit is left alone, and the hunk named" {
	sed -i '/flags |= WGPEER_F_REMOVE_ME/d' "$TREE/src/ipc-linux.h"
	refused \
		"graft: 0003-ipc-update-only.patch: Hunk #1 does not fit src/ipc-linux.h at line 186" \
		"graft: $TREE is as it was: it has no place for 0003-ipc-update-only.patch"
}

@test "a file that was changed where the patch was cannot be unpatched, and is left alone" {
	graft
	sed -i 's/^include dynamic.*/& # mine/' "$TREE/src/Makefile"
	snapshot before
	run -1 ungraft
	[[ $output == *"ungraft: 0002-wg-dynamic-subcommand.patch: Hunk #1 does not fit src/Makefile"* ]]
	unchanged before
}

@test "no room: the tree is left alone, and has room again" {
	local full=$BATS_TEST_TMPDIR/full
	mkdir "$full"
	# shellcheck disable=SC2016 # for the bash inside
	unshare -m bash -c 'mount -t tmpfs -o size=400k tmpfs "$1" && cp -a "$2" "$1/tree" &&
		! "$3" graft "$1/tree" 2>"$4/said" && cp -a "$1/tree" "$4/after"' - \
		"$full" "$TREE" "$ROOT/wg-quick-patches/graft.sh" "$BATS_TEST_TMPDIR"
	grep -q "^graft: cannot write .*; $full/tree is as it was$" "$BATS_TEST_TMPDIR/said"
	TREE=$BATS_TEST_TMPDIR/after unchanged before
}

@test "killed before all of the tree was patched: the next run goes on, or takes it out" {
	cp -a "$TREE" "$BATS_TEST_TMPDIR/plain"
	graft
	snapshot grafted
	cp "$BATS_TEST_TMPDIR/plain/src/wg.c" "$BATS_TEST_TMPDIR/plain/src/ipc-linux.h" "$TREE/src/"
	mkdir "$TREE/src/dynamic.new"
	graft
	rmdir "$TREE/src/dynamic.new"
	unchanged grafted
	cp "$BATS_TEST_TMPDIR/plain/src/wg.c" "$TREE/src/"
	ungraft
	unchanged before
}

@test "a patch that is missing in src/dynamic is not taken for one that was not applied" {
	graft
	rm "$TREE"/src/dynamic/wg-quick-patches/0003-*.patch
	snapshot before
	run -1 ungraft
	[[ $output == "ungraft: missing in $TREE/src/dynamic: "*/0003-*.patch"; put it back first" ]]
	unchanged before
}

@test "a tree without one of the files is left alone" {
	rm "$TREE/src/man/wg.8"
	refused "graft: $TREE is as it was: it has no src/man/wg.8"
}

@test "follows links, and takes a relative name" {
	mv "$TREE/src/wg.c" "$TREE/elsewhere.c"
	ln -s ../elsewhere.c "$TREE/src/wg.c"
	snapshot before
	cd "$TREE/.."
	"$ROOT/wg-quick-patches/graft.sh" graft tree
	[[ -L $TREE/src/wg.c ]]
	grep -q dynamic_main "$TREE/elsewhere.c"
	"$ROOT/wg-quick-patches/graft.sh" ungraft tree
	unchanged before
}

# A Makefile with the targets and variables of wireguard-tools' own; its wg is no program.
fixture() {
	cat >"$TREE/src/Makefile" <<-'EOF'
		PLATFORM ?= linux
		PKG_CONFIG ?= pkg-config
		BINDIR := /usr/bin
		MANDIR := /usr/share/man
		BASHCOMPDIR := /usr/share/bash-completion/completions
		SYSTEMDUNITDIR := /usr/lib/systemd/system
		include dynamic/dynamic.mk
		wg: wg.o
		flags: ; @echo $(CFLAGS) $(LDLIBS)
		install:
		clean:
	EOF
}

@test "what the tree's make install and clean get" {
	local dest=$BATS_TEST_TMPDIR/dest args
	graft
	fixture
	args=(-s -C "$TREE/src" -o wg DESTDIR="$dest" WITH_BASHCOMPLETION=yes WITH_SYSTEMDUNITS=yes)
	make "${args[@]}" install
	(cd "$dest" && find . ! -type d | sort) >"$BATS_TEST_TMPDIR/list"
	diff "$BATS_TEST_TMPDIR/list" - <<-'EOF'
		./usr/bin/wg-dynamic
		./usr/bin/wg-dynamic-client
		./usr/bin/wg-dynamic-server
		./usr/lib/systemd/system/wg-dynamic-client@.service
		./usr/lib/systemd/system/wg-dynamic-server@.service
		./usr/lib/systemd/system/wg-quick@.service.d/wg-dynamic.conf
		./usr/share/bash-completion/completions/wg-dynamic
		./usr/share/bash-completion/completions/wg-dynamic-client
		./usr/share/bash-completion/completions/wg-dynamic-server
		./usr/share/man/man7/wg-dynamic.7
		./usr/share/man/man8/wg-dynamic-client.8
		./usr/share/man/man8/wg-dynamic-server.8
		./usr/share/man/man8/wg-dynamic.8
	EOF
	[[ $(readlink "$dest/usr/bin/wg-dynamic-client") == wg ]]
	grep -q '^ExecStart=/usr/bin/wg-dynamic-server ' "$dest"/usr/lib/systemd/system/*server@.service
	grep -qx 'ExecReload=-/usr/bin/wg-dynamic reload %i' \
		"$dest"/usr/lib/systemd/system/wg-quick@.service.d/wg-dynamic.conf
	touch "$TREE"/src/dynamic/server.{o,d}
	make -s -C "$TREE/src" clean
	[[ -z $(find "$TREE/src/dynamic" -type f -name '*.[od]') ]]
}

@test "WITH_DYNAMIC: where libmnl is found, or as it says" {
	graft
	fixture
	[[ $(make -s -C "$TREE/src" flags) == *-DWITH_DYNAMIC*-lmnl* ]]
	make -n -C "$TREE/src" wg | grep -q 'dynamic/server\.c'
	for args in PKG_CONFIG=false PLATFORM=freebsd WITH_DYNAMIC=no; do
		[[ $(make -s -C "$TREE/src" flags "$args") != *[A-Za-z]* ]]
		run -1 grep -q dynamic <(make -n -C "$TREE/src" wg install "$args")
	done
	[[ $(make -s -C "$TREE/src" flags WITH_DYNAMIC=yes PKG_CONFIG=false) == *-DWITH_DYNAMIC* ]]
}

@test "the tree's completion of wg knows dynamic where ours is installed" {
	real_tree
	graft
	mkdir "$BATS_TEST_TMPDIR/completions"
	cp "$TREE/src/completion/wg.bash-completion" "$BATS_TEST_TMPDIR/completions/wg"
	completes "" "d" ""
	cp "$TREE/src/dynamic/completion/wg-dynamic.bash-completion" \
		"$BATS_TEST_TMPDIR/completions/wg-dynamic"
	completes "dynamic" "d"
	completes "client" dynamic c
	completes "foreground" dynamic server wg0 f
}

completes() { # ANSWER WORD...: what bash would offer for the last of the words after wg
	local answer
	answer=$(bash --norc -c '. "$1"; COMP_WORDS=(wg "${@:2}") COMP_CWORD=$(($# - 1))
		compopt() { :; }; _wg_completion wg; echo "${COMPREPLY[*]}"' - \
		"$BATS_TEST_TMPDIR/completions/wg" "${@:2}" 2>/dev/null)
	[[ $answer == "$1" ]] || { echo "${*:2}: $answer"; return 1; }
}

@test "changes that someone made in src/dynamic are not lost" {
	graft
	echo "/* mine */" >>"$TREE/src/dynamic/server.c"
	line="changed in $TREE/src/dynamic: server.c; move what you changed away first"
	refused "graft: $line"
	run -1 ungraft
	[[ $output == "ungraft: $line" ]]
	unchanged before
	mv "$TREE/src/dynamic/server.c" "$BATS_TEST_TMPDIR/"
	graft
	cmp "$TREE/src/dynamic/server.c" "$ROOT/src/server.c"
}

@test "files that someone put into src/dynamic stay, and are named" {
	graft
	echo mine >"$TREE/src/dynamic/mine.c"
	run -0 ungraft
	[[ $output == *"did not put it there: mine.c"* && -f $TREE/src/dynamic/mine.c ]]
}

@test "a src/dynamic that is not ours is left alone" {
	mkdir "$TREE/src/dynamic"
	echo theirs >"$TREE/src/dynamic/client.c"
	refused "graft: $TREE/src/dynamic was not put there by graft: move it away"
}

@test "no tree, and no such tree" {
	run -1 "$ROOT/wg-quick-patches/graft.sh" graft ""
	[[ $output == "graft: which tree? WIREGUARD_TOOLS=DIR names the source tree of wireguard-tools" ]]
	rm "$TREE/src/wg.c"
	refused "graft: $TREE is no source tree of wireguard-tools: it has no src/wg.c"
}

@test "make calls it, also with blanks in the name" {
	mv "$TREE" "$TREE two"
	TREE+=" two"
	make -s -C "$ROOT" graft WIREGUARD_TOOLS="$TREE"
	[[ -d $TREE/src/dynamic ]]
	make -s -C "$ROOT" ungraft WIREGUARD_TOOLS="$TREE"
	unchanged before
}
