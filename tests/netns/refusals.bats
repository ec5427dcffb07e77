#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What server, client, show and stop refuse: each with its message, its exit status, and nothing
# left running. Through the real commands, in the background as people call them.

bats_require_minimum_version 1.5.0

STATE=/var/lib/wg-dynamic

setup_file() {
	load lib
	two_hosts
	local host
	for host in srv c1; do
		on "$host" sed -i 's/, auto$//' /etc/wireguard/wg0.conf
		wgq "$host" up wg0
	done
	# What a client must not be started on, each with one thing wrong; wg9 has nothing at all.
	on c1 ip tuntap add tun0 mode tun
	for host in srv c1; do
		new_interface "$host" wg9
	done
}

teardown_file() {
	hosts_del
}

setup() {
	load lib
}

teardown() {
	[[ -n ${BATS_TEST_COMPLETED-} ]] || tail -n 5 "$NS"/*/log
	local host
	for host in srv c1; do
		on "$host" wg-dynamic stop wg0 2>/dev/null
		on "$host" wg-dynamic stop wg9 2>/dev/null
		wait_for 3 not pids "$host" server
		wait_for 3 not pids "$host" client
	done
	on srv rm -f "$STATE/wg0.leases"
}

new_interface() { # HOST NAME: a WireGuard interface that is down and without anything.
	on "$1" ip link add "$2" type wireguard 2>/dev/null || on "$1" wireguard-go "$2" 2>/dev/null
}

# Standard error is exactly this one line, standard output nothing, the exit status 1; and neither
# a process nor a control socket stays behind.
refused() { # HOST LINE COMMAND...
	local before after
	before=$(left "$1")
	run --separate-stderr on "$1" "${@:3}"
	after=$(left "$1")
	# shellcheck disable=SC2154 # set by run
	stderr=$(grep -v 'no user _wg-dynamic' <<<"$stderr") # a remark, not a refusal
	[[ $status == 1 && $output == "" && $stderr == "$2" && $after == "$before" ]] ||
		fail_with "status $status: $output" "$stderr" "wanted: $2" "left: $after"
}

left() { # HOST
	on "$1" ls /run/wg-dynamic 2>/dev/null || true
	pids "$1" server || true
	pids "$1" client || true
}

server() { # LINE WORD...: on srv.
	refused srv "wg-dynamic: $1" wg dynamic server "${@:2}"
}

client() { # LINE WORD...: on c1.
	refused c1 "wg-dynamic: $1" wg dynamic client "${@:2}"
}

# One line that says what is wrong, and how it is used.
usage() { # SUBCOMMAND LINE WORD...
	refused srv "wg dynamic $1: $2"$'\n'"Usage: ${USAGE[$1]}" wg dynamic "$1" "${@:3}"
}

declare -gA USAGE=(
	[server]="wg dynamic server <interface> [foreground] [check] [config <file>] [pool <cidr>,...] [exclude <cidr>,...] [lease-time <seconds>] [route <cidr>,...] [dns <ip>,...] [search <domain>,...] [mtu <bytes>] [link-locals auto | off]"
	[client]="wg dynamic client <interface> [foreground] [check] [wait <seconds>] [accept <word>[,<word>]...] [table <number> | off] [dns <value>[,<value>]...] [hook <program>]"
	[show]="wg dynamic show [<interface> | all] [allowed-ips | dump | json]"
	[reload]="wg dynamic reload <interface>"
	[release]="wg dynamic release <interface> peer <key>"
	[address]="wg dynamic address <key>"
	[stop]="wg dynamic stop <interface>"
)

AS_NOBODY=(setpriv --reuid 65534 --regid 65534 --clear-groups)
WITHOUT=(setpriv --bounding-set -net_admin)
MISSING="wg-dynamic: wg0: CAP_NET_ADMIN is missing: run it as root, or give that capability to the container or unit"

# ---- server

@test "server: usage" {
	usage server "the interface is missing"
	usage server "the interface is missing: it comes before \`config'" config /etc/hostname
	usage server "the interface is missing: it comes before \`config'" config /etc/hostname check
	usage server "the interface is missing: it comes before \`pool'" pool 192.0.2.0/24 foreground
	usage server "the interface is missing: it comes before \`foreground'" foreground pool 192.0.2.0/24
	usage server "\`' is no name of an interface" ""
	usage server "\`a/b' is no name of an interface" a/b
	usage server "\`interface-of-16-' is no name of an interface" interface-of-16-
	usage server "\`nonsense' is no option" wg0 nonsense
	usage server "\`-f' is no option" wg0 foreground -f
	usage server "\`pool' needs a value" wg0 pool
	usage server "\`lease-time' needs a value" wg0 pool 192.0.2.0/24 lease-time
	local time
	for time in "" 0 -1 +1 x 1x 1.5 ' 1' 31536001 4294967297 foreground; do
		usage server "lease-time \`$time' is not a number of seconds from 1 to 31536000" \
			wg0 pool 192.0.2.0/24 lease-time "$time"
	done
}

@test "server: pools that are none" {
	local pool
	for pool in "" x 192.0.2.0 2001:db8::7 192.0.2/24 192.0.2.0/33 192.0.2.0/x 192.0.2.0/ 2001:db8::/129; do
		usage server "pool \`$pool' is not a network: write ADDRESS/BITS" wg0 pool "$pool"
	done
	usage server "pool \`' is not a network: write ADDRESS/BITS" wg0 pool 192.0.2.0/24,
	usage server "pool \`192.0.2.1/24' has bits set behind its prefix length: write the network's own address" \
		wg0 pool 192.0.2.1/24
	usage server "pool \`2001:db8::1/64' has bits set behind its prefix length: write the network's own address" \
		wg0 pool 192.0.2.0/24,2001:db8::1/64
	usage server "pool \`8.0.0.0/7' is too large for a pool: IPv4 goes up to /8, IPv6 up to /32" \
		wg0 pool 8.0.0.0/7
	usage server "pool \`2001:d00::/24' is too large for a pool: IPv4 goes up to /8, IPv6 up to /32" \
		wg0 pool 2001:d00::/24
	for pool in 127.0.0.0/8 224.0.0.0/8 0.0.0.0/8 fe80::/64 ff02::/64 ::/64; do
		usage server "pool \`$pool' holds addresses that no host may have: choose another network" \
			wg0 pool "$pool"
	done
	usage server "pool \`192.0.2.64/28' overlaps another pool: name each address once" \
		wg0 pool 192.0.2.0/24,192.0.2.64/28
	usage server "pool \`192.0.2.0/24' overlaps another pool: name each address once" \
		wg0 pool 192.0.2.0/24 pool 192.0.2.0/24
	usage server "pool \`10.0.64.0/24' is one pool too many: 64 are the most" \
		wg0 pool "$(printf '10.0.%s.0/24,' {0..63})10.0.64.0/24"
}

@test "both daemons, where their user is missing: a line names the remedy, and they go on" {
	local host
	for host in srv c1; do
		on "$host" sed -i /^_wg-dynamic:/d /etc/passwd
	done
	local line=": wg0: there is no user _wg-dynamic, which \`useradd --system --no-create-home _wg-dynamic' makes: the engine runs as nobody"
	run --separate-stderr on srv wg dynamic server wg0 pool 192.0.2.0/24
	# shellcheck disable=SC2154 # set by run
	[ "$status" -eq 0 ] && grep -qx "wg-dynamic$line" <<<"$stderr"
	run --separate-stderr on c1 wg dynamic client wg0
	[ "$status" -eq 0 ] && grep -qx "wg-dynamic$line" <<<"$stderr"
	[ "$(on srv ps -o user= "$(pids srv server engine)")" = nobody ]
}

@test "server: not root, or root without the capability, as in a container" {
	refused srv "$MISSING" "${AS_NOBODY[@]}" wg-dynamic server wg0 pool 192.0.2.0/24
	refused srv "$MISSING" "${WITHOUT[@]}" wg-dynamic server wg0 pool 192.0.2.0/24
}

@test "server: no such interface, not WireGuard, down, no pool" {
	server "nope: there is no such interface: bring it up first, for instance with \`wg-quick up nope'" \
		nope pool 192.0.2.0/24
	server "lo: is not a WireGuard interface: \`wg show interfaces' lists those" \
		lo pool 192.0.2.0/24
	server "to-c1: is not a WireGuard interface: \`wg show interfaces' lists those" \
		to-c1 pool 192.0.2.0/24
	server "wg9: the interface is down: \`ip link set up dev wg9'" wg9 pool 192.0.2.0/24
	server "wg0: there is no pool: name one (\`pool 192.0.2.0/24'), or give the interface an address with its network" \
		wg0
}

@test "server: a second one" {
	on srv wg dynamic server wg0 pool 192.0.2.0/24
	local first
	first=$(pids srv server monitor && pids srv server engine)
	server "wg0: a server runs on this interface already: \`wg dynamic stop wg0' ends it" \
		wg0 pool 192.0.2.0/24
	[ "$(pids srv server monitor && pids srv server engine)" = "$first" ]
	raw c1 client 'request_ip=1\n\n' | grep -q '^errno=0$'
	# Neither by its socket: the lock on the journal holds.
	on srv rm /run/wg-dynamic/wg0.server.sock
	server "wg0: another server has $STATE/wg0.leases open: stop it first" \
		wg0 pool 192.0.2.0/24
	on srv kill "$(pids srv server monitor)"
	wait_for 3 not pids srv server
}

@test "server: its port is in use" {
	raw_server srv @read
	server "wg0: cannot listen on [fe80::%wg0]:970: Address already in use: stop what does" \
		wg0 pool 192.0.2.0/24
	on srv kill "$SPID"
	wait_for 3 not listens srv 970
}

journal_file() { # a journal of two leases, as a server leaves it.
	on srv wg dynamic server wg0 pool 192.0.2.0/24
	raw c1 client 'request_ip=1\n\nrequest_ip=1\n\nrequest_ip=1\n\n' >/dev/null
	on srv wg dynamic stop wg0
	[ "$(on srv grep -c ^lease "$STATE/wg0.leases")" -ge 2 ]
}

@test "server: the journal is damaged; its line is named, the file untouched" {
	journal_file
	on srv cp "$STATE/wg0.leases" /run/good
	local sum line remedy="move it away, which forgets all leases"
	for line in 1 2 3 4; do
		on srv sed "${line}s/[0-9]/x/" /run/good | on srv tee "$STATE/wg0.leases" >/dev/null
		sum=$(on srv sha256sum "$STATE/wg0.leases")
		server "wg0: line $line of $STATE/wg0.leases is damaged, and so nothing was changed: restore the file, or $remedy" \
			wg0 pool 192.0.2.0/24
		remedy="remove that line, and with it the lease that it may be of"
		[ "$(on srv sha256sum "$STATE/wg0.leases")" = "$sum" ]
		not on srv test -e "$STATE/wg0.leases.new"
	done
	on srv cp /run/good "$STATE/wg0.leases"
	on srv wg dynamic server wg0 pool 192.0.2.0/24
}

@test "server: the journal of another interface" {
	journal_file
	on srv mv "$STATE/wg0.leases" "$STATE/wg9.leases"
	on srv ip link set wg9 up
	on srv ip address add fe80::/64 dev wg9 nodad
	local sum
	sum=$(on srv sha256sum "$STATE/wg9.leases")
	server "wg9: $STATE/wg9.leases holds the leases of another interface: move it away" \
		wg9 pool 198.51.100.0/24
	[ "$(on srv sha256sum "$STATE/wg9.leases")" = "$sum" ]
	on srv ip link set wg9 down
	on srv rm "$STATE/wg9.leases"
}

@test "server: the journal is no file" {
	local make
	for make in "ln -s /etc/passwd" "ln -s /run/nowhere" mkdir mkfifo; do
		# shellcheck disable=SC2086 # several words
		on srv $make "$STATE/wg0.leases"
		server "wg0: $STATE/wg0.leases is not a regular file: move it away" \
			wg0 pool 192.0.2.0/24
		on srv rm -d "$STATE/wg0.leases"
	done
	not on srv test -e /run/nowhere
}

# strace has all processes of a server that starts fail so, for this file.
server_with() { # FILE INJECTION LINE
	refused srv "wg-dynamic: $3" timeout 20 strace -f -q -o /dev/null -P "$1" -e "inject=$2" \
		wg-dynamic server wg0 pool 192.0.2.0/24
}

@test "server: the disk fails when the journal is opened or read: nothing is changed" {
	journal_file
	local call error sum
	sum=$(on srv sha256sum "$STATE/wg0.leases")
	for error in EIO:Input/output\ error ESTALE:Stale\ file\ handle; do
		for call in 1 1+; do
			server_with "$STATE/wg0.leases" "pread64:error=${error%%:*}:when=$call" \
				"wg0: cannot read $STATE/wg0.leases, and so nothing was changed: ${error#*:}: mend the disk, or restore the file"
		done
	done
	server_with "$STATE" "fsync:error=EIO" \
		"wg0: cannot make $STATE durable: Input/output error"
	[ "$(on srv sha256sum "$STATE/wg0.leases")" = "$sum" ]
	not on srv test -e "$STATE/wg0.leases.new"
	on srv mount -o remount,ro "$STATE"
	server "wg0: cannot open $STATE/wg0.leases: Read-only file system" wg0 pool 192.0.2.0/24
	on srv mount -o remount,rw "$STATE"
	on srv wg dynamic server wg0 pool 192.0.2.0/24
}

# ---- client

@test "client: usage" {
	usage client "which interface?"
	usage client "\`nonsense' is not understood" wg0 nonsense
	usage client "\`10' is not understood" wg0 10
	usage client "wait needs seconds, 0 to 86400" wg0 wait
	local wait
	for wait in "" -1 +1 x 1x 1.5 ' 1' 86401 4294967297 foreground; do
		usage client "wait needs seconds, 0 to 86400, not $wait" wg0 wait "$wait"
	done
	usage client "accept needs a list of address, route, default-route, dns, mtu and prefixes" \
		wg0 accept
	local word
	for word in "" x routes 10.0.0.0/33 10.0.0/8 -route; do
		usage client "accept \`$word' is neither address, route, default-route, dns or mtu, nor a prefix" \
			wg0 accept "address,$word,mtu"
	done
	usage client "accept \`10.0.64.0/24' is one prefix too many: 64 are the most" \
		wg0 accept "$(printf '10.0.%s.0/24,' {0..63})10.0.64.0/24"
	usage client "table needs a number, 1 to 4294967295, or \`off'" wg0 table
	for word in "" 0 -1 main auto 4294967296; do
		usage client "table needs a number, 1 to 4294967295, or \`off', not $word" \
			wg0 table "$word"
	done
}

@test "client: not root, or root without the capability, as in a container" {
	refused c1 "$MISSING" "${AS_NOBODY[@]}" wg-dynamic client wg0
	refused c1 "$MISSING" "${WITHOUT[@]}" wg-dynamic client wg0
}

@test "client: no such interface, not WireGuard, down" {
	client "nope: there is no such interface: bring it up first, as by \`wg-quick up nope'" nope
	client "lo: is not a WireGuard interface: name that of the tunnel" lo
	client "to-srv: is not a WireGuard interface: name that of the tunnel" to-srv
	run on c1 wg dynamic client tun0
	[ "$status" -eq 1 ] && [ "${#lines[@]}" -eq 1 ]
	[[ $output == "wg-dynamic: tun0: is not a WireGuard interface (\`wg show interfaces' lists those): "* ]]
	client "wg9: the interface is down: bring it up first, by \`ip link set wg9 up'" wg9
}

@test "client: no link-local, none with /128, two of them, no peer for fe80::" {
	on c1 ip link set wg9 up
	local none="wg9: has no link-local address with prefix length 128: give it the one that the server knows, in wg-quick's Address or by \`ip address add fe80::abcd:abcd:abcd:abcd/128 dev wg9'"
	client "$none" wg9
	on c1 ip address add fe80::9/64 dev wg9 nodad
	client "$none" wg9
	on c1 ip address add fe80::1/128 dev wg9 nodad
	client "wg9: no peer's allowed-ips cover fe80::, the server's address: add fe80::/128 to those of the server" \
		wg9
	on c1 wg set wg9 peer "${PUB[srv]}" allowed-ips 10.0.0.0/8,fe80::1:0/112,fe80::1/128
	client "wg9: no peer's allowed-ips cover fe80::, the server's address: add fe80::/128 to those of the server" \
		wg9
	on c1 ip address add fe80::2/128 dev wg9 nodad
	run on c1 wg dynamic client wg9
	[ "$status" -eq 1 ]
	[[ $output =~ ^"wg-dynamic: wg9: has more than one link-local address with /128, fe80::"[12]" and fe80::"[12]": remove all but the one that the server knows"$ ]]
	on c1 ip link set wg9 down
	on c1 wg set wg9 peer "${PUB[srv]}" remove
}

@test "client: fe80:: is an anycast address of a host that forwards; or its own" {
	on c1 sysctl -q net.ipv6.conf.all.forwarding=1
	on c1 ip link set wg9 up
	on c1 ip address add fe80::9/64 dev wg9 nodad
	on c1 ip address add fe80::1/128 dev wg9 nodad
	on c1 wg set wg9 peer "${PUB[srv]}" allowed-ips ::/0
	client "wg9: fe80:: is an anycast address of this host itself, since it forwards IPv6 and the kernel gave the interface a link-local: \`ip link set wg9 addrgenmode none' before it goes up" \
		wg9
	on c1 sysctl -q net.ipv6.conf.all.forwarding=0
	on c1 ip address add fe80::/64 dev wg9 nodad
	client "wg9: fe80:: is this host's own address, as on the interface of a server: remove it to run a client" \
		wg9
	on c1 ip link set wg9 down
	on c1 wg set wg9 peer "${PUB[srv]}" remove
}

@test "client: a second one" {
	on c1 wg dynamic client wg0 wait 0
	local first
	wait_for 5 pids c1 client engine # not there yet, perhaps
	first=$(pids c1 client | sort)
	client "wg0: a client runs on this interface already: \`wg dynamic stop wg0' ends it" wg0
	client "wg0: a client runs on this interface already: \`wg dynamic stop wg0' ends it" \
		wg0 foreground
	[ "$(pids c1 client | sort)" = "$first" ]
}

@test "client: no server: after the wait it warns, and goes on in the background" {
	elapsed run on c1 wg dynamic client wg0 wait 0
	[ "$status" -eq 0 ]
	((MS < 9000)) # else 10 s
	[[ $output != *"no addresses yet"* ]] # nothing has been tried
	[ "$(pids c1 client | wc -l)" -eq 3 ]
	on c1 wg dynamic stop wg0

	elapsed run on c1 wg dynamic client wg0 wait 1
	[ "$status" -eq 0 ]
	((MS >= 900 && MS < 9000))
	local refused="cannot connect to the server: Connection refused"
	[[ ${lines[-2]} == "wg-dynamic: wg0: $refused: does \`wg dynamic server' run there? Is TCP port 970 filtered?" ]]
	[[ ${lines[-1]} == "wg-dynamic: wg0: no addresses yet, going on in the background: $refused" ]]
	[ "$(pids c1 client | wc -l)" -eq 3 ]
	# And it does go on.
	on srv wg dynamic server wg0 pool 192.0.2.8/32
	wait_for 5 has_addr c1 wg0 192.0.2.8/32
}

# ---- show, stop, and the rest

@test "show: nothing runs, no such interface, one word too many" {
	local interface
	for interface in wg0 lo nope; do
		refused srv "wg-dynamic: $interface: neither client nor server runs" \
			wg dynamic show "$interface"
		refused srv "wg-dynamic: $interface: neither client nor server runs" \
			wg dynamic show "$interface" dump
	done
	usage show "an interface or \`all', and \`dump', \`json' or \`allowed-ips' at the end, is all" wg0 wg9
	usage show "an interface or \`all', and \`dump', \`json' or \`allowed-ips' at the end, is all" all dump json
	usage show "an interface or \`all', and \`dump', \`json' or \`allowed-ips' at the end, is all" all x dump
	local words
	for words in show "show all" "show dump" "show all dump" ""; do
		# shellcheck disable=SC2086 # words
		run on srv wg dynamic $words
		[ "$status" -eq 0 ] && [ "$output" = "" ]
	done
}

@test "stop: nothing runs there: one line, and status 0" {
	local interface
	for interface in wg0 lo nope; do
		run on srv wg dynamic stop "$interface"
		[ "$status" -eq 0 ]
		[ "$output" = "wg-dynamic: $interface: neither client nor server runs" ]
	done
	usage stop "exactly one interface is needed"
	usage stop "exactly one interface is needed" wg0 wg9
}

@test "release: usage, nothing runs there, no lease" {
	local key=${PUB[c1]} interface
	usage release "an interface, \`peer' and a public key are needed" wg0
	usage release "an interface, \`peer' and a public key are needed" wg0 "$key"
	usage release "an interface, \`peer' and a public key are needed" wg0 peers "$key"
	usage release "an interface, \`peer' and a public key are needed" wg0 peer "$key" x
	usage release "\`${key%=}' is no key: 44 characters, as \`wg show' prints them" \
		wg0 peer "${key%=}"
	for interface in wg0 lo nope; do
		refused srv "wg-dynamic: $interface: no server runs" \
			wg dynamic release "$interface" peer "$key"
	done
	on srv wg dynamic server wg0 pool 192.0.2.0/24
	refused srv "wg-dynamic: wg0: peer $key has no lease" wg dynamic release wg0 peer "$key"
	refused srv "wg-dynamic: wg0: ${PUB[srv]} is no peer of wg0" \
		wg dynamic release wg0 peer "${PUB[srv]}"
	on srv wg set wg0 peer "${PUB[srv]/[a-z]/Z}" allowed-ips 198.51.100.1/32
	refused srv "wg-dynamic: wg0: peer ${PUB[srv]/[a-z]/Z} has no lease" \
		wg dynamic release wg0 peer "${PUB[srv]/[a-z]/Z}"
	run on srv "${AS_NOBODY[@]}" wg-dynamic release wg0 peer "$key"
	[ "$status" -eq 1 ] && [ "${#lines[@]}" -eq 1 ] && [[ $output == *"must be run as root" ]]
}

@test "address: what is derived from a key, for whoever asks" {
	local key=AQIDBAUGBwgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
	run on srv "${AS_NOBODY[@]}" wg-dynamic address "$key"
	[ "$status" -eq 0 ] && [ "$output" = fe80::102:304:506:708 ]
	usage address "exactly one public key is needed"
	usage address "exactly one public key is needed" "$key" "$key"
	refused srv "wg-dynamic: there is no public key: the interface needs a PrivateKey" \
		wg dynamic address "(none)"
	usage address "\`${key%=}' is no key: 44 characters, as \`wg pubkey' prints them" "${key%=}"
}

@test "show and stop, while one runs: not for other users" {
	on srv wg dynamic server wg0 pool 192.0.2.0/24
	run on srv "${AS_NOBODY[@]}" wg-dynamic show wg0
	[ "$status" -eq 1 ] && [ "${#lines[@]}" -eq 1 ] && [[ $output == *"must be run as root" ]]
	run on srv "${AS_NOBODY[@]}" wg-dynamic stop wg0
	[ "$status" -eq 1 ] && [ "${#lines[@]}" -eq 1 ] && [[ $output == *"must be run as root" ]]
	[ "$(pids srv server | wc -l)" -eq 3 ]
	run on srv wg dynamic stop wg0
	[ "$status" -eq 0 ] && [ "$output" = "" ]
	not pids srv server
}

@test "no such subcommand: one line, and how all are used; help is no error" {
	run --separate-stderr on srv wg dynamic nonsense
	[ "$status" -eq 1 ] && [ "$output" = "" ]
	# shellcheck disable=SC2154 # set by run
	[ "${stderr_lines[0]}" = "wg dynamic: there is no subcommand \`nonsense'" ]
	[ "${stderr_lines[1]}" = "Usage: wg dynamic <subcommand> ..." ]
	local subcommand word all=$stderr
	for subcommand in "${!USAGE[@]}"; do
		grep -qxF "  ${USAGE[$subcommand]}" <<<"$all"
		for word in help -h --help; do
			run --separate-stderr on srv wg dynamic "$subcommand" "$word"
			[ "$status" -eq 0 ] && [ "$stderr" = "" ]
			[ "$output" = "Usage: ${USAGE[$subcommand]}" ]
		done
	done
	run --separate-stderr on srv wg dynamic help
	[ "$status" -eq 0 ] && [ "$stderr" = "" ]
	[ "${lines[0]}" = "Usage: wg dynamic <subcommand> ..." ]
	[[ $(on srv wg help) == *$'\n  dynamic: '* && $(on srv wg --help) == "$(on srv wg help)" ]]
}
