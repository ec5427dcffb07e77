#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Completion in bash: what the Tab key offers in a real one, whose bash-completion loads ours on
# demand from where it was installed.

bats_require_minimum_version 1.5.0

# In each home: what is installed; and, to be run, programs that print their words.
setup_file() {
	local name
	cd "$BATS_TEST_DIRNAME/.." || return
	unset "${!MAKE@}" MFLAGS
	make -s -o all PREFIX="$BATS_FILE_TMPDIR/home" WITH_WGQUICK=no install >/dev/null
	make -s -o all PREFIX="$BATS_FILE_TMPDIR/alone" WITH_WGQUICK=no \
		WG_COMPLETION=/nonexistent install >/dev/null
	for name in wg wg-dynamic wg-dynamic-client wg-dynamic-server; do
		rm "$BATS_FILE_TMPDIR"/{home,alone}/bin/"$name"
		tee "$BATS_FILE_TMPDIR"/{home,alone}/bin/"$name" >/dev/null <<-'EOF_'
			#!/bin/sh
			[ "$*" != "show interfaces" ] || exec echo wg0 wg1 tunnel
			[ "$*" != "show wg1 peers" ] || exec echo K1= K2=
			echo "line: ${0##*/} $*"
		EOF_
		chmod 755 "$BATS_FILE_TMPDIR"/{home,alone}/bin/"$name"
	done
}

setup() {
	HOME_DIR=$BATS_FILE_TMPDIR/home
}

# ran LINE...: what each of them was, when bash ran it; a Tab puts in all that is offered.
ran() {
	{
		printf '%s\n' 'PS1= PS2=' '. /usr/share/bash-completion/bash_completion' \
			"bind '\"\\t\": insert-completions'" "$@"
	} | env -i HOME="$HOME_DIR" PATH="$HOME_DIR/bin:/usr/bin:/bin" TERM=dumb \
		XDG_DATA_DIRS="$HOME_DIR/share:/usr/share" \
		bash --norc --noprofile -i 2>"$BATS_TEST_TMPDIR/errors" | sed -n 's/^line: //p'
}

# offers [COMMAND]: on standard input, lines `TYPED|WORDS': with a Tab behind what was typed (before
# which the command has been run), these words and no others are offered in the last one's place.
offers() {
	local typed words lines=() wanted=()
	while IFS='|' read -r typed words; do
		lines+=("$typed"$'\t')
		words="${typed% *} $words"
		wanted+=("${words% }")
	done
	((${#lines[@]}))
	diff <(printf '%s\n' "${wanted[@]}") <(ran "$@" "${lines[@]}")
}

@test "subcommands" {
	offers <<-'EOF_'
		wg-dynamic |client server show reload release stop address help
		wg-dynamic s|server show stop
		wg-dynamic cl|client
		wg-dynamic x|x
		wg dynamic |client server show reload release stop address help
		wg dynamic s|server show stop
		wg dynamic x|x
		wg dynamic help |
	EOF_
}

@test "every subcommand of the program is offered, and no other but help" {
	[ "$(ran $'wg dynamic \t')" = "wg dynamic $("$BATS_TEST_DIRNAME/../build/wg-dynamic" help |
		sed -n 's/^  wg dynamic \([a-z]*\) .*/\1/p' | paste -sd ' ') help" ]
}

@test "interfaces" {
	offers <<-'EOF_'
		wg-dynamic client |wg0 wg1 tunnel
		wg-dynamic server wg|wg0 wg1
		wg-dynamic stop t|tunnel
		wg dynamic client |wg0 wg1 tunnel
		wg dynamic server wg|wg0 wg1
		wg dynamic stop t|tunnel
		wg dynamic stop wg0 |
		wg-dynamic show |wg0 wg1 tunnel all allowed-ips dump json
		wg dynamic show |wg0 wg1 tunnel all allowed-ips dump json
		wg dynamic show a|all allowed-ips
	EOF_
}

@test "the peers of the interface to release" {
	offers <<-'EOF_'
		wg dynamic release |wg0 wg1 tunnel
		wg dynamic release wg1 |peer
		wg dynamic release wg1 peer |K1= K2=
		wg-dynamic release wg1 peer K2|K2=
		wg dynamic release wg1 peer K1= |
		wg dynamic address |
	EOF_
}

@test "no interface at all, and no wg" {
	offers 'wg() { return 1; }' <<-'EOF_'
		wg-dynamic show |all allowed-ips dump json
		wg-dynamic client |
	EOF_
	offers 'wg() { echo "wg: not found" >&2; return 127; }' <<-'EOF_'
		wg-dynamic show |all allowed-ips dump json
		wg-dynamic client |
	EOF_
	not_found=$(grep -c 'not found' "$BATS_TEST_TMPDIR/errors") || true
	[ "$not_found" -eq 1 ] # the line that was typed
}

@test "options, each once, and nothing for their values" {
	local command
	for command in wg-dynamic "wg dynamic"; do
		sed "s/^/$command /" <<-'EOF_' | offers
			client wg0 |foreground check wait accept table dns hook
			client wg0 foreground |check wait accept table dns hook
			client wg0 wait |
			client wg0 wait 5 |foreground check accept table dns hook
			client wg0 wait 5 foreground |check accept table dns hook
			client wg0 accept |address route default-route dns mtu
			client wg0 accept d|default-route dns
			client wg0 dns 192.0.2.1 accept d|default-route dns
			client wg0 accept dns |foreground check wait table dns hook
			client wg0 accept address t|table
			client wg0 table |off
			client wg0 table off |foreground check wait accept dns hook
			client wg0 dns |
			server wg0 |foreground check config pool exclude lease-time route dns search mtu link-locals
			server wg0 pool |
			server wg0 pool 192.0.2.0/24 |foreground check config exclude lease-time route dns search mtu link-locals
			server wg0 pool 192.0.2.0/24 le|lease-time
			server wg0 lease-time |
			server wg0 lease-time 60 f|foreground
			server wg0 link-locals |auto off
			server wg0 config x c|check
			server wg0 config x check c|c
			server wg0 route 10.0.0.0/8 c|check config
			show wg0 |allowed-ips dump json
			show wg0 j|json
			show all |allowed-ips dump json
			show all dump |
			show wg0 json |
			show dump |
			show json |
			show wg0 x |
		EOF_
	done
}

@test "the daemons by their own names" {
	offers <<-'EOF_'
		wg-dynamic-client |wg0 wg1 tunnel
		wg-dynamic-client wg0 |foreground check wait accept table dns hook
		wg-dynamic-server wg|wg0 wg1
		wg-dynamic-server wg0 p|pool
		wg-dynamic-server wg0 pool 192.0.2.0/24 le|lease-time
	EOF_
	# Each as the first thing that is completed, so that it has to be found.
	[ "$(ran $'wg-dynamic-server wg0 p\t')" = "wg-dynamic-server wg0 pool" ]
	[ "$(ran $'wg-dynamic-client wg0 w\t' "$HOME_DIR"$'/bin/wg-dynamic-client wg0 f\t')" = \
		$'wg-dynamic-client wg0 wait\nwg-dynamic-client wg0 foreground' ]
}

# Bash splits words at a colon, as in an IPv6 pool.
@test "after an IPv6 pool" {
	offers <<-'EOF_'
		wg dynamic server wg0 pool 2001:db8::/64 |foreground check config exclude lease-time route dns search mtu link-locals
		wg dynamic server wg0 pool 2001:f|2001:f
		wg-dynamic server wg0 pool 2001:db8::/64,192.0.2.0/24 lease-time 5 |foreground check config exclude route dns search mtu link-locals
	EOF_
}

@test "wg: what wireguard-tools offers, and dynamic with it" {
	offers <<-'EOF_'
		wg d|dynamic
		wg sh|show showconf
		wg show |wg0 wg1 tunnel all interfaces
		wg set wg0 l|listen-port
		wg x|x
	EOF_
	[[ " $(ran $'wg \t') " == *" help show "*" pubkey dynamic " ]]
	# Loaded twice, as by whoever sources it again.
	offers ". $HOME_DIR/share/bash-completion/completions/wg" <<-'EOF_'
		wg sh|show showconf
		wg d|dynamic
	EOF_
	HOME_DIR=$BATS_FILE_TMPDIR/alone
	offers ". $HOME_DIR/share/bash-completion/completions/wg" <<-'EOF_'
		wg |dynamic
		wg sh|sh
		wg dynamic stop t|tunnel
	EOF_
}
