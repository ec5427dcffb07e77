#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The same sources give the same bytes, wherever and by whomever they are built.

setup() {
	unset "${!MAKE@}" MFLAGS # of the make that runs this
}

# build FOLDER UMASK VARIABLE...: a copy of the tree in that folder, and all that is built from it
build() {
	local folder=$1
	mkdir -p "$folder"
	tar -C "$BATS_TEST_DIRNAME/.." --exclude=./.git --exclude=./build -c . | tar -C "$folder" -xm
	(
		umask "$2"
		cd "$folder" || exit
		# Debugging information is where the names of folders go.
		env "${@:3}" make CFLAGS='-O2 -g' all
		env "${@:3}" make deb
	)
}

@test "two builds in different folders, at different times, give the same bytes" {
	local a=$BATS_TEST_TMPDIR/a b=$BATS_TEST_TMPDIR/b file
	b+=/$(printf 'long/%.0s' {1..20})$(printf 'name%.0s' {1..50})
	build "$a" 022 LC_ALL=C TZ=UTC HOME=/
	build "$b" 077 LC_ALL=C.UTF-8 TZ=Pacific/Kiritimati HOME=/nonexistent MAKEFLAGS=-j2
	cd "$a/build"
	for file in wg-dynamic wg wg-quick systemd/wg-dynamic-{client,server}@.service \
		deb/wg-dynamic_*.{deb,dsc,tar.xz} deb/wg-dynamic-dbgsym_*.*deb; do
		cmp "$file" "$b/build/$file" # fails where there is none, too
	done
	run grep -rlF "$BATS_TEST_TMPDIR" wg-dynamic wg wg-quick
	[ "$status" -eq 1 ]
}
