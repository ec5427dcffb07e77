#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# No acknowledged lease is lost and no address held twice, whatever a power cut leaves of what was
# written since the disk was last told to sync. With CRASH_POINTS, as in crash.bats, much more of
# what could be left is looked at.

bats_require_minimum_version 1.5.0

setup() {
	load many
	ROOT=${NETNS%/tests/netns}
	LOADER=$ROOT/build/unit/plain/load_journal
	[[ -x $LOADER ]] || skip "there is no build/unit/plain/load_journal: \`make units' makes it"
	many_hosts 80
	exec {CLIENTS}<"/proc/$(<"$NS/c1/pid")/ns/net"
}

teardown() {
	hosts_del
}

cut() { # SECONDS STATES STARTS: see cut.py; what it prints is in $BATS_TEST_TMPDIR/cut.
	on srv rm -f /var/run/wireguard/wg0.sock # of the one before
	on srv /usr/bin/python3 "$NETNS/cut.py" "$CLIENTS" "$LOADER" "$@" >"$BATS_TEST_TMPDIR/cut" 2>&1
}

enough() { # of what a power cut may leave has been looked at.
	tail -n 1 "$BATS_TEST_TMPDIR/cut" |
		grep -Eq "^[0-9]{4,} journals .*, [45]00? of them started on$"
}

@test "whatever a power cut leaves: what was acknowledged is there, and read without complaint" {
	if [[ -n ${CRASH_POINTS-} ]]; then
		cut 2 100000 400
	else
		cut 0.7 2000 50
		enough || cut 3 2000 50 # a slow machine has written little in that time
	fi
	sed 's/^/# /' "$BATS_TEST_TMPDIR/cut" >&3
	enough
}

# The program with its sources changed by a sed script is what srv has from now on. With the same
# name of its folder, make compiles nothing but those that it changes.
mutant() { # SCRIPT
	[[ -z ${WG_DYNAMIC_INSTALLED-} ]] || skip "what is installed is not built anew"
	local copy=$BATS_TEST_TMPDIR/copy file changed=0
	mkdir -p "$copy/build"
	cp -rp "$ROOT/Makefile" "$ROOT/src" "$copy/"
	cp -rp "$ROOT/build/obj" "$ROOT/build/flags" "$copy/build/"
	for file in "$copy"/src/*.c; do
		sed -E "$1" "$file" >"$BATS_TEST_TMPDIR/changed"
		cmp -s "$BATS_TEST_TMPDIR/changed" "$file" && continue
		cp "$BATS_TEST_TMPDIR/changed" "$file"
		((++changed))
	done
	((changed))
	make -s -C "$copy" CURDIR="$ROOT" build/wg-dynamic
	# shellcheck disable=SC2034 # for `on'
	BUILD=$copy/build
}

found() { # TEXT: that is what cut.py finds wrong.
	not cut 0.7 2000 0
	cat "$BATS_TEST_TMPDIR/cut"
	grep -q "^seed .* instant .*: $1" "$BATS_TEST_TMPDIR/cut"
}

@test "a server that answers before fdatasync() has returned is found out" {
	mutant 's/^\tif \(!store_sync\(server\)\) \{$/\tif (false) {/'
	found "peer .* was told .* until .*, has "
}

@test "a server that does not wait for the folder when it begins a journal is found out" {
	mutant 's/^\tif \(!fsync\(setup->state_fd\)\)$/\tif (true)/
		s/fsync\(dir_fd\) < 0/false/'
	found "peer .* was told .* until .*, has {}"
}

@test "a new journal that is not on the disk when it takes the old one's place is found out" {
	mutant 's/^\tif \(fsync\(setup->fresh_fd\) < 0 \|\|$/\tif (/
		s/(ret = )journal_sync\(&server->fresh\);/\10;/'
	found "peer .* was told .* until .*, has {}"
}

@test "a server that says too early that all is on the disk is found out" {
	mutant 's/^\tif \(journal->synced\) \{$/\tif (journal->records % 2 == 0) {/'
	found refused
}
