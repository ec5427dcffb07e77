#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The programs that a client runs: resolvconf, wg-quick for default routes, and the user's hook. The
# server's answers are written by hand; resolvconf and, where told, wg-quick are stubs that record.

bats_require_minimum_version 1.5.0

setup() {
	load pushing
	pushing_add
	stub c1 resolvconf <<-'EOF_'
		#!/bin/bash
		printf '<%s>' "$@"
		echo
		[[ $1 != -a ]] || cat
		{ flock 9; echo "resolvconf $1"; } 9>>/run/order >>/run/order
	EOF_
	on c1 sed -i '1a exec >>/run/resolvconf 2>&1' "$NS/c1/bin/resolvconf"
}

teardown() {
	hosts_del
}

dynamic() { # WORD...: in c1, where even wg-quick may be a stub.
	# shellcheck disable=SC2016 # they expand there
	on c1 bash -c 'PATH=$0:$PATH exec wg dynamic "$@"' "$NS/c1/bin" "$@"
}

client() { # WORD...
	dynamic client wg0 "$@"
}

stop() {
	dynamic stop wg0
}

calls() { # FILE: what a stub has noted since the last time.
	on c1 cat "/run/$1" 2>/dev/null
	on c1 rm -f "/run/$1"
}

noted() { # FILE LINE...: a stub has noted these, and nothing else, since the last time.
	wait_for 10 noted_now "$@"
	sleep 0.2
	noted_now "$@"
	on c1 rm "/run/$1"
}

noted_now() { # FILE LINE...
	diff <(printf '%s\n' "${@:2}") <(on c1 cat "/run/$1" 2>&1)
}

records() { # LINE...: what resolvconf has been called with.
	noted resolvconf "$@"
}

untouched() {
	sleep 1.5 # at least one renewal
	[ -z "$(calls resolvconf)" ]
}

state_has() { # LINE
	on c1 grep -qxF "$1" /run/wg-dynamic/wg0.client.state
}

no_state() {
	not on c1 test -e /run/wg-dynamic/wg0.client.state
}

hook() { # <<script: a hook of that text; prints its path.
	on c1 bash -c 'cat >/run/hook && chmod 755 /run/hook'
}

recording_hook() { # notes its arguments in /run/hooks, and its environment in /run/EVENT.
	hook <<-'EOF_'
		#!/bin/bash
		env | sort >/run/new
		mv /run/new "/run/$2"
		echo "$#: $*" >>/run/hooks
		echo "hook $2" >>/run/order
	EOF_
}

hooks() { # EVENT...: these have been, and nothing else.
	diff <(printf '2: wg0 %s\n' "$@") <(on c1 cat /run/hooks)
}

told() { # EVENT VARIABLE=VALUE...
	local line
	for line in "${@:2}"; do
		on c1 grep -qxF "WG_DYNAMIC_$line" "/run/$1" || fail_with "no $line in:" \
			"$(on c1 cat "/run/$1")" || return 1
	done
}

# --- DNS

@test "pushed resolvers and search domains are set, replaced and removed" {
	pushes dns=192.0.2.53 dns=2001:db8::53 search=corp.example search=lab.example
	client accept address,dns
	[[ $(out srv raw) == *'\nwant=dns,call\n\n' ]]
	records "<-a><wg0><-m><0><-x>" "nameserver 192.0.2.53" "nameserver 2001:db8::53" \
		"search corp.example lab.example"
	state_has dns=wg0
	[[ $(on c1 wg dynamic show wg0) == *$'\n  dns: 192.0.2.53, 2001:db8::53\n'* ]]
	untouched

	pushes dns=192.0.2.54
	records "<-a><wg0><-m><0><-x>" "nameserver 192.0.2.54"
	pushes
	records "<-d><wg0><-f>"
	pushes dns=192.0.2.54
	records "<-a><wg0><-m><0><-x>" "nameserver 192.0.2.54"
	stop
	records "<-d><wg0><-f>"
	no_state
}

@test "what the user has set himself stays beside what is pushed, and alone without it" {
	pushes dns=192.0.2.53 search=corp.example
	client accept address,dns dns 127.0.0.1,home.example,2001:db8::1
	on c1 grep -qx 'search home.example' /run/resolvconf
	wait_for 5 on c1 grep -qx 'search home.example corp.example' /run/resolvconf
	[[ $(calls resolvconf) == *"nameserver 127.0.0.1"$'\n'"nameserver 2001:db8::1"$'\n'"nameserver 192.0.2.53"$'\n'* ]]
	pushes
	records "<-a><wg0><-m><0><-x>" "nameserver 127.0.0.1" "nameserver 2001:db8::1" \
		"search home.example"
	stop
	records "<-d><wg0><-f>"
	no_state

	# Also where nothing is accepted, and no server answers.
	no_server
	client wait 0 dns 127.0.0.1
	records "<-a><wg0><-m><0><-x>" "nameserver 127.0.0.1"
	stop
	records "<-d><wg0><-f>"
}

@test "resolvconf's name of the record is that of wg-quick" {
	on c1 mkdir -p /etc/resolvconf
	printf '%s\n' '# order' lo 'lo*x' 'eth.*' '  tun*  ' 'tap*' |
		on c1 tee /etc/resolvconf/interface-order >/dev/null
	pushes dns=192.0.2.53
	client accept dns
	records "<-a><tun.wg0><-m><0><-x>" "nameserver 192.0.2.53"
	state_has dns=tun.wg0
	# What was set by a name is removed by that.
	on c1 rm /etc/resolvconf/interface-order
	stop
	records "<-d><tun.wg0><-f>"
}

@test "hostile resolvers and domains: refused, said once, and nothing is run" {
	local bad
	pushes dns=127.0.0.53 dns=fe80::1 dns=ff02::fb dns=192.0.2.53 dns=0.0.0.0
	run -0 client accept address,dns
	records "<-a><wg0><-m><0><-x>" "nameserver 192.0.2.53"
	untouched
	[[ $(on c1 wg dynamic show wg0) == *$'\n  refused: 127.0.0.53/32, fe80::1/128, ff02::fb/128, 0.0.0.0/32\n'* ]]
	for bad in 127.0.0.53 fe80::1 ff02::fb 0.0.0.0; do
		[ "$(cat <(echo "$output") <(logs c1) | grep -c \
			"pushes the resolver $bad, which can't be reached through a tunnel")" -eq 1 ]
	done
	stop
	calls resolvconf >/dev/null
	# shellcheck disable=SC2016 # for the client to expand, if it were so stupid
	for bad in 'search=$(touch /run/canary)' 'search=a;touch /run/canary' \
		'search=`touch${IFS}/run/canary`' 'search=../../run/canary' "search=a b" \
		"search=$(printf 'a%.0s' {1..300})" 'dns=1.2.3.4;touch /run/canary' \
		'dns=$(touch /run/canary)' 'search=-x|touch /run/canary' 'search=a\rb'; do
		pushes dns=192.0.2.99 "$bad"
		run -0 client accept address,dns wait 1
		[[ $output == *"the server's answer is malformed"* ]]
		stop
	done
	[ -z "$(calls resolvconf)" ]
	not on c1 test -e /run/canary
}

@test "without resolvconf it says so once, and what to install" {
	rm "$NS/c1/bin/resolvconf"
	mkdir "$NS/c1/few"
	local program
	for program in bash cat ip wg; do
		ln -s "$(type -P "$program")" "$NS/c1/few/$program"
	done
	pushes dns=192.0.2.53
	on c1 env PATH="$NS/c1/few" "$(PATH=$BUILD:$PATH type -P wg-dynamic)" client wg0 \
		accept address,dns 2>"$BATS_TEST_TMPDIR/said"
	has_addr c1 wg0 192.0.2.7
	not shows_dns
	pushes dns=192.0.2.54
	sleep 2.5
	not shows_dns
	stop
	[ "$(cat "$BATS_TEST_TMPDIR/said" <(logs c1) | grep -c "there is no \`resolvconf' in PATH: install openresolv, or that of systemd-resolved")" -eq 1 ]
}

shows_dns() { # in all of the ways to show it.
	[[ $(on c1 wg dynamic show wg0) == *$'\n  dns: 192.0.2.5'* ||
		$(on c1 wg dynamic show wg0 dump) == *192.0.2.5* ||
		$(on c1 wg dynamic show wg0 json) == *'"dns":["192.0.2.5'* ]]
}

@test "resolvers that resolvconf did not take are not shown, nor are search domains, until it does" {
	stub c1 resolvconf <<<$'#!/bin/bash\ncat >/dev/null\n[[ $1 != -a || -e /run/fine ]]'
	pushes dns=192.0.2.53 search=corp.example
	run client accept address,dns
	[[ $output == *"\`resolvconf' ended with status 1"* ]]
	not shows_dns
	[[ $(on c1 wg dynamic show wg0 json) != *corp.example* ]]
	on c1 touch /run/fine
	wait_for 5 shows_dns
	[[ $(on c1 wg dynamic show wg0) == *$'\n  dns: 192.0.2.53\n  search: corp.example'* ]]
	on c1 rm /run/fine
	pushes dns=192.0.2.54
	wait_for 5 not shows_dns
	stop
}

# As with resolvconf -x, which hides all other resolvers.
@test "the host's own resolver stays out of pushed routes, also while ours hide it" {
	on c1 tee /etc/resolv.conf <<<'nameserver 10.9.9.9'
	stub c1 resolvconf <<-'EOF_'
		#!/bin/bash
		case $1 in
		-a) cat >/etc/resolv.conf ;;
		-d) echo nameserver 10.9.9.9 >/etc/resolv.conf ;;
		esac
	EOF_
	# Nor is it the tunnel's for being pushed.
	pushes route=10.9.9.0/24 route=10.53.0.0/24 dns=10.53.0.53 dns=10.9.9.9
	client accept address,route,dns
	wait_for 5 on c1 grep -qx "nameserver 10.53.0.53" /etc/resolv.conf
	sleep 2.5 # renewals
	state_has resolver=10.9.9.9
	[ "$(on c1 ip route show dev wg0 proto 97 | cut -d' ' -f1)" = 10.53.0.0/24 ]
	logged c1 "route 10.53.0.0/24 withdrawn" 0
	# The next client has seen nothing but ours.
	kill_all c1 client
	client accept address,route,dns
	sleep 2.5
	[ "$(on c1 ip route show dev wg0 proto 97 | cut -d' ' -f1)" = 10.53.0.0/24 ]
	logged c1 "route 10.53.0.0/24 withdrawn" 0
	stop
	on c1 grep -qx "nameserver 10.9.9.9" /etc/resolv.conf
	no_state
}

openresolv() { # in c1, Debian's openresolv, which is unpacked only (install-deps.sh) or installed.
	local root=$NETNS/../../build/openresolv
	[[ -x $root/sbin/resolvconf ]] || root=''
	grep -qs openresolv "$root/sbin/resolvconf" || skip "there is no openresolv"
	# It writes /etc/resolv.conf, which must not be the machine's own.
	[ "$(on c1 stat -c %d /etc)" != "$(stat -c %d /etc)" ] || skip "the host's /etc is the machine's"
	sed "s,^LIBEXECDIR=.*,LIBEXECDIR=$root/lib/resolvconf," "$root/sbin/resolvconf" |
		stub c1 resolvconf
	on c1 rm -f /etc/resolv.conf
	echo "nameserver 10.9.9.9" | on c1 resolvconf -a to-srv
}

resolves_by() { # LINE...: /etc/resolv.conf has these, and no others.
	diff <(printf '%s\n' "$@" | sort) <(on c1 grep -v '^#' /etc/resolv.conf | sort)
}

@test "DNS = auto by wg-quick, with openresolv: set, changed, undone; also when the client is killed" {
	local way
	wgq c1 down wg0
	wgq srv down wg0
	openresolv
	resolves_by "nameserver 10.9.9.9"
	on c1 sed -i -e "s,^Address = .*,&\\, auto," \
		-e '/^PrivateKey/i DNS = auto, 192.0.2.1, home.example' /etc/wireguard/wg0.conf
	on srv tee /run/server.conf >/dev/null <<<$'[Server]\nDNS = 192.0.2.53\nSearch = corp.example'
	up_server pool "$POOLS" lease-time 60 config /run/server.conf
	for way in orderly killed; do
		wgq c1 up wg0
		resolves_by "nameserver 192.0.2.1" "nameserver 192.0.2.53" \
			"search home.example corp.example"
		on srv sed -i 's/corp/lab/' /run/server.conf
		on srv wg dynamic reload wg0
		wait_for 8 resolves_by "nameserver 192.0.2.1" "nameserver 192.0.2.53" \
			"search home.example lab.example"
		on srv sed -i 's/lab/corp/' /run/server.conf
		on srv wg dynamic reload wg0
		[ $way = orderly ] || kill_all c1 client
		wgq c1 down wg0
		resolves_by "nameserver 10.9.9.9"
		no_state
	done
}

# --- the hook

@test "the hook learns of each event, by arguments and environment" {
	recording_hook
	RENEW=30 pushes route=10.77.0.0/16 route=fd77::/64 dns=192.0.2.53 search=corp.example mtu=1300
	SECRET=of-the-caller client accept address,route,dns,mtu hook /run/hook
	hooks bound
	told bound IP4=192.0.2.7 IP6=2001:db8::7 OLD_IP4= OLD_IP6= LEASE_TIME=60 \
		"ROUTES=10.77.0.0/16 fd77::/64" DNS=192.0.2.53 SEARCH=corp.example MTU=1300 \
		"SERVER=${PUB[srv]}"
	on c1 grep -q '^PATH=/' /run/bound
	not on c1 grep -q SECRET /run/bound
	[ "$(on c1 cat /run/order)" = $'resolvconf -a\nhook bound' ]
	stop
	hooks bound released
	told released IP4= IP6= OLD_IP4=192.0.2.7 OLD_IP6=2001:db8::7 LEASE_TIME= ROUTES= DNS= \
		SEARCH= MTU=
	# All else is undone when it runs.
	[ "$(on c1 cat /run/order)" = $'resolvconf -a\nhook bound\nresolvconf -d\nhook released' ]

	on c1 rm /run/hooks
	pushes
	client hook /run/hook
	wait_for 10 on c1 grep -q renewed /run/hooks
	told renewed IP4=192.0.2.7 OLD_IP4=192.0.2.7 ROUTES=
	pushes route=10.77.0.0/16
	wait_for 10 on c1 grep -q changed /run/hooks
	told changed IP4=192.0.2.7 OLD_IP4=192.0.2.7 ROUTES=10.77.0.0/16
	on c1 rm /run/changed
	IP4=192.0.2.8 pushes route=10.77.0.0/16
	wait_for 10 on c1 test -s /run/changed
	told changed IP4=192.0.2.8 OLD_IP4=192.0.2.7
	LEASE=3 pushes
	wait_for 10 on c1 grep -qx WG_DYNAMIC_LEASE_TIME=3 /run/changed
	no_server
	wait_for 8 on c1 grep -q expired /run/hooks
	told expired IP4= OLD_IP4=192.0.2.7 OLD_IP6=2001:db8::7 LEASE_TIME=
	stop
	not on c1 grep -q released /run/hooks
}

@test "a hook that fails or can't be run is named in the log, and the client goes on" {
	hook <<<$'#!/bin/sh\nexit 3'
	pushes
	run -0 client hook /run/hook
	[[ $output == *"\`/run/hook' ended with status 3"* ]]
	hook <<<$'#!/bin/sh\nkill -ABRT $$'
	wait_for 10 logged c1 "\`/run/hook' was killed by signal 6 (Aborted)"
	hook <<<"not a program"
	wait_for 10 logged c1 "cannot run \`/run/hook': Exec format error"
	on c1 rm /run/hook
	wait_for 10 logged c1 "cannot run \`/run/hook': No such file or directory"
	has_addr c1 wg0 192.0.2.7
	stop
}

@test "a hook that hangs is killed after 10 s with its children, and no renewal waits for it" {
	hook <<-'EOF_'
		#!/bin/bash
		trap '' TERM INT HUP
		sleep 1000 &
		echo "$2 $$ $!" >>/run/pids
		wait; wait
	EOF_
	RENEW=2 LEASE=6 pushes
	elapsed client hook /run/hook wait 3
	((MS < 8000))
	has_addr c1 wg0 192.0.2.7
	wait_for 15 logged c1 "\`/run/hook' has not ended within 10 s: killed" 1
	has_addr c1 wg0 192.0.2.7
	read -r _ first child < <(on c1 head -n 1 /run/pids)
	wait_for 3 not on c1 kill -0 "$child"
	wait_for 3 not on c1 kill -0 "$first"
	# At the end, too: ten seconds for what runs, and ten for the last event.
	elapsed stop
	((MS < 30000))
	not pids c1 client
	logged c1 "\`/run/hook' is too slow: "
	on c1 tail -n 1 /run/pids | grep -q ^released
	not has_addr c1 wg0 192.0.2.7
}

@test "the hook is looked for at the start" {
	run -1 client hook /run/nosuch
	[ "$output" = "wg-dynamic: hook \`/run/nosuch' is no program that can be run: give its whole path, or the name of one in PATH" ]
	run -1 client hook ./hook
	run -1 client hook /run
	run -1 client hook
	[[ $output == *"hook needs a program"* ]]
	hook <<<"#!/bin/sh"
	on c1 chmod 644 /run/hook
	run -1 client hook /run/hook
	not pids c1 client
	# By its name, in PATH.
	stub c1 my-hook <<<$'#!/bin/sh\necho "$0" >/run/found'
	pushes
	client hook my-hook
	[ "$(on c1 cat /run/found)" = "$NS/c1/bin/my-hook" ]
}

@test "dns takes resolvers and domains, and says what is neither" {
	local bad
	# shellcheck disable=SC2016
	for bad in 192.0.2.300 'a b' '$(x)' 'a,,b' '' 1,2 corp.5; do
		run -1 client dns "$bad"
		[[ $output == *" is neither an address nor a domain"* ]]
	done
	run -1 client dns
	[[ $output == *"dns needs a list"* ]]
	run -1 client dns 1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8,1.1.1.9
	[[ $output == *"\`1.1.1.9' is one too many"* ]]
	not pids c1 client
}

# --- privileges

privileges() { # what the monitor has kept: its capabilities, and NoNewPrivs.
	on c1 sed -n 's/^\(CapEff\|CapBnd\|NoNewPrivs\):\t//p' "/proc/$(pids c1 client monitor)/status"
}

@test "privileges are kept for other programs alone" {
	local all few word
	all=$(on c1 sed -n 's/^\(CapEff\|CapBnd\|NoNewPrivs\):\t//p' /proc/self/status)
	pushes
	client accept address,route,mtu
	few=$(privileges)
	[ "$few" = $'0000000000001400\n0000000000001400\n1' ]
	stop
	hook <<<"#!/bin/sh"
	for word in "accept dns" "accept default-route" "dns 192.0.2.1" "hook /run/hook"; do
		# shellcheck disable=SC2086 # two words
		client $word
		[ "$(privileges)" = "$all" ]
		# The engine has none all the same.
		on c1 grep -qx $'CapBnd:\t0000000000000000' "/proc/$(pids c1 client engine)/status"
		stop
	done
}

@test "who is not root is told what needs it" {
	local word
	pushes
	for word in "accept dns" "accept default-route" "dns 192.0.2.1"; do
		# shellcheck disable=SC2086 # two words
		run -1 on c1 setpriv --reuid 65534 --regid 65534 --clear-groups \
			--inh-caps +net_admin --ambient-caps +net_admin wg dynamic client wg0 $word
		[[ $output == "wg-dynamic: wg0: DNS and default routes are set by other programs, as root: run it as root" ]]
	done
}

# --- default routes

quick_stub() { # wg-quick that records.
	stub c1 wg-quick <<-'EOF_'
		#!/bin/bash
		echo "wg-quick $*" >>/run/order
		case $1 in
		add-default) wg show "$2" fwmark >>/run/marks; wg set "$2" fwmark 51820 ;;
		esac
	EOF_
}

order() { # LINE...: the stubs have been called so.
	noted order "$@"
}

# wg-quick itself makes what no stub can.
@test "deleted and made anew under a client that does not look: its default routes stay" {
	local real
	real=$(on srv bash -c 'type -P wg-quick')
	quick_stub
	pushes route=0.0.0.0/0
	client accept address,default-route
	calls order >/dev/null
	on c1 kill -STOP "$(pids c1 client monitor)"
	on c1 ip link delete wg0
	on c1 sed -i 's,^AllowedIPs.*,&\, 0.0.0.0/0,; s,^\[Interface\],&\nTable = off\nFwMark = 77,' \
		/etc/wireguard/wg0.conf
	wait_for 5 on c1 "$real" up wg0
	on c1 kill -CONT "$(pids c1 client monitor)"
	wait_for 5 not pids c1 client
	[ -z "$(calls order)" ]
	[ "$(on c1 wg show wg0 fwmark)" = 0x4d ]
	has_allowed c1 wg0 "${PUB[srv]}" 0.0.0.0/0
}

slow_hook() { # EVENT: at which it takes 3 s.
	stub c1 slow <<-EOF_
		#!/bin/bash
		[[ \$2 != $1 ]] || sleep 3
	EOF_
}

busy() { # EVENT: the hook is.
	wait_for 10 on c1 pgrep -f "slow wg0 $1"
}

@test "deleted and made anew while another program runs: the new one's default routes stay" {
	slow_hook renewed
	pushes route=0.0.0.0/0 route=::/0
	client accept address,default-route hook slow
	busy renewed
	[[ $(on c1 ip -6 rule) == *51820* ]]
	on c1 ip link delete wg0
	on c1 sed -i 's,^AllowedIPs.*,&\, 0.0.0.0/0,' /etc/wireguard/wg0.conf
	wgq c1 up wg0
	wait_for 10 not pids c1 client
	[[ $(on c1 ip route get 203.0.113.1) == *" dev wg0 "* ]]
	[[ $(on c1 ip rule) == *"not from all fwmark 0xca6c lookup 51820"* ]]
	on c1 nft list table ip wg-quick-wg0
	[[ $(on c1 ip -6 rule) != *51820* ]] # which it has none of
	wgq c1 down wg0
	[[ $(on c1 ip rule) != *51820* ]]
}

@test "deleted and made anew while another program runs: it gets no default routes that waited" {
	slow_hook bound
	pushes
	client wait 0 accept address,default-route hook slow
	busy bound
	pushes route=0.0.0.0/0
	wait_for 10 has_allowed c1 wg0 "${PUB[srv]}" 0.0.0.0/0
	on c1 ip link delete wg0
	wgq c1 up wg0
	wait_for 15 not pids c1 client
	[[ $(on c1 ip rule) != *51820* ]]
	[ "$(on c1 wg show wg0 fwmark)" = off ]
}

@test "default routes are undone when the interface is deleted" {
	quick_stub
	pushes route=0.0.0.0/0
	client accept address,default-route
	calls order >/dev/null
	on c1 ip link delete wg0
	wait_for 5 not pids c1 client
	order "wg-quick del-default wg0 0.0.0.0/0"
}

@test "default routes are asked of wg-quick, and undone in order" {
	quick_stub
	recording_hook
	pushes route=0.0.0.0/0 route=::/0 dns=192.0.2.53
	client accept address,default-route,dns hook /run/hook
	calls order | head -n 3 | diff - <(printf '%s\n' "resolvconf -a" \
		"wg-quick add-default wg0 0.0.0.0/0 ::/0" "hook bound")
	has_allowed c1 wg0 "${PUB[srv]}" 0.0.0.0/0
	has_allowed c1 wg0 "${PUB[srv]}" ::/0
	state_has default=0.0.0.0/0
	state_has default=::/0
	state_has fwmark=1
	[ -z "$(on c1 ip route show default dev wg0)" ]
	[ "$(on c1 wg show wg0 fwmark)" = 0xca6c ]

	pushes route=::/0 dns=192.0.2.53
	wait_for 10 on c1 grep -q del-default /run/order
	calls order | grep wg-quick | diff - <(echo "wg-quick del-default wg0 0.0.0.0/0")
	not has_allowed c1 wg0 "${PUB[srv]}" 0.0.0.0/0
	[ "$(on c1 wg show wg0 fwmark)" = 0xca6c ]

	on c1 ip link set wg0 down
	on c1 ip link set wg0 up
	wait_for 10 on c1 grep -q add-default /run/order
	calls order | grep wg-quick | diff - <(printf '%s\n' "wg-quick del-default wg0 ::/0" \
		"wg-quick add-default wg0 ::/0")

	stop
	calls order | grep -v renewed | diff - <(printf '%s\n' "resolvconf -d" \
		"wg-quick del-default wg0 ::/0" "hook released")
	[ "$(on c1 wg show wg0 fwmark)" = off ]
	not has_allowed c1 wg0 "${PUB[srv]}" ::/0
	no_state
}

is_marked() {
	[[ $(on c1 wg show wg0 fwmark) == 0xca6c ]]
}

@test "default routes whose firewall mark is gone get it again, or are set anew where it is not known" {
	quick_stub
	pushes route=0.0.0.0/0
	client accept address,default-route
	sleep 1.5 # it has been seen
	calls order >/dev/null
	on c1 wg set wg0 fwmark 0 # as `wg syncconf' does
	wait_for 5 is_marked
	sleep 1.5
	[ -z "$(calls order)" ]
	stop
	calls order >/dev/null
	[ "$(on c1 wg show wg0 fwmark)" = off ]

	RENEW=3000 LEASE=3600 pushes route=0.0.0.0/0
	stub c1 wg-quick <<<$'#!/bin/bash\necho "wg-quick $*" >>/run/order'
	client accept address,default-route
	sleep 1.5
	calls order >/dev/null
	on c1 wg dynamic reload wg0
	order "wg-quick del-default wg0 0.0.0.0/0" "wg-quick add-default wg0 0.0.0.0/0"
	stop
	[ "$(on c1 wg show wg0 fwmark)" = off ]
}

@test "a firewall mark and default routes of the user's own stay" {
	quick_stub
	on c1 wg set wg0 fwmark 77
	pushes route=0.0.0.0/0
	client accept address,default-route
	not state_has fwmark=1
	stop
	[ "$(on c1 wg show wg0 fwmark)" = 0xca6c ] # as wg-quick, here the stub, has left it
	calls order

	on c1 wg set wg0 peer "${PUB[srv]}" allowed-ips fe80::/128,0.0.0.0/0
	pushes route=0.0.0.0/0
	client accept address,default-route
	stop
	[ -z "$(calls order)" ]
	has_allowed c1 wg0 "${PUB[srv]}" 0.0.0.0/0

	# Another peer's, neither.
	on c1 wg set wg0 peer "${PUB[srv]}" allowed-ips fe80::/128
	on c1 wg set wg0 peer "$(wg genkey | wg pubkey)" allowed-ips 0.0.0.0/0
	run -0 client accept address,default-route
	[[ $output == *"the server pushes the route 0.0.0.0/0, which is refused: it overlaps 0.0.0.0/0, of another peer's AllowedIPs"* ]]
	not has_allowed c1 wg0 "${PUB[srv]}" 0.0.0.0/0
	[ -z "$(calls order)" ]
}

@test "a wg-quick without the entry point is named, with the remedy, once" {
	stub c1 wg-quick <<<$'#!/bin/sh\nexit 1'
	pushes route=0.0.0.0/0
	run -0 client accept address,default-route
	[[ $output == *"\`wg-quick' ended with status 1: for default routes, the wg-quick that comes with wg-dynamic must be the first in PATH"* ]]
	sleep 2.5
	not logged c1 "wg-quick"
	has_addr c1 wg0 192.0.2.7
	stop
}

@test "a lease that ends takes its resolvers and default routes with it" {
	quick_stub
	recording_hook
	LEASE=4 pushes route=0.0.0.0/0 dns=192.0.2.53
	client accept address,default-route,dns hook /run/hook
	no_server
	wait_for 10 on c1 grep -q expired /run/hooks
	calls order | grep -v renewed | diff - <(printf '%s\n' "resolvconf -a" \
		"wg-quick add-default wg0 0.0.0.0/0" "hook bound" "resolvconf -d" \
		"wg-quick del-default wg0 0.0.0.0/0" "hook expired")
	[ "$(on c1 wg show wg0 fwmark)" = off ]
	not has_allowed c1 wg0 "${PUB[srv]}" 0.0.0.0/0
	no_addrs c1
	stop
	[ -z "$(calls order)" ]
	no_state
}

shows_default() {
	[[ $(on c1 wg dynamic show wg0) == *$'\n  routes: 0.0.0.0/0'* ]]
}

@test "a default route that failed is not shown, nor told to the hook, and tried again at renewals" {
	recording_hook
	stub c1 wg-quick <<-'EOF_'
		#!/bin/bash
		echo "wg-quick $*" >>/run/order
		[[ $1 == add-default ]] || exit 0
		[[ -e /run/fine ]] && wg set "$2" fwmark 51820
	EOF_
	pushes route=0.0.0.0/0
	run -0 client accept address,default-route hook /run/hook
	[[ $output == *"\`wg-quick' ended with status 1"* ]]
	not shows_default
	# Said to be ours all the same, for SaveConfig.
	[ "$(on c1 wg dynamic show wg0 allowed-ips)" = "${PUB[srv]}"$'\t0.0.0.0/0' ]
	told changed ROUTES=
	sleep 2.5
	not shows_default
	told renewed ROUTES=
	not logged c1 "wg-quick"
	[ "$(on c1 grep -c changed /run/hooks)" -eq 1 ]
	on c1 touch /run/fine
	wait_for 5 shows_default
	wait_for 5 told changed ROUTES=0.0.0.0/0
	calls order >/dev/null
	sleep 2.5
	not grep wg-quick <(calls order)
	stop
	calls order | grep wg-quick | diff - <(echo "wg-quick del-default wg0 0.0.0.0/0")
}

# By the true wg-quick, and the true server.
@test "full tunnel: to anywhere by the server, restored after down and up, undone exactly" {
	local before
	wgq c1 down wg0
	wgq srv down wg0
	on c1 sed -i -e "s,^Address = .*,&\\, auto," -e '/^PrivateKey/i Accept = default-route' \
		/etc/wireguard/wg0.conf
	by_default
	on srv ip address add 198.51.100.1/32 dev lo
	on srv ip address add fd77::1/128 dev lo
	before=$(state c1)
	up_server pool "$POOLS" lease-time 60 route 0.0.0.0/0,::/0
	wgq c1 up wg0
	on c1 ping -n -c 1 -w 3 198.51.100.1
	on c1 ping -n -c 1 -w 3 fd77::1
	[[ $(on c1 ip route get 198.51.100.1) == *" dev wg0 "* ]]
	outside
	guarded

	on c1 ip link set wg0 down
	on c1 ip link set wg0 up
	wait_for 10 on c1 ping -n -c 1 -w 1 198.51.100.1
	wait_for 10 on c1 ping -n -c 1 -w 1 fd77::1
	wait_for 10 guarded
	outside

	wait_for 5 bound c1
	kill_all c1 client
	on c1 wg dynamic client wg0 accept address,route,default-route
	wait_for 10 on c1 ping -n -c 1 -w 1 198.51.100.1
	wait_for 10 outside
	guarded

	on c1 wg dynamic stop wg0
	[ "$(on c1 wg show wg0 fwmark)" = off ]
	[ "$(allowed c1 wg0 "${PUB[srv]}")" = fe80::/128 ]
	[ -z "$(on c1 nft list tables)" ]
	wgq c1 down wg0
	diff <(echo "$before") <(state c1)
}

guarded() { # the leased addresses are in the firewall's sets.
	[[ $(on c1 nft list set ip wg-quick-wg0 leased) == *"elements = { $(v4 c1) }"* ]] &&
		[[ $(on c1 nft list set ip6 wg-quick-wg0 leased) == *"elements = { $(v6 c1) }"* ]]
}

# --- what was killed

@test "killed: the next client takes over, and undoes what it is not to do" {
	quick_stub
	pushes route=0.0.0.0/0 dns=192.0.2.53
	client accept address,default-route,dns
	calls order >/dev/null
	kill_all c1 client
	[ -z "$(calls order)" ]
	state_has dns=wg0
	client accept address,default-route,dns
	order "resolvconf -a" "wg-quick del-default wg0 0.0.0.0/0" \
		"wg-quick add-default wg0 0.0.0.0/0"
	kill_all c1 client
	client accept address
	order "resolvconf -d" "wg-quick del-default wg0 0.0.0.0/0"
	[ "$(on c1 wg show wg0 fwmark)" = off ]
	[ "$(privileges | tail -n 1)" = 1 ]
	stop
	[ -z "$(calls order)" ]
}

@test "killed: stop undoes it all without a client" {
	quick_stub
	pushes route=0.0.0.0/0 route=10.77.0.0/16 dns=192.0.2.53 mtu=1300
	client accept address,route,default-route,dns,mtu
	kill_all c1 client
	calls order >/dev/null
	[[ $(on c1 ip link show wg0) == *" mtu 1300 "* ]]
	run -0 stop
	[[ $output != *"neither client nor server runs"* ]]
	order "resolvconf -d" "wg-quick del-default wg0 0.0.0.0/0"
	[ "$(on c1 wg show wg0 fwmark)" = off ]
	[ "$(allowed c1 wg0 "${PUB[srv]}")" = fe80::/128 ]
	[ -z "$(on c1 ip route show 10.77.0.0/16)" ]
	[[ $(on c1 ip link show wg0) == *" mtu 1420 "* ]]
	no_state
	run -0 stop
	[[ $output == *"neither client nor server runs"* ]]
}

@test "killed, and the interface deleted: stop and the next client undo DNS" {
	quick_stub
	pushes route=0.0.0.0/0 dns=192.0.2.53
	client accept address,default-route,dns
	kill_all c1 client
	calls order >/dev/null
	on c1 ip link delete wg0
	stop
	order "resolvconf -d" "wg-quick del-default wg0 0.0.0.0/0"
	no_state
}

@test "interface deleted: DNS is undone, and the hook told" {
	recording_hook
	pushes dns=192.0.2.53
	client accept address,dns hook /run/hook
	on c1 ip link delete wg0
	wait_for 10 not pids c1 client
	on c1 tail -n 1 /run/hooks | grep -q released
	on c1 tail -n 2 /run/order | diff - <(printf '%s\n' "resolvconf -d" "hook released")
	no_state
}
