#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The wg wrapper: dynamic goes to wg-dynamic, the rest to the real wg, arguments and status as given.

bats_require_minimum_version 1.5.0

setup() {
	DIR="$BATS_TEST_TMPDIR/bin dir"
	REAL="$BATS_TEST_TMPDIR/real"
	OTHER="$BATS_TEST_TMPDIR/other"
	mkdir -p "$DIR" "$REAL" "$OTHER"
	sed "s|@WG@|$REAL/wg|" "$BATS_TEST_DIRNAME/../../src/wg.sh" > "$DIR/wg"
	chmod 755 "$DIR/wg"
	program "$REAL/wg" real
	program "$DIR/wg-dynamic" beside
	program "$OTHER/wg-dynamic" elsewhere
}

# program FILE NAME: prints NAME and each argument in brackets, copies stdin, exits $STATUS
program() {
	cat > "$1" <<-EOF_
	#!/bin/bash
	printf '%s' $2; printf '[%s]' "\$@"; cat
	exit "\${STATUS:-0}"
	EOF_
	chmod 755 "$1"
}

@test "dynamic goes to the wg-dynamic beside it" {
	run -0 "$DIR/wg" dynamic client wg0 "wait" 5 < /dev/null
	[[ $output == "beside[client][wg0][wait][5]" ]]
}

@test "dynamic goes to the wg-dynamic beside it also through PATH and a link" {
	ln -s "$DIR/wg" "$OTHER/wg"
	PATH="$OTHER:$PATH" run -0 wg dynamic stop wg0 < /dev/null
	[[ $output == "beside[stop][wg0]" ]]
}

@test "dynamic goes to the wg-dynamic in PATH if none is beside it" {
	rm "$DIR/wg-dynamic"
	PATH="$OTHER:$PATH" run -0 "$DIR/wg" dynamic "a b" "" < /dev/null
	[[ $output == "elsewhere[a b][]" ]]
}

@test "no wg-dynamic at all is an error that names it" {
	rm "$DIR/wg-dynamic"
	PATH=/usr/bin:/bin run -127 "$DIR/wg" dynamic show < /dev/null
	[[ $output == *wg-dynamic* ]]
}

@test "everything else goes to the real wg, arguments unchanged" {
	run -0 "$DIR/wg" set "wg 0" "" "*" "a  b" dynamic $'x\ny' "\$HOME" < /dev/null
	[[ $output == "real[set][wg 0][][*][a  b][dynamic]"$'[x\ny]'"[\$HOME]" ]]
}

@test "no argument, and an empty one" {
	run -0 "$DIR/wg" < /dev/null
	[[ $output == "real[]" ]]
	run -0 "$DIR/wg" "" dynamic < /dev/null
	[[ $output == "real[][dynamic]" ]]
}

@test "standard input and exit status are handed on" {
	STATUS=3 run -3 "$DIR/wg" pubkey <<< "a key"
	[[ $output == "real[pubkey]a key" ]]
	STATUS=42 run -42 "$DIR/wg" dynamic show <<< ""
}

@test "a wrapper of itself says so and ends" {
	sed "s|@WG@|$DIR/wg|" "$BATS_TEST_DIRNAME/../../src/wg.sh" > "$DIR/wg"
	run -1 timeout 5 "$DIR/wg" show < /dev/null
	[[ $output == *"this wrapper itself"* ]]
}
