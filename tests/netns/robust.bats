#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The client against servers that misbehave, all of them raw.py's: it stays up, sets nothing that is
# wrong, says why once, and takes the lease when the server comes to its senses. And what the
# processes of both daemons may do.

GOOD='ip=192.0.2.50/32\nip=2001:db8::50/128\nleasestart=%now%\nleasetime=600\nerrno=0\n\n'
ADDRESSES=$'192.0.2.50/32\n2001:db8::50/128'

setup_file() {
	load lib
	two_hosts
	local host
	for host in srv c1; do
		on "$host" sed -i 's/, auto$//' /etc/wireguard/wg0.conf
		wgq "$host" up wg0
	done
}

teardown_file() {
	hosts_del
}

setup() {
	load lib
	RAW=''
}

teardown() {
	[[ -n ${BATS_TEST_COMPLETED-} ]] || tail -n 20 "$NS/c1/client.out" "$NS/srv/raw.out" || true
	on c1 wg-dynamic stop wg0 2>/dev/null
	on srv wg-dynamic stop wg0 2>/dev/null
	no_server
	on c1 ip -4 address flush dev wg0
	addrs c1 wg0 | not grep . # nothing of the client's is left
}

server() { # STEP...: this is what the server does.
	no_server
	raw_server srv --limit 60 "$@"
	RAW=$SPID
}

again() { # ANSWER: what the server does when the client asks again. It stays, to be seen to listen.
	server @read "$1" @close @read
}

no_server() {
	[[ -z $RAW ]] || on srv kill "$RAW" 2>/dev/null || true
	RAW=''
	wait_for 3 not listens srv 970
}

client() { # [WORD...]: starts it (or $PROGRAM); what it says is in said.
	spawn c1 client "${PROGRAM:-wg-dynamic}" client wg0 foreground "$@"
	wait_for 3 pids c1 client engine >/dev/null
	MONITOR=$SPID
}

said() { # TEXT [TIMES]: the client has said it, so many times, or does so soon.
	wait_for 3 said_now "$@"
}

said_now() {
	[[ $(out c1 client | grep -cF "wg-dynamic: wg0: $1") == "${2-1}" ]]
}

stop() {
	on c1 wg-dynamic stop wg0
	not pids c1 client
}

lifetime() { # ADDRESS: seconds that it is still valid.
	on c1 ip -o address show dev wg0 | sed -n "s,.* $1 .*valid_lft \([0-9]*\)sec.*,\1,p" | grep .
}

# Whatever the server answers or does, the client says so, sets nothing, and is still there. When it
# asks again nobody is there: so there is time to look.
fails() { # LINE STEP...: the server's steps behind the first @read.
	local engine
	server @read "${@:2}"
	client
	engine=$(pids c1 client engine)
	wait_for 3 said "$1"
	addrs c1 wg0 | not grep .
	[[ $(pids c1 client monitor) == "$MONITOR" && $(pids c1 client engine) == "$engine" ]]
}

denied() { # LINE STEP...: it fails, and that is enough.
	fails "$@"
	stop
}

survives() { # LINE STEP...: it fails, and takes what it gets when it asks again.
	fails "$@"
	again "$GOOD"
	wait_for 10 said "leased 192.0.2.50, 2001:db8::50 for 600 s"
	[[ $(addrs c1 wg0) == "$ADDRESSES" && $(pids c1 client monitor) == "$MONITOR" ]]
	stop
	addrs c1 wg0 | not grep .
}

# The answer is taken, and these are the addresses then.
takes() { # ADDRESSES STEP...: the server's steps behind the first @read.
	server @read "${@:2}"
	client
	wait_for 3 said "leased "
	[[ $(addrs c1 wg0) == "$1" ]] || fail_with "not $1:" "$(addrs c1 wg0)" || return 1
	out c1 client | not grep -q "server's answer\|the server \(closed\|is\|refused\|took\)"
	stop
	addrs c1 wg0 | not grep .
}

answer() { # LINE...: a message of these lines.
	printf '%s\\n' "$@" ''
}

# ---- a client of servers that misbehave

@test "what the client sends: a request, and a release when it is stopped" {
	server @read "$GOOD" @close @read 'errno=0\n\n' @close
	client
	wait_for 3 said "leased 192.0.2.50, 2001:db8::50 for 600 s"
	elapsed stop
	((MS < 3000))
	said "released 192.0.2.50, 2001:db8::50"
	local from="[${LL[c1]}]:970"
	[ "$(out srv raw)" = "$from"' request_ip=1\nip=0.0.0.0/32\nip=::/128\nwant=route,call\n\n'$'\n'"$from"' release_ip=1\n\n' ]
}

@test "malformed answers: nothing is set, and it asks again" {
	local line="the server's answer is malformed" bad
	for bad in 'abc\n\n' '\0\0\0' 'ip\n' '=1\n' 'ip=192.0.2.66/32\nleasetime=x\n' \
		'errno=x\n' 'errno=4294967296\n\n' \
		"$(answer ip=192.0.2.66/32 ip=192.0.2.67/32 leasestart=%now% leasetime=60 errno=0)" \
		"$(answer ip=192.0.2.66/33 leasestart=%now% leasetime=60 errno=0)" \
		"$(answer leasestart=%now% leasetime=60 errno=0)" "$(answer errno=0)" '\n'; do
		denied "$line" "$bad" @close
	done
	survives "$line" 'abc\n\n' @close
}

@test "lease times and starts that are none" {
	local line="the server's answer is malformed" time
	for time in 0 31536001 4294967295 4294967296 -1; do
		denied "$line" "$(answer ip=192.0.2.66/32 leasestart=%now% leasetime=$time errno=0)" \
			@close
	done
	denied "$line" "$(answer ip=192.0.2.66/32 leasestart=%now% errno=0)" @close
	survives "$line" "$(answer ip=192.0.2.66/32 leasetime=60 errno=0)" @close
}

@test "addresses that no host may have" {
	local ip
	for ip in 127.0.0.1/32 224.0.0.1/32 0.0.0.0/32 255.255.255.255/32 240.0.0.1/32 \
		fe80::1/128 ff02::1/128 ::/128 ::1/128; do
		denied "the server's answer is malformed" \
			"$(answer ip=$ip leasestart=%now% leasetime=60 errno=0)" @close
	done
	# Nor beside one that is good.
	survives "the server's answer is malformed" \
		"$(answer ip=192.0.2.66/32 ip=fe80::1/128 leasestart=%now% leasetime=60 errno=0)" @close
}

@test "closed or reset before the answer is whole" {
	local line="the server closed the connection without a whole answer"
	denied "$line: is our link-local in its AllowedIPs for us, as ${LL[c1]}/128?" @close
	denied "$line: is our" 'ip=192.0.2.66/32\nleasestart=%now%\nleasetime=60\nerrno=0\n' @close
	denied "$line" 'ip=192.0.2.6' @fin @close
	denied "$line: Connection reset by peer" @rst
	survives "$line: Connection reset by peer" 'ip=192.0.2.66/32\n' @sleep=0.1 @rst
}

@test "errno 1 to 4, and one that is not known" {
	survives "the server refused: Invalid request" "$(answer errno=1 errmsg=x)" @close
	survives "the server refused: Unsupported protocol" "$(answer errno=2)" @close
	survives "the server refused: Chosen IP(s) unavailable: are its pools used up?" \
		"$(answer errno=3 'errmsg=Chosen IP(s) unavailable')" @close
	denied "the server refused: Try again later" "$(answer errno=4)" @close
	denied "the server refused: Try again later" "$(answer errno=5 errmsg=Later)" @close
	# With these no address counts.
	denied "the server refused: Try again later" \
		"$(answer ip=192.0.2.66/32 leasestart=%now% leasetime=60 errno=4)" @close
}

@test "the same reason twice is said once, another one is said" {
	server @read 'abc\n\n' @close @read '\0' @close @read "$(answer errno=4 retry=1)" @close \
		@read "$GOOD" @close
	client
	wait_for 10 has_addr c1 wg0 192.0.2.50/32
	said "the server's answer is malformed"
	said "the server refused: Try again later"
	[ "$(out srv raw | wc -l)" -eq 4 ]
}

@test "errno 4 with retry=: waits as long" {
	server @read "$(answer retry=6 errno=4)" @close @read "$GOOD" @close
	client
	wait_for 3 said "the server refused: Try again later"
	elapsed wait_for 10 has_addr c1 wg0 192.0.2.50/32
	((MS > 2500)) # else it is 1 s
}

@test "a connection that is taken and not answered: given up after 10 s" {
	server @read @sleep=12 @close @read "$GOOD" @close
	client
	sleep 6
	out c1 client | not grep -q "does not answer"
	wait_for 8 said "the server took the connection, but does not answer"
	addrs c1 wg0 | not grep .
	wait_for 5 has_addr c1 wg0 192.0.2.50/32
}

@test "an answer of more than 1 MiB is malformed, one of much less is not" {
	local line
	line=$(printf 'y=%04000d\\n' 0)
	for _ in 1 2 3 4 5; do
		line+=$line
	done
	# Less by a little than 1 MiB; and more.
	takes 192.0.2.51/32 "$line" "$line" "$line" "$line" "$line" "$line" "$line" "$line" \
		"$(answer ip=192.0.2.51/32 leasestart=%now% leasetime=60)" @close
	survives "the server's answer is malformed" "$line" "$line" "$line" "$line" "$line" \
		"$line" "$line" "$line" "$line" "$(answer ip=192.0.2.51/32 leasestart=%now% \
		leasetime=60)" @close
}

@test "an answer cut at each byte, and 10,000 routes: the client stays, and its memory" {
	[[ ${WG_DYNAMIC_INSTALLED-} == 1 ]] || PROGRAM=$BUILD/asan/wg-dynamic
	local whole at engine before steps=() left=("ip=192.0.2.66/32" "leasestart=%now%" "leasetime=60"
		"renew=30" "route=10.77.0.0/16" "errno=0")
	whole=$(answer "${left[@]}")
	whole=${whole//\\n/$'\n'}
	whole=${whole//%now%/$EPOCHSECONDS}
	for ((at = 0; at < ${#whole}; ++at)); do
		steps+=(@read "${whole:0:at}" @close)
	done
	server --limit 300 "${steps[@]}" @repeat
	# One that asks twice before it is stopped has had two of them.
	while not asked ${#whole}; do
		client wait 0
		wait_for 5 said_now "the server closed the connection without a whole answer: is our link-local in its AllowedIPs for us, as ${LL[c1]}/128?"
		addrs c1 wg0 | not grep .
		stop
		out c1 client | not grep leased
	done
	server @read "$GOOD" @close
	client wait 0
	wait_for 3 said "leased 192.0.2.50, 2001:db8::50 for 600 s"
	stop
	# Of more routes than there is room for none is taken, and that is told once.
	steps=(@read "$(printf '%s\\n' "${left[@]::3}" renew=1)")
	for at in {0..39}; do
		steps+=("$(printf "route=10.$at.%d.0/24\\\\n" {0..249})")
	done
	server "${steps[@]}" 'errno=0\n\n' @close @repeat
	PROGRAM='' client wait 0
	engine=$(pids c1 client engine)
	wait_for 5 said "leased 192.0.2.66 for 60 s"
	before=$(status c1 "$engine" VmRSS)
	wait_for 20 asked 6
	((${before% kB} + 256 > $(status c1 "$engine" VmRSS | tr -dc 0-9)))
	said "the server sends more values of route than there is room for: none of them is taken"
	on c1 ip route show dev wg0 | not grep '^10\.'
	[[ $(pids c1 client engine) == "$engine" ]]
	stop
}

asked() { # TIMES
	(($(out srv raw | grep -c request_ip) >= $1))
}

# ---- answers that differ from our server's, and are good

@test "a shorter prefix is taken as the address alone" {
	local length
	for length in 24 0 31 32; do
		takes 192.0.2.51/32 \
			"$(answer ip=192.0.2.51/$length leasestart=%now% leasetime=60 errno=0)" @close
	done
	takes $'192.0.2.51/32\n2001:db8::51/128' \
		"$(answer ip=192.0.2.51 ip=2001:db8::51/64 leasestart=%now% leasetime=60)" @close
}

@test "no errno, keys that are not known, errno 3 with an address, byte by byte, reset behind it" {
	local lease=(ip=192.0.2.51/32 leasestart=%now% leasetime=60)
	takes 192.0.2.51/32 "$(answer "${lease[@]}")" @close
	takes 192.0.2.51/32 "$(answer x=y x=z "${lease[@]}" route=10.0.0.0/8 dns=x errno=0 y=a=b)" \
		@close
	takes 192.0.2.51/32 "$(answer "${lease[@]}" errno=3 errmsg=x)" @close
	takes 192.0.2.51/32 "$(answer "${lease[@]}" errno=0)" @rst
	takes 192.0.2.51/32 "$(answer "${lease[@]}" errno=0)" "$(answer errno=4)" @close
	takes 192.0.2.51/32 --bytewise "$(answer "${lease[@]}" errno=0)" @close
}

@test "clocks: one that is an hour off does not count, one that is nearly right does" {
	local now at
	for at in -3600 3600 -20 -10 0; do
		now=$(($(date +%s) + at))
		server @read "$(answer ip=192.0.2.51/32 leasestart=$now leasetime=20000)" @close
		client
		wait_for 3 has_addr c1 wg0 192.0.2.51/32
		now=$(lifetime 192.0.2.51/32)
		((at == -10 ? now > 19980 && now <= 19991 : now > 19990 && now <= 20000)) ||
			fail_with "at $at: $now"
		stop
	done
	for at in 0 4294967295; do
		takes 192.0.2.51/32 "$(answer ip=192.0.2.51/32 leasestart=$at leasetime=5)" @close
	done
}

@test "renew= is when it comes again" {
	server @read "$(answer ip=192.0.2.51/32 leasestart=%now% leasetime=600 renew=6 errno=0)" \
		@close @read "$GOOD" @close
	client
	wait_for 3 has_addr c1 wg0 192.0.2.51/32
	elapsed wait_for 10 has_addr c1 wg0 192.0.2.50/32
	((MS > 1500))
	said "leased 192.0.2.50, 2001:db8::50 for 600 s, instead of 192.0.2.51"
}

# Who asks while there is no server asks again: so there is time to look.
@test "at a renewal others: those before go; a family that is missing goes" {
	local rest=(leasestart=%now% leasetime=30 renew=1)
	server @read "$(answer ip=192.0.2.51/32 ip=2001:db8::51/128 "${rest[@]}")" @close
	client
	wait_for 2 said "leased 192.0.2.51, 2001:db8::51 for 30 s"
	[ "$(addrs c1 wg0)" = $'192.0.2.51/32\n2001:db8::51/128' ]
	again "$(answer ip=192.0.2.52/32 "${rest[@]}")"
	wait_for 10 said "leased 192.0.2.52 for 30 s, instead of 192.0.2.51, 2001:db8::51"
	[ "$(addrs c1 wg0)" = 192.0.2.52/32 ]
	again "$GOOD"
	wait_for 10 said "leased 192.0.2.50, 2001:db8::50 for 600 s, instead of 192.0.2.52"
	[ "$(addrs c1 wg0)" = "$ADDRESSES" ]
}

@test "a renewal that goes wrong: the address is kept till its end, then it is gone" {
	server @read "$(answer ip=192.0.2.51/32 leasestart=%now% leasetime=8 renew=1)" @close \
		@read 'abc\n\n' @close @read @close @read "$(answer errno=3)" @close @read \
		"$(answer ip=127.0.0.1/32 leasestart=%now% leasetime=8)" @close @read 'abc\n\n' @close
	client
	wait_for 3 said "the server's answer is malformed"
	[ "$(addrs c1 wg0)" = 192.0.2.51/32 ]
	wait_for 10 said "the lease of 192.0.2.51 has ended, not renewed: removed"
	addrs c1 wg0 | not grep .
	again "$GOOD"
	wait_for 6 has_addr c1 wg0 192.0.2.50/32
}

@test "an address that the interface has already is left alone, and stays" {
	on c1 ip address add 192.0.2.50/32 dev wg0
	server @read "$GOOD" @close @read 'errno=0\n\n' @close
	client
	wait_for 3 said "leased 192.0.2.50, 2001:db8::50"
	said "192.0.2.50 has been set on the interface by somebody else: left alone"
	not lifetime 192.0.2.50/32
	lifetime 2001:db8::50/128
	stop
	[ "$(addrs c1 wg0)" = 192.0.2.50/32 ]
	not lifetime 192.0.2.50/32
	on c1 ip address delete 192.0.2.50/32 dev wg0
}

# ---- what the processes may do

status() { # HOST PID KEY: what /proc/PID/status says there.
	on "$1" sed -n "s/^$3:[[:space:]]*//p" "/proc/$2/status" | tr '\t' ' '
}

none=0000000000000000

limit() { # HOST PID NAME: soft and hard.
	on "$1" sed -n "s/^Max $3 *\([^ ]*\) *\([^ ]*\).*/\1 \2/p" "/proc/$2/limits"
}

limited() { # HOST PID FILES [SIZE]: so many open files, files of that size, and nothing else.
	[[ $(limit "$1" "$2" processes) == "0 0" ]] || fail_with "processes" || return 1
	[[ $(limit "$1" "$2" "open files") == "$3 $3" ]] || fail_with "open files" || return 1
	[[ -z ${4-} || $(limit "$1" "$2" "file size") == "$4 $4" ]] || fail_with "file size"
}

as_user() { # HOST UID GID CMD...
	on "$1" setpriv --reuid "$2" --regid "$3" --clear-groups "${@:4}"
}

hidden() { # HOST PID: even from others of its user, as it is not dumpable; so these are root's.
	local user group file
	user=$(status "$1" "$2" Uid)
	group=$(status "$1" "$2" Gid)
	set -- "$@" "${user%% *}" "${group%% *}"
	[[ $(on "$1" stat -c %u:%g "/proc/$2/"{environ,mem,fd} | sort -u) == 0:0 ]] ||
		fail_with "dumpable" || return 1
	for file in environ mem maps fd/0; do
		as_user "$1" "$3" "$4" test -r "/proc/self/$file" || return 1
		not as_user "$1" "$3" "$4" head -c 1 "/proc/$2/$file" 2>/dev/null || return 1
	done
}

confined() { # HOST PID: no user that could do anything, no capabilities, nothing to see.
	local key
	for key in Uid Gid; do # real, effective, saved, of the file system
		[[ $(status "$1" "$2" "$key") =~ ^([1-9][0-9]*)(\ [1-9][0-9]*){3}$ ]] || return 1
	done
	[[ -z $(status "$1" "$2" Groups) ]] && filtered "$1" "$2" || return 1
	for key in CapInh CapPrm CapEff CapBnd CapAmb; do
		[[ $(status "$1" "$2" "$key") == "$none" ]] || fail_with "$key" || return 1
	done
	for key in root cwd; do
		[[ $(on "$1" readlink "/proc/$2/$key") == */wg-dynamic/root.*" (deleted)" ]] || return 1
		[[ -z $(on "$1" ls -A "/proc/$2/$key/") ]] || return 1
		not on "$1" mkdir "/proc/$2/$key/new" || return 1 # not even root
	done
	[[ $(limit "$1" "$2" "core file size") == "0 0" ]] || fail_with "core" || return 1
	hidden "$1" "$2"
}

filtered() { # HOST PID: it may not make all system calls, nor ever become more than it is.
	[[ $(status "$1" "$2" NoNewPrivs) == 1 && $(status "$1" "$2" Seccomp) == 2 ]] ||
		fail_with "no filter"
}

may_only() { # HOST PID CAPABILITIES
	local key
	for key in CapPrm CapEff CapBnd; do
		[[ $(status "$1" "$2" "$key") == "$3" ]] || fail_with "$key" || return 1
	done
	[[ $(status "$1" "$2" CapInh) == "$none" && $(status "$1" "$2" CapAmb) == "$none" ]] ||
		return 1
	filtered "$1" "$2"
}

open_files() { # HOST PID: what it has open, one a line, without numbers.
	on "$1" find "/proc/$2/fd" -type l -printf '%l\n' | sed 's/:\[[0-9]*\]$//' | sort -u
}

# bats test_tags=vm
@test "the server's processes: engine and spawner confined, the monitor with CAP_NET_ADMIN alone" {
	exec {secret}</etc/shadow
	on srv wg-dynamic server wg0 pool 192.0.2.0/24
	raw c1 client 'request_ip=1\n\n' | grep -q '^errno=0$'
	confined srv "$(pids srv server engine)"
	limited srv "$(pids srv server engine)" 1200 1073741824
	confined srv "$(pids srv server spawner)"
	may_only srv "$(pids srv server monitor)" 0000000000001000
	local pid
	for pid in $(pids srv server); do
		not grep -v '^/dev/null$\|^socket\|^anon_inode\|^/var/lib/wg-dynamic\|^/memfd:\|^pipe' \
			<(open_files srv "$pid")
	done
	[ "$(on srv ls -l /run/wg-dynamic/wg0.server.sock | cut -c1-10)" = srw------- ]
	exec {secret}<&-
}

# bats test_tags=vm
@test "the client's processes: engine and spawner confined, the monitor with two capabilities" {
	server @read "$GOOD" @close
	exec {secret}</etc/shadow
	on c1 wg-dynamic client wg0
	confined c1 "$(pids c1 client engine)"
	limited c1 "$(pids c1 client engine)" 32 0
	confined c1 "$(pids c1 client spawner)"
	may_only c1 "$(pids c1 client monitor)" 0000000000001400
	local pid
	for pid in $(pids c1 client); do
		not grep -v '^/dev/null$\|^socket\|^anon_inode\|^pipe' <(open_files c1 "$pid")
	done
	[ "$(on c1 ls -l /run/wg-dynamic/wg0.client.sock | cut -c1-10)" = srw------- ]
	exec {secret}<&-
}
