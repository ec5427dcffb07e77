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
	sed -i '/include dynamic/d' "$TREE/src/Makefile"
	snapshot before
	run -1 ungraft
	[[ $output == *"ungraft: 0002-wg-dynamic-subcommand.patch: Hunk #1 does not fit src/Makefile"* ]]
	unchanged before
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
