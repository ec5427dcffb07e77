#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The patch as a patch: it fits without guessing, comes out to the last byte, and brings in nothing
# that shellcheck did not find before.

bats_require_minimum_version 1.5.0
load world

setup() {
	need_scripts
	SCRIPT="$BATS_TEST_TMPDIR/wg-quick"
	TREE="$WIREGUARD_TOOLS/src/wg-quick/linux.bash"
}

# need_tree: a second release
need_tree() {
	[[ -n $WIREGUARD_TOOLS ]] || skip "WIREGUARD_TOOLS, a tree of wireguard-tools, is not set"
}

# need_shellcheck: the tool
need_shellcheck() {
	type -P shellcheck > /dev/null || skip "shellcheck is not installed"
}

# fits ORIG SCRIPT PATCH-ARGUMENT...: in and out again of SCRIPT, with no fuzz and nothing left over
fits() {
	local orig="$1" script="$2"
	shift 2
	cp -p "$orig" "$script"
	run -0 patch --fuzz=0 --no-backup-if-mismatch "$@" < "$PATCH"
	[[ $output != *fuzz* && $output != *FAILED* ]]
	run -1 cmp -s "$orig" "$script"
	bash -n "$script"
	run -0 patch --fuzz=0 --no-backup-if-mismatch -R "$@" < "$PATCH"
	[[ $output != *fuzz* && $output != *FAILED* ]]
	cmp "$orig" "$script"
	[[ $(stat -c %a "$orig") == $(stat -c %a "$script") ]]
}

# findings SCRIPT: how many of each code
findings() {
	shellcheck -f gcc "$1" | sed -n 's/.*\[\(SC[0-9]*\)\]$/\1/p' | sort | uniq -c
}

# no_worse ORIG PATCHED
no_worse() {
	local count code before
	findings "$1" > "$BATS_TEST_TMPDIR/before"
	findings "$2" > "$BATS_TEST_TMPDIR/after"
	[[ -s $BATS_TEST_TMPDIR/before ]] || fail "shellcheck found nothing at all in wg-quick"
	while read -r count code; do
		before="$(sed -n "s/ *\([0-9]*\) $code$/\1/p" "$BATS_TEST_TMPDIR/before")"
		(( count <= ${before:-0} )) || fail "$code: ${before:-0} before, $count after" || return
	done < "$BATS_TEST_TMPDIR/after"
}

@test "fits the installed script and comes out to the last byte" {
	fits "$WG_QUICK_ORIG" "$SCRIPT" "$SCRIPT"
}

@test "fits the tree with -p1 and comes out to the last byte" {
	need_tree
	mkdir -p "$BATS_TEST_TMPDIR/src/wg-quick"
	fits "$TREE" "$BATS_TEST_TMPDIR/src/wg-quick/linux.bash" -d "$BATS_TEST_TMPDIR" -p1
}

@test "the script under test is the installed one, patched" {
	cp "$WG_QUICK_ORIG" "$SCRIPT"
	patch --no-backup-if-mismatch "$SCRIPT" < "$PATCH"
	cmp "$SCRIPT" "$WG_QUICK"
}

@test "does not go in twice" {
	cp "$WG_QUICK_ORIG" "$SCRIPT"
	patch --no-backup-if-mismatch "$SCRIPT" < "$PATCH"
	cp "$SCRIPT" "$SCRIPT.once"
	run -1 patch --dry-run --force "$SCRIPT" < "$PATCH"
	cmp "$SCRIPT" "$SCRIPT.once"
}

@test "shellcheck finds nothing new" {
	need_shellcheck
	no_worse "$WG_QUICK_ORIG" "$WG_QUICK"
}

@test "shellcheck finds nothing new in the tree" {
	need_tree
	need_shellcheck
	cp "$TREE" "$SCRIPT"
	patch --no-backup-if-mismatch "$SCRIPT" < "$PATCH"
	no_worse "$TREE" "$SCRIPT"
}

@test "that comparison notices an unquoted variable" {
	need_shellcheck
	sed "s/cmd wg dynamic client \"\$INTERFACE\"/cmd wg dynamic client \$INTERFACE/" "$WG_QUICK" > "$SCRIPT"
	run -1 no_worse "$WG_QUICK_ORIG" "$SCRIPT"
	[[ $output == *SC2086* ]]
}
