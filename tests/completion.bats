#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Completion in bash: what is offered where, as if the Tab key had been pressed there.
# shellcheck disable=SC2317 # wg() is called by what is tested

setup() {
	wg() {
		[[ "$*" == "show interfaces" ]] && echo "wg0 wg1 tunnel"
	}
	# shellcheck source=/dev/null
	source "$BATS_TEST_DIRNAME/../completion/wg-dynamic.bash-completion"
}

# tab WORD...: the last one is under the cursor; prints what is offered, in one line
tab() {
	local words
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	read -ra words <<<"$(complete -p "${1##*/}")"
	[[ ${words[1]} == -F ]]
	"${words[2]}" "$1" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
	echo "${COMPREPLY[*]}"
}

@test "subcommands" {
	[ "$(tab wg-dynamic "")" = "client server show stop help" ]
	[ "$(tab wg-dynamic s)" = "server show stop" ]
	[ "$(tab /usr/local/bin/wg-dynamic cl)" = client ]
	[ "$(tab wg-dynamic x)" = "" ]
}

@test "every subcommand of the program is offered, and no other but help" {
	local program=$BATS_TEST_DIRNAME/../build/wg-dynamic
	[ "$(tab wg-dynamic "")" = "$("$program" help | sed -n 's/^  wg dynamic \([a-z]*\) .*/\1/p' |
		paste -sd ' ') help" ]
}

@test "interfaces" {
	for subcommand in client server stop; do
		[ "$(tab wg-dynamic $subcommand "")" = "wg0 wg1 tunnel" ]
		[ "$(tab wg-dynamic $subcommand wg)" = "wg0 wg1" ]
	done
	[ "$(tab wg-dynamic show "")" = "wg0 wg1 tunnel all dump" ]
	[ "$(tab wg-dynamic help "")" = "" ]
}

@test "no interface at all, and no wg" {
	wg() { return 1; }
	[ "$(tab wg-dynamic show "")" = "all dump" ]
	wg() { echo "wg: not found" >&2; return 127; }
	run tab wg-dynamic client ""
	[ "$status" -eq 0 ] && [ "$output" = "" ]
}

@test "options, each once, and nothing for their values" {
	[ "$(tab wg-dynamic client wg0 "")" = "foreground wait" ]
	[ "$(tab wg-dynamic client wg0 foreground "")" = wait ]
	[ "$(tab wg-dynamic client wg0 wait "")" = "" ]
	[ "$(tab wg-dynamic client wg0 wait 5 "")" = foreground ]
	[ "$(tab wg-dynamic client wg0 wait 5 foreground "")" = "" ]
	[ "$(tab wg-dynamic server wg0 "")" = "foreground pool lease-time" ]
	[ "$(tab wg-dynamic server wg0 pool "")" = "" ]
	[ "$(tab wg-dynamic server wg0 pool 192.0.2.0/24 "")" = "foreground lease-time" ]
	[ "$(tab wg-dynamic server wg0 pool 192.0.2.0/24 l)" = lease-time ]
	[ "$(tab wg-dynamic server wg0 lease-time 60 f)" = foreground ]
	[ "$(tab wg-dynamic show wg0 "")" = dump ]
	[ "$(tab wg-dynamic show wg0 dump "")" = "" ]
	[ "$(tab wg-dynamic show dump "")" = "" ]
	[ "$(tab wg-dynamic stop wg0 "")" = "" ]
}

@test "wg-dynamic-client and wg-dynamic-server" {
	[ "$(tab wg-dynamic-client "")" = "wg0 wg1 tunnel" ]
	[ "$(tab wg-dynamic-client wg0 "")" = "foreground wait" ]
	[ "$(tab /usr/bin/wg-dynamic-server wg0 p)" = pool ]
	[ "$(tab wg-dynamic-server wg0 pool 192.0.2.0/24 l)" = lease-time ]
}

# Bash splits words at a colon, as in an IPv6 pool.
@test "after an IPv6 pool" {
	[ "$(tab wg-dynamic server wg0 pool 2001 : db8 :: /64 "")" = "foreground lease-time" ]
	[ "$(tab wg-dynamic server wg0 pool 2001 : f)" = "" ]
}
