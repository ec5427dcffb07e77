#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A real server, spoken to byte by byte: the tables of the protocol row by row, whole and one byte
# at a time, and what must not harm it. After each case the server's processes must be the same.

REQUEST='request_ip=1\n\n'
RELEASE='release_ip=1\n\n'
RELEASED='errno=0\n\n'
INVALID='errno=1\nerrmsg=Invalid request\n\n'
UNSUPPORTED='errno=2\nerrmsg=Unsupported protocol\n\n'
UNAVAILABLE='errno=3\nerrmsg=Chosen IP(s) unavailable\n\n'
LATER='errno=4\nerrmsg=Try again later\n\n'

# What each gets when it has no wish: c2's are its reservations, the others' what they held last.
declare -gA V4=([c1]=192.0.2.2 [c2]=192.0.2.7 [c3]=192.0.2.3 [c4]=192.0.2.4)
declare -gA V6=([c1]=2001:db8::a1 [c2]=2001:db8::7 [c3]=2001:db8::a3 [c4]=2001:db8::a4)

# c3 has a network of its own inside the pool.
setup_file() {
	load lib
	star "0.0.0.0/0, ::/0" c1 c2 c3 c4
	on srv sed -i -e "s,^Address.*,&\, 192.0.2.1/28\, 2001:db8::1/64," \
		-e "s,${LL[c2]}/128,&\, 192.0.2.9/32\, 192.0.2.7/32\, 2001:db8::7/128," \
		-e "s,${LL[c3]}/128,&\, 192.0.2.12/30," /etc/wireguard/wg0.conf
	local host
	for host in srv c1 c2 c3 c4; do
		on "$host" sed -i 's/, auto$//' /etc/wireguard/wg0.conf
		wgq "$host" up wg0
	done
	serve 192.0.2.0/28,2001:db8::/64
}

teardown_file() {
	hosts_del
}

setup() {
	load lib
	free_disk
	: >"$NS/srv/log"
	each "$RELEASE"
	each 'request_ip=1\nip=%4\nip=%6\n\n'"$RELEASE"
}

teardown() {
	[[ -n ${BATS_TEST_COMPLETED-} ]] || tail -n 12 "$NS/srv/log"
	[[ $(server) == "$(<"$BATS_FILE_TMPDIR/server")" ]]
}

server() { # the server's PIDs.
	three srv server | xargs
}

serve() { # POOLS [WORD...]: (re)starts the server, with nothing remembered.
	on srv wg-dynamic stop wg0
	on srv rm -f /var/lib/wg-dynamic/wg0.leases
	on srv wg-dynamic server wg0 pool "$@"
	wait_for 3 three srv server
	server >"$BATS_FILE_TMPDIR/server"
}

each() { # TEXT: all clients send it; %4 and %6 are the addresses of each.
	local host text
	for host in c1 c2 c3 c4; do
		text=${1//%4/${V4[$host]}}
		raw "$host" client --from "${LL[$host]}" "${text//%6/${V6[$host]}}" >/dev/null &
	done
	wait
}

lease() { # [-t LEASE-TIME] [-r RENEW] ADDRESS...: the keys of a lease, as answered.
	local time=3600 renew='' OPTIND option ip
	while getopts t:r: option; do
		case $option in
		t) time=$OPTARG ;;
		r) renew="renew=$OPTARG\\n" ;;
		*) return 1 ;;
		esac
	done
	for ip in "${@:OPTIND}"; do
		[[ $ip == *:* ]] && printf %s "ip=$ip/128\\n" || printf %s "ip=$ip/32\\n"
	done
	printf %s "leasestart=now\\nleasetime=$time\\n$renew"
}

both_of() { # HOST: what it is answered when it has no wish.
	lease "${V4[$1]}" "${V6[$1]}"
	printf '%s' 'errno=0\n\n'
}

# The answer is what is written here, byte for byte, but for the time; then the server closes.
says() { # HOST REQUEST ANSWER [RAW-OPTION...]
	local got status=0 before=$EPOCHSECONDS
	got=$(raw "$1" client -e --from "${LL[$1]}" "${@:4}" "$2") || status=$?
	while [[ $got =~ leasestart=([0-9]+) ]]; do
		((BASH_REMATCH[1] >= before && BASH_REMATCH[1] <= EPOCHSECONDS)) ||
			fail_with "at $before: $got" || return 1
		got=${got/"${BASH_REMATCH[0]}"/leasestart=now}
	done
	# Who goes on sending after an error of his, which the server closes for, is reset.
	[[ $status != 5 || $3 != errno=[12]* || $* != *--bytewise* ]] || status=0
	[[ $got == "$3" && $status == 0 ]] ||
		fail_with "to:     ${2:0:200}" "wanted: $3" "got:    $got" "status: $status"
}

both() { # HOST REQUEST ANSWER: whole, and one byte at a time.
	says "$@" && says "$@" --bytewise --pause 0
}

holds() { # HOST ADDRESS...: that is all that stands in its allowed-ips, besides what is its own.
	local host=$1 ip got own=("${LL[$1]}/128")
	shift
	[[ $host != c2 ]] || own+=(192.0.2.9/32 192.0.2.7/32 2001:db8::7/128)
	[[ $host != c3 ]] || own+=(192.0.2.12/30)
	for ip; do
		[[ $ip == *:* ]] && own+=("$ip/128") || own+=("$ip/32")
	done
	got=$(allowed srv wg0 "${PUB[$host]}" | sort)
	[[ $got == "$(printf '%s\n' "${own[@]}" | sort)" ]] ||
		fail_with "$host has:" "$got" "not:" "${own[@]}"
}

logged() { # HOST TEXT: the server has a line about this client with that in it.
	wait_for 2 grep -qF "peer ${PUB[$1]} at ${LL[$1]}: $2" "$NS/srv/log"
}

# ---- transport

@test "the last answer and the end of the connection come in one packet" {
	local data whole
	on c1 nft -f - <<-'EOF'
		table ip6 t {
			counter data { }
			counter whole { }
			chain c {
				type filter hook input priority 0
				iifname "wg0" tcp sport 970 tcp flags & syn == 0 meta length > 72 counter name data
				iifname "wg0" tcp sport 970 tcp flags & fin == fin meta length > 72 counter name whole
			}
		}
	EOF
	for _ in 1 2 3; do
		says c1 "$REQUEST" "$(both_of c1)"
	done
	# Two on one connection: the first does not wait for the end.
	says c1 "$REQUEST$REQUEST" "$(both_of c1)$(both_of c1)"
	says c1 'request_ip=2\n\n' "$UNSUPPORTED"
	# A slow machine sends some again.
	data=$(on c1 nft list counter ip6 t data | sed -n 's/.*packets \([0-9]*\) .*/\1/p')
	whole=$(on c1 nft list counter ip6 t whole | sed -n 's/.*packets \([0-9]*\) .*/\1/p')
	((whole >= 5 && data > whole))
	on c1 nft delete table ip6 t
}

@test "what comes while an answer is sent does not take it along" {
	local engine tracer got
	engine=$(pids srv server engine)
	# What follows the sending of an answer is late.
	on srv strace -f -q -o /dev/null -p "$engine" -e trace=sendto \
		-e inject=sendto:delay_exit=1500000 3>&- &
	tracer=$!
	wait_for 5 not on srv grep -q "^TracerPid:.0$" "/proc/$engine/status"
	got=$(raw c1 client -e --from "${LL[c1]}" --pieces 14 --pause 0.5 "$REQUEST$REQUEST") || true
	on srv kill "$(on srv sed -n 's/^TracerPid:.//p' "/proc/$engine/status")"
	wait "$tracer" || true
	[[ $got == *'errno=0\n\n' ]]
}

@test "transport: from port 1023 there is an answer, from 1024 none" {
	says c1 "$REQUEST" "$(both_of c1)" --port 1023
	says c1 "$REQUEST" "$(both_of c1)" --port 1
	local port
	for port in 1024 1970 65535; do
		run raw c1 client -e --port "$port" "$REQUEST"
		[[ $output == "" && $status =~ ^[05]$ ]]
	done
	logged c1 "refused: its source port is not below 1024"
}

@test "transport: the server listens in the tunnel alone, at fe80::" {
	local link
	link=$(on srv ip -o -6 address show dev to-c1 scope link)
	[[ $link =~ inet6\ ([^/]*)/ ]]
	run raw c1 client -i to-srv --from "$(own_link_local c1 to-srv)" --to "${BASH_REMATCH[1]}" \
		"$REQUEST"
	[ "$status" -eq 3 ]
	run raw c1 client --to 2001:db8::1 "$REQUEST"
	[ "$status" -eq 3 ]
}

own_link_local() { # HOST INTERFACE
	on "$1" ip -o -6 address show dev "$2" scope link | awk '{ sub("/.*", "", $4); print $4 }'
}

@test "transport: several requests on one connection are answered in order" {
	says c1 "$REQUEST${RELEASE}request_ip=1\nip=::/128\n\n" \
		"$(both_of c1)$RELEASED$(lease "${V6[c1]}")errno=0\n\n"
	holds c1 "${V6[c1]}"
	says c1 "$RELEASE${RELEASE}request_ip=1\nip=192.0.2.1\n\n$REQUEST" \
		"$RELEASED$RELEASED$UNAVAILABLE$(both_of c1)"
	holds c1 "${V4[c1]}" "${V6[c1]}"
}

# What has come is answered; so the engine sleeps until all of it has.
asleep() { # RAW-ARGUMENT...: what c1 sends comes all at once.
	local engine
	engine=$(pids srv server engine)
	on srv kill -STOP "$engine"
	raw c1 client "$@" &
	sleep 0.5
	on srv kill -CONT "$engine"
	wait "$!"
}

@test "transport: hundreds of requests at once, far more than 8 KiB" {
	local i
	for i in {1..500}; do
		printf 'request_ip=1\nip=0.0.0.0/32\nx=%s\n\n' "$i"
	done >"$BATS_TEST_TMPDIR/requests"
	asleep "$(<"$BATS_TEST_TMPDIR/requests")"'\n\n' >"$BATS_TEST_TMPDIR/answers"
	[ "$(grep -c "^ip=${V4[c1]}/32$" "$BATS_TEST_TMPDIR/answers")" -eq 500 ]
	[ "$(grep -c "^errno=0$" "$BATS_TEST_TMPDIR/answers")" -eq 500 ]
}

@test "transport: a request in pieces, and the next one that has only begun" {
	local size
	for size in 2 3 7 19; do
		says c1 'request_ip=1\nip=0.0.0.0/32\nip=::/128\n\n' "$(both_of c1)" \
			--pieces "$size" --pause 0.01
	done
	run raw c1 client -e 'reque' @sleep=0.3 'st_ip=1' @sleep=0.3 '\n' @sleep=0.3 '\nrelea' \
		@read @sleep=0.3 'se_ip=1\n\n'
	[ "$status" -eq 0 ]
	[[ $output == "ip=${V4[c1]}/32\nip=${V6[c1]}/128\nleasestart="*"\nerrno=0\n\n$RELEASED" ]]
	holds c1
}

@test "transport: half-closed after the request, and before its end" {
	run raw c1 client -e "$REQUEST" @fin
	[ "$status" -eq 0 ]
	[[ $output == "ip=${V4[c1]}/32\nip=${V6[c1]}/128\n"*"errno=0\n\n" ]]
	run raw c1 client -e "$RELEASE$REQUEST" @fin
	[[ $status == 0 && $output == "${RELEASED}ip=${V4[c1]}/32\n"* ]]
	for request in "" r request_ip=1 'request_ip=1\n' 'request_ip=1\nip=::/128'; do
		run raw c2 client -e -t "$request" @fin
		[[ $status == 0 && $output =~ ^0\.[0-9]*\ s$ ]]
	done
	holds c2
}

@test "transport: reset, before, in and behind a request; closed without waiting" {
	local request end
	for request in "" re 'request_ip=1\n' 'request_ip=1\nip=0.0.0.0/32\n' "$REQUEST" \
		"$REQUEST$REQUEST$RELEASE" "$REQUEST$RELEASE"requ abc 'abc\n' 'abc\n\n' '\0' '='; do
		for end in @rst @close; do
			raw c1 client "$request" "$end"
			raw c1 client --port 33 "$request" @sleep=0.02 "$end"
		done
	done
	[ "$(server)" = "$(<"$BATS_FILE_TMPDIR/server")" ]
	says c1 "$REQUEST" "$(both_of c1)"
	says c2 "$REQUEST" "$(both_of c2)"
}

# ---- messages

@test "request: any address of one family, of both, or with no ip= at all" {
	both c1 'request_ip=1\nip=0.0.0.0/32\n\n' "$(lease "${V4[c1]}")errno=0\n\n"
	holds c1 "${V4[c1]}"
	both c1 'request_ip=1\nip=::/128\n\n' "$(lease "${V6[c1]}")errno=0\n\n"
	holds c1 "${V6[c1]}" # the family that was not listed is released
	both c1 'request_ip=1\nip=0.0.0.0\n\n' "$(lease "${V4[c1]}")errno=0\n\n"
	both c1 'request_ip=1\nip=::\n\n' "$(lease "${V6[c1]}")errno=0\n\n"
	both c1 'request_ip=1\nip=::/128\nip=0.0.0.0/32\n\n' "$(both_of c1)"
	both c1 "$REQUEST" "$(both_of c1)"
	holds c1 "${V4[c1]}" "${V6[c1]}"
	logged c1 "leased ${V4[c1]}/32 for 3600 s"
	logged c1 "now has ${V4[c1]}/32, ${V6[c1]}/128 leased for 3600 s"
}

@test "request: this very address, with and without its prefix length" {
	both c1 'request_ip=1\nip=192.0.2.10/32\nip=2001:db8::10/128\n\n' \
		"$(lease 192.0.2.10 2001:db8::10)errno=0\n\n"
	holds c1 192.0.2.10 2001:db8::10
	both c1 'request_ip=1\nip=192.0.2.11\nip=2001:db8::11\n\n' \
		"$(lease 192.0.2.11 2001:db8::11)errno=0\n\n"
	holds c1 192.0.2.11 2001:db8::11 # what it held before is given up
	both c1 'request_ip=1\nip=192.0.2.11/32\nip=2001:DB8:0:0::0011/128\n\n' \
		"$(lease 192.0.2.11 2001:db8::11)errno=0\n\n"
	both c1 "$REQUEST" "$(lease 192.0.2.11 2001:db8::11)errno=0\n\n"
}

@test "request: leasetime, leasestart" {
	local wish
	for wish in 10 11 60 3599 3600 0000000060; do
		both c1 "request_ip=1\nip=0.0.0.0/32\nleasetime=$wish\n\n" \
			"$(lease -t "$((10#$wish))" "${V4[c1]}")errno=0\n\n"
	done
	for wish in 0 1 9 3601 4294967295; do
		both c1 "request_ip=1\nip=0.0.0.0/32\nleasetime=$wish\n\n" \
			"$(lease "${V4[c1]}")errno=0\n\n"
	done
	both c1 'request_ip=1\nleasetime=60\nip=0.0.0.0/32\n\n' \
		"$(lease -t 60 "${V4[c1]}")errno=0\n\n"
	for wish in 0 1 1795000000 4294967295; do
		both c1 "request_ip=1\nip=0.0.0.0/32\nleasestart=$wish\n\n" \
			"$(lease "${V4[c1]}")errno=0\n\n"
	done
}

@test "request: the bytes of the 2019 prototype" {
	both c1 'request_ip=1\nip=0.0.0.0/32\nip=::/128\nleasestart=0\nleasetime=0\n\n' \
		"$(both_of c1)"
	both c1 'request_ip=1\nip=192.0.2.2/32\nip=2001:db8::a1/128\nleasestart=1795360517\nleasetime=3600\n\n' \
		"$(both_of c1)"
}

@test "request: keys that are not known are skipped" {
	local line
	for line in x=y x= 'x=y\nx=z' 'x=a=b==c' 'x= y  z ' 'errno=1' 'renew=x' 'route=10.0.0.0/8' \
		'IP=192.0.2.10/32' ' ip=192.0.2.10/32' 'ip =192.0.2.10/32' 'x=\xff\x80\x01\r'; do
		both c1 "request_ip=1\n$line\nip=0.0.0.0/32\n\n" "$(lease "${V4[c1]}")errno=0\n\n"
	done
	both c1 'release_ip=1\nip=abc\nleasetime=x\nx=y\n\n' "$RELEASED"
}

@test "errno 1: malformed lines" {
	local request
	for request in '\n' '\n\n' 'abc\n' 'abc\n\n' '=\n\n' '=1\n\n' '\0' '\0\n\n' 'request_ip\n\n' \
		'request_ip\0=1\n\n' 'request_ip=1\0\n\n' 'request_ip=1\n\0\n\n' \
		'request_ip=1\nabc\n\n' 'request_ip=1\n=x\n\n' 'request_ip=1\n \n\n' \
		'request_ip=1\nx=\0\n\n' 'request_ip=1\n\r\n\r\n' 'request_ip=1\nx=y\nip\n\n' \
		'release_ip=1\nabc\n\n' 'release_ip=1\n\0\n\n' 'release_ip=1\n=\n\n'; do
		both c1 "$request" "$INVALID"
	done
	holds c1
	logged c1 "refused: invalid request"
}

@test "errno 1: numbers" {
	local number
	for number in "" x -1 +1 ' 1' '1 ' 1x 0x10 1.0 4294967296 99999999999999999999 '1\r'; do
		both c1 "request_ip=$number\n\n" "$INVALID"
		both c1 "release_ip=$number\n\n" "$INVALID"
		both c1 "request_ip=1\nleasetime=$number\n\n" "$INVALID"
		both c1 "request_ip=1\nleasestart=$number\n\n" "$INVALID"
	done
	holds c1
}

@test "errno 1: addresses" {
	local ip
	for ip in "" / abc 192.0.2 192.0.2.5.1 192.0.2.256 192.0.2.5/ 192.0.2.5/x 192.0.2.5/33 \
		192.0.2.5/-1 192.0.2.5/32/32 ' 192.0.2.5' '192.0.2.5 ' 192.0.2.5/0x20 0.0.0.0/0 \
		192.0.2.0/28 192.0.2.5/31 ::/0 2001:db8::/64 2001:db8::5/127 2001:db8::5/129 \
		2001:db8:::5 2001:db8::g fe80::1%wg0 2001:db8::5/4294967424; do
		both c1 "request_ip=1\nip=$ip\n\n" "$INVALID"
	done
	holds c1
}

@test "errno 1: a key given twice, a second command" {
	local lines
	for lines in 'ip=0.0.0.0/32\nip=0.0.0.0/32' 'ip=::/128\nip=::/128' \
		'ip=0.0.0.0/32\nip=192.0.2.5/32' 'ip=192.0.2.5/32\nip=::/128\nip=192.0.2.6/32' \
		'leasetime=60\nleasetime=60' 'leasestart=0\nleasestart=0' 'want=\nwant=' \
		request_ip=1 release_ip=1; do
		both c1 "request_ip=1\n$lines\n\n" "$INVALID"
	done
	both c1 'release_ip=1\nrelease_ip=1\n\n' "$INVALID"
	holds c1
}

x() { # N: so many bytes.
	printf "%$1s" "" | tr ' ' x
}

@test "limits: lines of 4096 bytes, requests of 8192" {
	local four one='ip=0.0.0.0/32\n'
	four="$(lease "${V4[c1]}")errno=0\n\n"
	both c1 "request_ip=1\n${one}x=$(x 4093)\n\n" "$four"
	both c1 "request_ip=1\n${one}x=$(x 4094)\n\n" "$INVALID"
	both c1 "request_ip=1\n$(x 4096)" "$INVALID"
	both c1 "$(x 4095)=1" "$INVALID"
	both c1 "request_ip=1\n${one}y=$(x 4000)\nz=$(x 4158)\n\n" "$INVALID"
	both c1 "request_ip=1\n${one}y=$(x 4000)\nz=$(x 4000)\nu=$(x 155)\n\n" "$four" # 8192
	both c1 "request_ip=1\n${one}y=$(x 4000)\nz=$(x 4000)\nu=$(x 156)\n\n" "$INVALID"
	says c1 "request_ip=1\n$(printf 'x=y\\n%.0s' {1..3000})" "$INVALID"
	run raw c1 client -e "$(x 100000)" # reset: not all of it has been read
	[[ $status =~ ^[05]$ && $output == "$INVALID" ]]
	holds c1 "${V4[c1]}"
}

@test "errno 2: commands and versions that are not known" {
	local first
	for first in request_ip=0 request_ip=2 request_ip=4294967295 release_ip=0 release_ip=2 \
		request_dns=1 request_ip4=1 Request_ip=1 'request_ip =1' ' request_ip=1' x= \
		ip=0.0.0.0/32 leasetime=60 errno=0 'GET / HTTP/1.1=' '\xff=1'; do
		both c1 "$first\n\n" "$UNSUPPORTED"
		both c1 "$first\nip=0.0.0.0/32\nip=::/128\n\n" "$UNSUPPORTED"
	done
	holds c1
	logged c1 "refused: unsupported command or version"
}

@test "after errno 1 and 2 the server closes, what came behind is not answered" {
	says c1 "abc\n\n$REQUEST" "$INVALID"
	says c1 "request_ip=2\n\n$REQUEST" "$UNSUPPORTED"
	says c1 "$RELEASE${RELEASE}request_ip=1\nip=x\n\n$REQUEST$RELEASE" \
		"$RELEASED$RELEASED$INVALID"
	holds c1
	# Neither does what was not read any more reset the connection.
	run asleep -e "abc\n\n$(x 20000)"
	[ "$status" -eq 0 ] && [ "$output" = "$INVALID" ]
}

@test "after errno 3 it goes on" {
	says c1 "request_ip=1\nip=192.0.2.1\n\n$REQUEST" "$UNAVAILABLE$(both_of c1)"
}

# ---- wishes

# What nobody may have: not in a pool, network, broadcast, anycast, the server's own, another's
# reservations, in another's network; and what somebody holds.
@test "errno 3: a wish that cannot be had, and the other family leased all the same" {
	local ip
	raw c4 client "$REQUEST"
	for ip in 192.0.3.1 10.9.1.1 255.255.255.255 127.0.0.1 192.0.2.0 192.0.2.15 192.0.2.1 \
		192.0.2.7 192.0.2.9 192.0.2.12 192.0.2.13 192.0.2.14 "${V4[c4]}"; do
		both c1 "request_ip=1\nip=$ip/32\n\n" "$UNAVAILABLE"
		holds c1
	done
	for ip in 2001:db8:0:1::1 ::1 fe80::1 fe80:: "${LL[c1]}" ff02::1 2001:db8:: 2001:db8::1 \
		2001:db8::7 ::ffff:192.0.2.5 "${V6[c4]}"; do
		both c1 "request_ip=1\nip=$ip/128\n\n" "$UNAVAILABLE"
		holds c1
	done
	logged c1 "refused 192.0.2.1/32: another's, in no pool"
	both c1 "request_ip=1\nip=192.0.2.1/32\nip=::/128\n\n" "$(lease "${V6[c1]}")$UNAVAILABLE"
	holds c1 "${V6[c1]}"
	both c1 "request_ip=1\nip=2001:db8::1/128\nip=192.0.2.5/32\n\n" \
		"$(lease 192.0.2.5)$UNAVAILABLE"
	holds c1 192.0.2.5 "${V6[c1]}" # what it held it keeps
	both c1 "request_ip=1\nip=192.0.2.1/32\nip=2001:db8::1/128\n\n" "$UNAVAILABLE"
	holds c1 192.0.2.5 "${V6[c1]}"
	holds c4 "${V4[c4]}" "${V6[c4]}"
}

@test "a reservation: the lowest, another by name, still there when it is released" {
	serve 192.0.2.0/28,2001:db8::/64
	both c2 "$REQUEST" "$(both_of c2)"
	both c2 'request_ip=1\nip=192.0.2.9\nip=2001:db8::7\n\n' \
		"$(lease 192.0.2.9 2001:db8::7)errno=0\n\n"
	both c2 'request_ip=1\nip=192.0.2.10\nip=2001:db8::10\n\n' \
		"$(lease 192.0.2.10 2001:db8::10)errno=0\n\n"
	holds c2 192.0.2.10 2001:db8::10
	both c2 "$RELEASE" "$RELEASED"
	holds c2
}

@test "an address that was given up or released is free for others, and a lost one is not had again" {
	says c1 "$REQUEST" "$(both_of c1)"
	says c1 'request_ip=1\nip=192.0.2.10\n\n' "$(lease 192.0.2.10)errno=0\n\n"
	wait_for 2 says c3 "request_ip=1\nip=${V4[c1]}\n\n" "$(lease "${V4[c1]}")errno=0\n\n"
	holds c1 192.0.2.10
	says c1 "request_ip=1\nip=${V4[c1]}\n\n" "$UNAVAILABLE"
	holds c1 192.0.2.10
	says c1 "$RELEASE" "$RELEASED"
	says c4 'request_ip=1\nip=192.0.2.10\n\n' "$(lease 192.0.2.10)errno=0\n\n"
	run raw c1 client -e "$REQUEST"
	[[ $output == ip=192.0.2.*"\nip=2001:db8::"*"errno=0\n\n" ]]
	[[ $output != "ip=192.0.2.10/"* && $output != "ip=${V4[c1]}/"* ]]
	holds c3 "${V4[c1]}"
	holds c4 192.0.2.10
}

@test "pools used up: errno 3; no pool of a family; the address unused for longest" {
	serve 192.0.2.4/30 lease-time 600
	local first second
	first=$(raw c1 client "$REQUEST" | grep ^ip=)
	second=$(raw c3 client "$REQUEST" | grep ^ip=)
	[[ "$first $second" == "ip=192.0.2.5/32 ip=192.0.2.6/32" ||
		"$first $second" == "ip=192.0.2.6/32 ip=192.0.2.5/32" ]]
	both c4 "$REQUEST" "$UNAVAILABLE"
	both c1 'request_ip=1\nip=::/128\n\n' "$UNAVAILABLE"
	says c1 "request_ip=1\nip=0.0.0.0\nip=::\n\n" \
		"$first\nleasestart=now\nleasetime=600\n$UNAVAILABLE"
	says c3 "$RELEASE" "$RELEASED"
	says c1 "$RELEASE" "$RELEASED"
	says c4 "$REQUEST" "$second\nleasestart=now\nleasetime=600\nerrno=0\n\n"
	says c3 "$REQUEST" "$first\nleasestart=now\nleasetime=600\nerrno=0\n\n"
	says c1 "$REQUEST" "$UNAVAILABLE"
	each "$RELEASE"
	serve 192.0.2.0/28,2001:db8::/64
}

# ---- errno 4, extensions

fill_disk() { # until nothing more can be written to the journal's file system.
	on srv mount -o remount,size=256k /var/lib/wg-dynamic
	not on srv dd if=/dev/zero of=/var/lib/wg-dynamic/filler bs=1k status=none 2>/dev/null
}

free_disk() {
	on srv rm -f /var/lib/wg-dynamic/filler
	on srv mount -o remount,size=50% /var/lib/wg-dynamic
}

@test "errno 4: the disk is full; nothing is changed; retry= only for who knows it" {
	says c1 "$REQUEST" "$(both_of c1)"
	fill_disk
	# The last page of the journal takes a few records more.
	raw c1 client "$(printf 'request_ip=1\\n\\n%.0s' {1..100})" | tail -n 3 |
		grep -q '^errno=4$'
	both c1 "$REQUEST" "$LATER"
	both c1 'request_ip=1\nwant=\n\n' "retry=5\n$LATER"
	both c1 'request_ip=1\nip=192.0.2.10\n\n' "$LATER"
	both c3 "$REQUEST" "$LATER"
	says c3 "$REQUEST${REQUEST}request_ip=1\nip=192.0.2.1\n\n" "$LATER$LATER$UNAVAILABLE"
	logged c3 "refused: can't be done now, told to try again"
	holds c1 "${V4[c1]}" "${V6[c1]}"
	holds c3
	free_disk
	both c3 "$REQUEST" "$(both_of c3)"
	both c1 "$REQUEST" "$(both_of c1)"
	holds c3 "${V4[c3]}" "${V6[c3]}"
}

@test "want=: renew= behind leasetime, for whatever is wanted; plain peers get none" {
	local want
	for want in "" route dns mtu call peer route,dns,mtu,call,peer nonsense 'x y,,dns' ','; do
		both c1 "request_ip=1\nwant=$want\n\n" \
			"$(lease -r 1800 "${V4[c1]}" "${V6[c1]}")errno=0\n\n"
	done
	both c1 'request_ip=1\nleasetime=61\nip=::/128\nwant=\n\n' \
		"$(lease -t 61 -r 30 "${V6[c1]}")errno=0\n\n"
	both c1 'request_ip=1\nwant=\nip=192.0.2.1\n\n' "$UNAVAILABLE"
	both c1 'request_ip=1\nwant=\nip=192.0.2.1\nip=::\n\n' \
		"$(lease -r 1800 "${V6[c1]}")$UNAVAILABLE"
	says c1 "request_ip=1\nwant=\n\n$REQUEST" \
		"$(lease -r 1800 "${V4[c1]}" "${V6[c1]}")errno=0\n\n$(both_of c1)"
}

@test "plain answers have keys of version 1 alone, and one = in each line" {
	local all="$REQUEST$RELEASE$REQUEST" # in one piece: who comes late is not served
	all+='request_ip=1\nip=192.0.2.1\nip=::\n\nrequest_ip=1\nip=192.0.2.1\n\nabc\n\n'
	raw c1 client "$all" >"$BATS_TEST_TMPDIR/answers"
	[ "$(grep -c ^errno= "$BATS_TEST_TMPDIR/answers")" -eq 6 ]
	not grep -Ev '^((ip|leasestart|leasetime|errno|errmsg)=[^=]+)?$' "$BATS_TEST_TMPDIR/answers"
}

@test "release_ip: gives up both; once more it is no error; with a want= it is the same" {
	both c1 "$RELEASE" "$RELEASED"
	says c1 "$REQUEST" "$(both_of c1)"
	holds c1 "${V4[c1]}" "${V6[c1]}"
	both c1 "$RELEASE" "$RELEASED"
	holds c1
	wait_for 2 grep -qF "peer ${PUB[c1]}: lease of ${V4[c1]}/32, ${V6[c1]}/128 ended: released" \
		"$NS/srv/log"
	says c1 "$REQUEST" "$(both_of c1)"
	both c1 'release_ip=1\nwant=route\n\n' "$RELEASED"
	holds c1
	on srv wg-dynamic show wg0 dump >"$BATS_TEST_TMPDIR/dump"
	grep -q $'^wg0\tserver' "$BATS_TEST_TMPDIR/dump"
	not grep -qF "${PUB[c1]}" "$BATS_TEST_TMPDIR/dump"
}

# ---- who asks

@test "a link-local that no peer has as /128 gets no answer, whoever may send from it" {
	on srv wg set wg0 peer "${PUB[c3]}" allowed-ips "${LL[c3]}/128,192.0.2.12/30,0.0.0.0/0,::/0"
	on c3 ip address add fe80::77/128 dev wg0
	run raw c3 client -e --from fe80::77 "$REQUEST"
	[[ $status =~ ^[05]$ && $output == "" ]]
	wait_for 2 grep -q "fe80::77: refused: this link-local is in no peer's allowed-ips" \
		"$NS/srv/log"
	# Who may send from everywhere does not empty the pool, and is itself known.
	says c1 "$REQUEST" "$(both_of c1)"
	says c3 "$REQUEST" "$(both_of c3)"
	# As long as c1 has its link-local, c3 cannot use it.
	on c3 ip address add "${LL[c1]}/128" dev wg0
	run raw c3 client --from "${LL[c1]}" --limit 1 "$REQUEST"
	[ "$status" -eq 4 ]
	# Just taken from c1: a reading that is older does not count.
	: >"$NS/srv/log"
	on srv wg set wg0 peer "${PUB[c1]}" remove
	run raw c3 client -e --from "${LL[c1]}" "$RELEASE$REQUEST"
	[[ $status =~ ^[05]$ && $output == "" ]]
	wait_for 2 grep -qF "${LL[c1]}: refused: this link-local is in no peer's" "$NS/srv/log"
	not grep -q "ended: released" "$NS/srv/log"
	on c3 ip address delete "${LL[c1]}/128" dev wg0
	on c3 ip address delete fe80::77/128 dev wg0
	on srv wg set wg0 peer "${PUB[c3]}" allowed-ips "${LL[c3]}/128,192.0.2.12/30"
	on srv wg set wg0 peer "${PUB[c1]}" allowed-ips "${LL[c1]}/128" \
		endpoint "${IP[c1]}:$(on c1 wg show wg0 listen-port)"
	on srv ping -n -q -c 1 -w 5 -I fe80::%wg0 "${LL[c1]}%wg0" # a new session
	says c1 "$REQUEST" "$(both_of c1)"
}

@test "more than two connections of a peer: closed at once, others are served" {
	raw c1 client --connections 4 --limit 6 >"$BATS_TEST_TMPDIR/many" &
	wait_for 2 logged c1 "refused: two connections of this peer are open"
	elapsed says c2 "$REQUEST" "$(both_of c2)"
	((MS < 5000)) # and not when those have ended
	wait "$!" || true
	[ "$(grep -c '^96[78] \(closed\|reset\) [0-4]\.' "$BATS_TEST_TMPDIR/many")" -eq 2 ]
	[ "$(grep -c '^9\(70\|69\) open' "$BATS_TEST_TMPDIR/many")" -eq 2 ]
	says c1 "$REQUEST" "$(both_of c1)"
}

@test "silent connections keep nobody waiting, and a peer with many link-locals has no more" {
	local i
	on srv wg set wg0 peer "${PUB[c3]}" allowed-ips "${LL[c3]}/128,192.0.2.12/30,::/0"
	sleep 1.1
	says c1 "$REQUEST" "$(both_of c1)" # the server knows of the ::/0
	for i in {1..10}; do
		on c3 ip address add "fe80::77:$i/128" dev wg0 nodad
		raw c3 client --from "fe80::77:$i" --connections 2 --limit 8 \
			>"$BATS_TEST_TMPDIR/silent$i" &
	done
	raw c4 client --connections 2 --limit 8 >/dev/null &
	wait_for 5 connections 4
	elapsed says c1 "$REQUEST" "$(both_of c1)"
	((MS < 5000))
	elapsed says c2 "$REQUEST" "$(both_of c2)"
	((MS < 5000))
	wait
	[ "$(cat "$BATS_TEST_TMPDIR"/silent* | grep -c open)" -eq 2 ]
	grep -q "fe80::77:.*: refused: two connections of this peer are open" "$NS/srv/log"
	for i in {1..10}; do
		on c3 ip address delete "fe80::77:$i/128" dev wg0
	done
	on srv wg set wg0 peer "${PUB[c3]}" allowed-ips "${LL[c3]}/128,192.0.2.12/30"
}

connections() { # N [ADDRESS]: the server has so many, of this peer.
	[[ $(on srv ss -Htn state established "sport = 970" | grep -c "${2-}") == "$1" ]]
}

at_ten() { # FILE...: in each a time in seconds, near the ten that a connection may be idle.
	local file time
	for file; do
		time=$(grep -o '[0-9]*\.[0-9]*' "$file")
		[[ $(wc -w <<<"$time") -gt 0 ]] || fail_with "no time in $file" || return 1
		awk '$1 < 9 || $1 > 18 { exit 1 }' <<<"$time" || fail_with "$file: $time" || return 1
	done
}

@test "cut after 10 s: silent, begun, byte by byte, not reading, gone" {
	local dir=$BATS_TEST_TMPDIR engine wmem
	raw c1 client --connections 2 --limit 20 >"$dir/silent" &
	raw c2 client -t --limit 20 'request_ip=1\nip=' 2>"$dir/begun" &
	raw c2 client -t --limit 20 --port 33 "${REQUEST}re" >/dev/null 2>"$dir/second" &
	raw c4 client -t --limit 20 --bytewise --pause 0.5 "request_ip=1\nx=$(x 100)" \
		2>"$dir/drip" &
	raw c3 client --from "${LL[c3]}" --port 33 --limit 14 &
	wait_for 2 connections 1 "${LL[c3]}"
	on c3 ip link set to-srv down
	# All these requests are there when the first is read; for the answers there is no room.
	engine=$(pids srv server engine)
	wmem=$(on srv sysctl -n net.ipv4.tcp_wmem)
	on srv sysctl -q net.ipv4.tcp_wmem="4096 16384 16384"
	on srv kill -STOP "$engine"
	yes $'request_ip=1\n' | head -c 60000 | raw c4 client --port 44 --limit 14 - @sleep=14 &
	sleep 0.5
	on srv kill -CONT "$engine"
	sleep 6
	connections 1 "${LL[c3]}"
	connections 1 "${LL[c4]}.*:44"
	wait_for 8 connections 0 "${LL[c3]}"
	wait_for 5 connections 0 "${LL[c4]}.*:44"
	on srv sysctl -q net.ipv4.tcp_wmem="$wmem"
	on c3 ip link set to-srv up
	wait
	at_ten "$dir"/{silent,begun,second,drip}
	[ "$(grep -c closed "$dir/silent")" -eq 2 ]
	wait_for 5 says c3 "$REQUEST" "$(both_of c3)"
}
