#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The systemd units, run by systemd itself in a machine of its own (systemd.sh): the unit is on
# wg0 of the machine, its counterpart on wg1 of the network namespace `far'. Each test goes on from
# where the one before has left things.

SERVER=wg-dynamic-server@wg0 CLIENT=wg-dynamic-client@wg0
LL=fe80::abcd:abcd:abcd:abcd

setup_file() {
	ip netns add far
	ip link add near type veth peer name far netns far
	ip address add 10.9.0.1/24 dev near
	ip link set near up
	far ip address add 10.9.0.2/24 dev far
	far ip link set far up
	far ip link set lo up
	(umask 077 && wg genkey >/etc/wireguard/key && wg genkey >/etc/wireguard/far)
	configure /etc/wireguard/wg0.conf "$(</etc/wireguard/key)" "$(wg pubkey </etc/wireguard/far)" server
	configure /etc/wireguard/wg1.conf "$(</etc/wireguard/far)" "$(wg pubkey </etc/wireguard/key)" client
	# As a daemon that root has started leaves them.
	install -d /run/wg-dynamic
	install -d -m 700 /var/lib/wg-dynamic
}

setup() {
	KEY=$(wg pubkey </etc/wireguard/key) FAR=$(wg pubkey </etc/wireguard/far)
}

teardown() {
	[[ -n $BATS_TEST_COMPLETED ]] || journalctl --no-pager -b -n 60 -o short-monotonic >&2
}

# To sleep costs nothing in this machine, to look does.
soon() { # CMD...: it succeeds within a minute
	local try
	for ((try = 0; try < 60; ++try)); do
		! "$@" || return 0
		sleep 1
	done
	echo "in vain: $*" >&2
	return 1
}

not() {
	! "$@"
}

far() {
	ip netns exec far "$@"
}

configure() { # FILE PRIVATE-KEY PEER ROLE
	(umask 077 && cat >"$1") <<-EOF_
		[Interface]
		PrivateKey = $2
		$([[ $4 == server ]] && printf 'Address = fe80::/64, 192.0.2.1/24, 2001:db8::1/64\nListenPort = 51820\n')
		$([[ $4 == server ]] || echo "Address = $LL/128")
		[Peer]
		PublicKey = $3
		$([[ $4 == server ]] && echo "AllowedIPs = $LL/128")
		$([[ $4 == server ]] || printf 'Endpoint = 10.9.0.1:51820\nAllowedIPs = fe80::/128, 192.0.2.0/24, 2001:db8::/64\n')
	EOF_
}

active() { # UNIT
	[[ $(systemctl is-active "$1") == active ]]
}

ended() { # UNIT: it is down, and not because of a failure
	[[ $(systemctl show -p ActiveState -p Result --value "$1" | xargs) == "success inactive" ]]
}

main_pid() { # UNIT
	systemctl show -p MainPID --value "$1"
}

below() { # PID: its child
	grep -o '[0-9]*' "/proc/$1/task/$1/children"
}

processes() { # UNIT: all of it, one a line
	cat "/sys/fs/cgroup/$(systemctl show -p ControlGroup --value "$1")/cgroup.procs"
}

status() { # PID FIELD: of /proc/PID/status
	sed -n "s/^$2:\t//p" "/proc/$1/status" | tr '\t' ' '
}

lease() { # CMD...: that server's lease for its one client, if there is one; only addresses
	"$@" dump | grep -P '\tlease\t' | cut -f 4 | grep .
}

leased() { # CMD...: whether this interface of the other side has just these addresses
	local addresses
	addresses=$("${@:2}" ip -o address show dev "$1" scope global | tr -s ' ' | cut -d ' ' -f 4 | paste -sd ,)
	[[ $addresses == "$LEASE" ]]
}

@test "the server starts when its interface is up" {
	systemctl enable "$SERVER"
	[ "$(systemctl is-active "$SERVER")" = inactive ]
	systemctl start wg-quick@wg0
	soon active "$SERVER"
	[ "$(systemctl show -p NRestarts --value "$SERVER")" = 0 ]
	[[ $(wg-dynamic show wg0 dump) == *$'wg0\tpool\t192.0.2.0/24\t0\t'* ]]
}

@test "what is there of the server's processes" {
	local pid caps=0000000000041402 # SYS_CHROOT, NET_ADMIN, NET_BIND_SERVICE, DAC_OVERRIDE
	pid=$(main_pid "$SERVER")
	[ "$(status "$pid" Uid) $(status "$pid" Gid)" = "990 990 990 990 0 0 0 0" ]
	[ "$(status "$pid" CapEff)" = 0000000000001002 ] # NET_ADMIN, DAC_OVERRIDE
	[ "$(status "$pid" CapPrm)" = 0000000000001002 ]
	[ "$(cut -d ' ' -f 41 "/proc/$pid/stat")" = 3 ] # SCHED_BATCH
	for pid in "$(below "$pid")" "$(below "$(below "$pid")")"; do
		[ "$(status "$pid" CapEff)$(status "$pid" CapPrm)" = 00000000000000000000000000000000 ]
		[[ $(readlink "/proc/$pid/root") == */wg-dynamic/root.*" (deleted)" ]]
		[ -z "$(ls -A "/proc/$pid/root/")" ]
		not mkdir "/proc/$pid/root/new" # not even root, nor its owner
	done
	[ "$(processes "$SERVER" | wc -l)" -eq 3 ]
	for pid in $(processes "$SERVER"); do
		[ "$(status "$pid" Seccomp)" = 2 ]
		[ "$(status "$pid" NoNewPrivs)" = 1 ]
		[ "$(status "$pid" CapBnd)" = "$caps" ] # the unit's: nobody may narrow it further
		[ "$(status "$pid" CapInh)$(status "$pid" CapAmb)" = 00000000000000000000000000000000 ]
	done
	[ "$(stat -c '%U %G %a' /var/lib/wg-dynamic /run/wg-dynamic | xargs)" = \
		"_wg-dynamic root 770 _wg-dynamic root 775" ]
}

@test "a client has its lease, and the kernel its AllowedIPs" {
	far wg-quick up wg1
	far wg-dynamic client wg1
	LEASE=$(lease wg-dynamic show wg0)
	[[ $LEASE == 192.0.2.*/32,2001:db8::*/128 ]]
	leased wg1 far
	[[ $(wg show wg0 allowed-ips) == "$FAR"*"${LEASE%,*}"* ]]
	far ping -c 1 -W 5 192.0.2.1
}

@test "an engine that dies is replaced, and that is an error in the journal" {
	local pid engine
	pid=$(main_pid "$SERVER")
	engine=$(below "$(below "$pid")")
	LEASE=$(lease wg-dynamic show wg0)
	kill -KILL "$engine"
	soon below "$(below "$pid")"
	soon lease wg-dynamic show wg0
	[ "$(lease wg-dynamic show wg0)" = "$LEASE" ]
	[ "$(main_pid "$SERVER")" = "$pid" ]
	[[ $(journalctl -u "$SERVER" -p err -o cat) == "wg-dynamic: wg0: the engine was killed by signal 9"* ]]
	[[ $(journalctl -u "$SERVER" -p info -o cat) == *"wg-dynamic: wg0: "*leased* ]]
}

@test "killed or told to restart, the server goes on with its leases" {
	local pid
	pid=$(main_pid "$SERVER")
	LEASE=$(lease wg-dynamic show wg0)
	kill -KILL "$pid"
	sleep 1
	soon active "$SERVER"
	[ "$(systemctl show -p NRestarts --value "$SERVER")" = 1 ]
	[ "$(main_pid "$SERVER")" != "$pid" ]
	[ "$(lease wg-dynamic show wg0)" = "$LEASE" ]
	systemctl restart "$SERVER"
	[ "$(lease wg-dynamic show wg0)" = "$LEASE" ]
	leased wg1 far
}

@test "a server of root and the unit take turns; files stay whose they are" {
	local leases=/var/lib/wg-dynamic/wg0.leases
	LEASE=$(lease wg-dynamic show wg0)
	systemctl stop "$SERVER"
	[ "$(stat -c '%U %a' "$leases")" = "_wg-dynamic 600" ]
	wg-dynamic server wg0
	[ "$(lease wg-dynamic show wg0)" = "$LEASE" ]
	wg-dynamic stop wg0
	chown root:root "$leases" # as written anew by that server
	systemctl start "$SERVER"
	[ "$(lease wg-dynamic show wg0)" = "$LEASE" ]
	[ "$(stat -c %U "$leases" /run/wg-dynamic/wg1.client.sock | xargs)" = "root root" ]
	[ "$(stat -c '%U %G %a' /var/lib/wg-dynamic /run/wg-dynamic | xargs)" = \
		"_wg-dynamic root 770 _wg-dynamic root 775" ]
}

@test "\`wg dynamic stop' ends it, and it stays so" {
	wg-dynamic stop wg0
	soon ended "$SERVER"
	sleep 5
	ended "$SERVER"
	systemctl start "$SERVER"
}

allowed() { # all AllowedIPs of wg0, sorted
	wg show wg0 allowed-ips | tr -s ' \t' '\n' | sort
}

@test "a reload of wg-quick@ leaves leased AllowedIPs as they were, and the server running" {
	local before pid
	before=$(allowed) pid=$(main_pid "$SERVER")
	[[ $before == *"$(lease wg-dynamic show wg0 | cut -d , -f 1)"* ]]
	systemctl reload wg-quick@wg0
	[ "$(allowed)" = "$before" ]
	[ "$(main_pid "$SERVER")" = "$pid" ]
}

@test "the interface is deleted: it ends; the interface is back: it starts, with its leases" {
	LEASE=$(lease wg-dynamic show wg0)
	ip link delete wg0
	soon ended "$SERVER"
	wg-quick up wg0
	soon active "$SERVER"
	[ "$(lease wg-dynamic show wg0)" = "$LEASE" ]
}

@test "wg-quick@ restarts, stops and starts it" {
	local pid
	pid=$(main_pid "$SERVER")
	LEASE=$(lease wg-dynamic show wg0)
	systemctl restart wg-quick@wg0
	soon active "$SERVER"
	[ "$(main_pid "$SERVER")" != "$pid" ]
	[ "$(lease wg-dynamic show wg0)" = "$LEASE" ]
	systemctl stop wg-quick@wg0
	ended "$SERVER"
	systemctl start wg-quick@wg0
	soon active "$SERVER"
}

@test "OPTIONS are those of the command line; a wrong one fails, and says so" {
	mkdir -p "/etc/systemd/system/$SERVER.service.d"
	printf '[Service]\nEnvironment="OPTIONS=pool 192.0.2.0/25 lease-time 60"\n' \
		>"/etc/systemd/system/$SERVER.service.d/options.conf"
	systemctl daemon-reload
	systemctl restart "$SERVER"
	[[ $(wg-dynamic show wg0 dump) == $'wg0\tserver\t60\t'*$'\nwg0\tpool\t192.0.2.0/25\t'* ]]
	sed -i s/lease-time/lease/ "/etc/systemd/system/$SERVER.service.d/options.conf"
	systemctl daemon-reload
	run systemctl restart "$SERVER"
	[ "$status" -ne 0 ]
	[[ $(journalctl -u "$SERVER" -o cat) == *"wg dynamic server: \`lease' is no option"* ]]
	rm -r "/etc/systemd/system/$SERVER.service.d"
	systemctl daemon-reload
	systemctl disable --now "$SERVER"
	far wg-dynamic stop wg1
	[ -z "$(find /run/wg-dynamic -type s)" ] # though root's client was in another's folder
	far wg-quick down wg1
	systemctl stop wg-quick@wg0
}

@test "a WireGuard in user space, of a name with a dash" {
	local unit
	unit=wg-dynamic-server@$(systemd-escape wg-home)
	modprobe tun
	wireguard-go wg-home
	wg setconf wg-home <(wg-quick strip wg0)
	ip address add 192.0.2.1/24 dev wg-home
	ip link set wg-home up
	systemctl start "$unit"
	far wg-quick up wg1
	far wg-dynamic client wg1
	LEASE=$(lease wg-dynamic show wg-home)
	leased wg1 far
	[[ $(wg show wg-home allowed-ips) == *"$LEASE"* ]]
	ip link delete wg-home
	soon ended "$unit"
	far wg-dynamic stop wg1
	far wg-quick down wg1
}

# The other way round: the unit is the client's, and networkd sets up the interface.

@test "the client starts when networkd has made its interface" {
	configure /etc/wireguard/wg1.conf "$(</etc/wireguard/far)" "$KEY" server
	sed -i 's,^AllowedIPs.*,&\nEndpoint = 10.9.0.1:51821,' /etc/wireguard/wg1.conf
	far wg-quick up wg1
	far wg-dynamic server wg1
	(umask 027 && cat >/etc/systemd/network/wg0.netdev) <<-EOF_
		[NetDev]
		Name=wg0
		Kind=wireguard
		[WireGuard]
		PrivateKey=$(</etc/wireguard/key)
		ListenPort=51821
		[WireGuardPeer]
		PublicKey=$FAR
		AllowedIPs=fe80::/128,192.0.2.0/24,2001:db8::/64
		Endpoint=10.9.0.2:51820
	EOF_
	chgrp systemd-network /etc/systemd/network/wg0.netdev
	cat >/etc/systemd/network/wg0.network <<-EOF_
		[Match]
		Name=wg0
		[Network]
		Address=$LL/128
		LinkLocalAddressing=no
		KeepConfiguration=yes
		[Route]
		Destination=192.0.2.0/24
		[Route]
		Destination=2001:db8::/64
	EOF_
	systemctl enable "$CLIENT"
	systemctl start systemd-networkd
	soon active "$CLIENT"
	LEASE=$(lease far wg-dynamic show wg1)
	[[ $LEASE == 192.0.2.*/32,2001:db8::*/128 ]]
	leased wg0
	ping -c 1 -W 5 192.0.2.1
}

@test "what is there of the client's processes" {
	local pid
	pid=$(main_pid "$CLIENT")
	[ "$(status "$pid" Uid) $(status "$pid" Gid)" = "990 990 990 990 0 0 0 0" ]
	[ "$(status "$pid" CapEff)" = 0000000000001402 ] # NET_ADMIN, NET_BIND_SERVICE, DAC_OVERRIDE
	[ "$(status "$(below "$(below "$pid")")" CapPrm)" = 0000000000000000 ]
	[ "$(processes "$CLIENT" | wc -l)" -eq 3 ]
	for pid in $(processes "$CLIENT"); do
		[ "$(status "$pid" Seccomp)" = 2 ]
		[ "$(status "$pid" NoNewPrivs)" = 1 ]
	done
}

@test "networkd restarts, and the leased addresses stay" {
	LEASE=$(lease far wg-dynamic show wg1)
	systemctl restart systemd-networkd
	sleep 5
	leased wg0
	active "$CLIENT"
}

@test "stop: the client gives its lease back" {
	systemctl stop "$CLIENT"
	ended "$CLIENT"
	not lease far wg-dynamic show wg1
	[ -z "$(ip -o address show dev wg0 scope global)" ]
	systemctl start "$CLIENT"
	LEASE=$(lease far wg-dynamic show wg1)
	leased wg0
}

@test "the interface is deleted: the client ends; networkd makes it anew: it starts" {
	ip link delete wg0
	soon ended "$CLIENT"
	systemctl restart systemd-networkd
	soon active "$CLIENT"
	LEASE=$(lease far wg-dynamic show wg1)
	leased wg0
}

@test "no server: ready when the wait is over, with a warning" {
	far wg-dynamic stop wg1
	systemctl stop "$CLIENT"
	systemctl start "$CLIENT"
	active "$CLIENT"
	[[ $(journalctl -u "$CLIENT" -p warning -o cat) == *"wg-dynamic: wg0: no addresses yet: "* ]]
	far wg-dynamic server wg1
	soon lease far wg-dynamic show wg1
	LEASE=$(lease far wg-dynamic show wg1)
	soon leased wg0
}
