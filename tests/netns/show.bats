#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What `show' prints of both daemons, for people, in `dump' and in `json'; and each counter, against
# what has happened.

# shellcheck disable=SC2030,SC2031 # no test needs what another has set

bats_require_minimum_version 1.5.0

REQUEST='request_ip=1\n\n'
RELEASE='release_ip=1\n\n'

teardown() {
	hosts_del
}

setup() {
	load leases
}

# counters HOST: all of them, NAME=VALUE, one a line, but the uptime.
counters() {
	on "$1" wg dynamic show wg0 dump |
		awk -F '\t' '$2 == "counter" && $3 != "uptime" { print $3 "=" $4 }'
}

# counted HOST NAME=VALUE...: these counters are so, and all others (but readings) are 0.
counted() {
	local host=$1 left
	shift
	left=$(counters "$host" | grep -v -e '=0$' -e ^readings=) || true
	[[ $(sort <<<"$left") == "$(printf '%s\n' "$@" | grep . | sort)" ]] ||
		fail_with "counted:" "$left" "wanted:" "$@"
}

# json HOST EXPRESSION [WORD...]: what Python says of the object d that `show WORD... json' prints.
json() {
	on "$1" wg dynamic show "${@:3}" json | /usr/bin/python3 -c '
import json, sys
d = json.load(sys.stdin)
print(json.dumps(eval(sys.argv[1])))' "$2"
}

# ---- what the daemons have put into AllowedIPs

@test "allowed-ips: of leases, but not what the administrator has reserved; gone when released" {
	star "fe80::/128" c1 c2 c3
	up_server pool 192.0.2.8/29,2001:db8::8/125
	only_tunnel c1 c2 c3
	[ "$(on srv wg dynamic show wg0 allowed-ips)" = "" ]
	on srv wg set wg0 peer "${PUB[c2]}" allowed-ips "${LL[c2]}/128,192.0.2.9/32"
	on srv wg dynamic reload wg0 # knows of it
	raw c1 client 'request_ip=1\nip=192.0.2.10\nip=2001:db8::a\n\n' >/dev/null
	raw c2 client 'request_ip=1\nip=192.0.2.9\nip=2001:db8::9\n\n' >/dev/null
	raw c3 client 'request_ip=1\nip=192.0.2.11\n\n' >/dev/null
	[ "$(on srv wg dynamic show wg0 allowed-ips | sort)" = "$(printf '%s\t%s\n' \
		"${PUB[c1]}" "192.0.2.10/32 2001:db8::a/128" "${PUB[c2]}" "2001:db8::9/128" \
		"${PUB[c3]}" "192.0.2.11/32" | sort)" ]

	on srv wg dynamic release wg0 peer "${PUB[c1]}"
	wait_for 3 not has_allowed srv wg0 "${PUB[c1]}" 192.0.2.10/32
	not has_allowed srv wg0 "${PUB[c1]}" 2001:db8::a/128
	has_allowed srv wg0 "${PUB[c1]}" "${LL[c1]}/128"
	wait_for 2 logged srv "peer ${PUB[c1]}: lease of 192.0.2.10/32, 2001:db8::a/128 ended: the administrator released it"
	on srv wg dynamic release wg0 peer "${PUB[c2]}"
	wait_for 3 not has_allowed srv wg0 "${PUB[c2]}" 2001:db8::9/128
	has_allowed srv wg0 "${PUB[c2]}" 192.0.2.9/32
	[ "$(on srv wg dynamic show all allowed-ips)" = "wg0"$'\t'"${PUB[c3]}"$'\t'"192.0.2.11/32" ]
	counted srv connections_accepted=3 grants=3 ends_admin=2 reloads=1
}

# ---- counters

@test "server: grants, renewals, ends and refusals by their reason, connections" {
	local dump
	star "fe80::/128" c1 c2 c3
	up_server pool 192.0.2.8/31 lease-time 600
	only_tunnel c1 c2 c3
	counted srv
	raw c1 client "$REQUEST$REQUEST$REQUEST" >/dev/null
	counted srv connections_accepted=1 grants=1 renewals=2
	raw c2 client "$REQUEST" >/dev/null
	counted srv connections_accepted=2 grants=2 renewals=2
	raw c3 client "$REQUEST$REQUEST" >/dev/null
	counted srv connections_accepted=3 grants=2 renewals=2 refusals_unavailable=2
	raw c3 client 'nonsense\n\n' >/dev/null
	raw c3 client 'request_ip=2\n\n' >/dev/null
	raw c3 client 'route_ip=1\n\n' >/dev/null
	counted srv connections_accepted=6 grants=2 renewals=2 refusals_unavailable=2 \
		refusals_invalid=1 refusals_unsupported=2
	raw c3 client --port 2000 "$REQUEST" >/dev/null || true
	counted srv connections_accepted=6 grants=2 renewals=2 refusals_unavailable=2 \
		refusals_invalid=1 refusals_unsupported=2 refusals_port=1
	raw c3 client --connections 5 --limit 3 >/dev/null &
	wait_for 2 counted srv connections_accepted=8 connections_open=2 grants=2 renewals=2 \
		refusals_unavailable=2 refusals_invalid=1 refusals_unsupported=2 refusals_port=1 \
		refusals_too_many=3
	wait "$!" || true
	wait_for 2 counted srv connections_accepted=8 grants=2 renewals=2 refusals_unavailable=2 \
		refusals_invalid=1 refusals_unsupported=2 refusals_port=1 refusals_too_many=3
	raw c2 client "$RELEASE$RELEASE" >/dev/null
	counted srv connections_accepted=9 grants=2 renewals=2 refusals_unavailable=2 \
		refusals_invalid=1 refusals_unsupported=2 refusals_port=1 refusals_too_many=3 \
		ends_released=1
	(($(counters srv | sed -n s/^readings=//p) > 0))

	# The same in all three views; for people those that are 0 are left out.
	dump=$(counters srv)
	[ "$(json srv '{k: v for k, v in d["wg0"]["server"]["counters"].items() if v}' wg0 |
		tr -d '{}"' | sed 's/, /\n/g' | grep -v -e ^uptime -e ^readings | sort)" = "$(sort <<-'EOF_'
			connectionsAccepted: 9
			grants: 2
			renewals: 2
			endsReleased: 1
			refusalsInvalid: 1
			refusalsUnsupported: 2
			refusalsUnavailable: 2
			refusalsPort: 1
			refusalsTooMany: 3
		EOF_
	)" ]
	[ "$(json srv 'len(d["wg0"]["server"]["counters"])')" -eq $(($(wc -l <<<"$dump") + 1)) ]
	[ "$(on srv wg dynamic show wg0 | sed -n '/uptime/,/pool/p' | grep -v readings |
		sed 's/\(uptime\): [0-9].*/\1/')" = "$(
		cat <<-'EOF_'
			  uptime
			  connections: 9 accepted
			  grants: 2
			  renewals: 2
			  ends: 1 released
			  refusals: 1 invalid, 2 unsupported, 2 unavailable, 1 port, 3 too many
			  pool: 192.0.2.8/31 (1 leased, 1 free)
		EOF_
	)" ]
}

@test "server: the other ends, and whoever has a link-local of nobody" {
	star "0.0.0.0/0, ::/0" c1 c2 c3
	up_server pool 192.0.2.64/26,2001:db8::/64 lease-time 600
	only_tunnel c1 c2 c3
	raw c1 client "$REQUEST" >/dev/null
	raw c1 client 'request_ip=1\nip=192.0.2.100\nip=::\n\n' >/dev/null
	# It goes on with the other address: that is no end.
	counted srv connections_accepted=2 grants=2
	raw c1 client 'request_ip=1\nip=192.0.2.100\n\n' >/dev/null
	raw c1 client 'request_ip=1\nip=192.0.2.101\n\n' >/dev/null
	counted srv connections_accepted=4 grants=3 renewals=1 ends_given_up=1
	raw c2 client "$REQUEST" >/dev/null
	on srv wg set wg0 peer "${PUB[c2]}" remove
	on srv wg set wg0 peer "${PUB[c3]}" allowed-ips "${LL[c3]}/128,192.0.2.101/32,fe80::/64"
	wait_for 35 counted srv connections_accepted=5 grants=4 renewals=1 ends_given_up=1 \
		ends_peer_gone=1 ends_taken=1
	on c3 ip address add fe80::77/128 dev wg0 nodad
	raw c3 client --from fe80::77 "$REQUEST" >/dev/null || true
	wait_for 2 counted srv connections_accepted=6 grants=4 renewals=1 ends_given_up=1 \
		ends_peer_gone=1 ends_taken=1 refusals_stranger=1
}

@test "server: a lease that expires, a journal that fails, and a new engine" {
	star "fe80::/128" c1
	up_server pool "$POOLS" lease-time 2
	only_tunnel c1
	raw c1 client "$REQUEST" >/dev/null
	# One end, for both addresses.
	wait_for 4 counted srv connections_accepted=1 grants=1 ends_expired=1
	spawn srv strace strace -e trace=fdatasync -e inject=fdatasync:error=EIO:when=1 \
		-p "$(pids srv server engine)"
	wait_for 5 grep -q attached "$NS/srv/strace.out"
	raw c1 client "$REQUEST" >/dev/null
	wait_for 2 counted srv connections_accepted=2 grants=1 ends_expired=1 ends_failed=1 \
		refusals_later=1
	sleep 1
	(($(json srv 'd["wg0"]["server"]["counters"]["uptime"]') >= 3))
	on srv kill "$SPID"
	kill_half srv server engine
	wait_for 5 counted srv
	(($(json srv 'd["wg0"]["server"]["counters"]["uptime"]') <= 2))
}

@test "client: what it asked, and what came of it" {
	two_hosts "fe80::/128"
	up_server pool 192.0.2.64/32 lease-time 4
	only_client c1
	counted c1 requests=1 grants=1
	wait_for 5 counted c1 requests=2 grants=1 renewals=1
	on srv wg dynamic stop wg0
	wait_for 3 grep -q "cannot connect" "$NS/c1/log"
	(($(counters c1 | sed -n s/^failures_connect=//p) >= 1))
	wait_for 6 grep -q "has ended, not renewed" "$NS/c1/log"
	[ "$(counters c1 | grep ^expiries)" = expiries=1 ]
	on c1 wg dynamic stop wg0

	raw_server srv @read 'errno=1\n\n' @close @read 'errno=3\nerrmsg=None left "\\today"\n\n' @close
	on c1 wg dynamic client wg0 wait 0
	wait_for 5 counted c1 requests=2 refusals_invalid=1 refusals_unavailable=1
	[ "$(json c1 'd["wg0"]["client"]["lastError"]')" = \
		'"the server refused: Chosen IP(s) unavailable: None left \"\\today\""' ]
}

# ---- views

@test "json: a server and a client in full" {
	local four six
	star "fe80::/128" c1 c2
	up_server pool "$POOLS,198.51.100.0/30" lease-time 600
	[ "$(json srv 'd["wg0"]["server"]["leases"]')" = "[]" ]
	only_client c1
	four=$(v4 c1) six=$(v6 c1)
	[ "$(json srv 'list(d), list(d["wg0"]), list(d["wg0"]["server"])')" = \
		'[["wg0"], ["server"], ["leaseTime", "routes", "dns", "search", "counters", "pools", "leases"]]' ]
	[ "$(json srv 'd["wg0"]["server"]["leaseTime"]')" = 600 ]
	# The network's and the broadcast address are none to have, nor is the server's own.
	[ "$(json srv 'd["wg0"]["server"]["pools"]' wg0)" = '[{"pool": "192.0.2.0/24", "leased": 1, "free": 252}, {"pool": "2001:db8::/64", "leased": 1, "free": 18446744073709551613}, {"pool": "198.51.100.0/30", "leased": 0, "free": 2}]' ]
	[ "$(json srv '[{**l, "expiresIn": 590 < l["expiresIn"] <= 600} for l in d["wg0"]["server"]["leases"]]' all)" = \
		"[{\"publicKey\": \"${PUB[c1]}\", \"addresses\": [\"$four/32\", \"$six/128\"], \"expiresIn\": true}]" ]
	[ "$(json c1 '{k: v for k, v in d["wg0"]["client"].items() if k not in ("requestIn", "expiresIn", "counters")}')" = \
		"{\"state\": \"bound\", \"serverPublicKey\": \"${PUB[srv]}\", \"linkLocal\": \"${LL[c1]}\", \"addresses\": [\"$four/32\", \"$six/128\"], \"leaseTime\": 600, \"routes\": [], \"dns\": [], \"search\": [], \"refused\": []}" ]
	[ "$(json c1 '250 < d["wg0"]["client"]["requestIn"] <= 300 and 590 < d["wg0"]["client"]["expiresIn"] <= 600')" = true ]
	[ "$(json c1 'd["wg0"]["client"]["counters"]["grants"]' all)" = 1 ]
	[ "$(json c2 d)" = "{}" ]
	run --separate-stderr -1 on c2 wg dynamic show wg0 json
	# shellcheck disable=SC2154 # set by run
	[ "$output" = "{}" ] && [ "$stderr" = "wg-dynamic: wg0: neither client nor server runs" ]
}

@test "a client that waits for its server: when it asks again, in all three" {
	local fields
	two_hosts "fe80::/128"
	wgq srv up wg0
	on c1 sed -i 's/, auto$//' /etc/wireguard/wg0.conf
	wgq c1 up wg0
	raw_server srv @read 'errno=4\nretry=40\n\n' @close
	on c1 wg dynamic client wg0 wait 0
	wait_for 3 grep -q "Try again later" "$NS/c1/log"
	[ "$(json c1 '[30 < d["wg0"]["client"].pop("requestIn") <= 40, d["wg0"]["client"].pop("counters")["refusalsLater"], d]')" = \
		"[true, 1, {\"wg0\": {\"client\": {\"state\": \"waiting\", \"serverPublicKey\": \"${PUB[srv]}\", \"linkLocal\": \"${LL[c1]}\", \"addresses\": [], \"lastError\": \"the server refused: Try again later\", \"routes\": [], \"dns\": [], \"search\": [], \"refused\": []}}}]" ]
	[[ $(on c1 wg dynamic show) =~ $'\n  next request: in 3'[0-9]$' seconds\n' ]]
	IFS=$'\t' read -ra fields <<<"$(on c1 wg dynamic show dump | head -n 1)"
	[[ ${fields[7]} == 3[0-9] ]]
	fields[7]=39
	[ "${fields[*]}" = "wg0 client waiting ${PUB[srv]} ${LL[c1]} (none) (none) 39 (none) the server refused: Try again later (none) (none) (none) (none) (none)" ]
}

# A daemon of the test's own: answers on the socket of this name.
daemon() { # NAME ANSWER
	spawn srv "daemon$((++DAEMONS))" /usr/bin/python3 -c '
import codecs, os, socket, sys
os.makedirs("/run/wg-dynamic", exist_ok=True)
path = b"/run/wg-dynamic/" + codecs.escape_decode(sys.argv[1])[0]
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(path)
    listener.listen()
    while True:
        with listener.accept()[0] as asked:
            asked.recv(100)
            asked.sendall(codecs.escape_decode(sys.argv[2])[0])
' "$@"
	wait_for 3 on srv grep -q wg-dynamic /proc/net/unix
	wait_for 3 at_least "$DAEMONS" on srv grep -c wg-dynamic /proc/net/unix
}

@test "whatever a daemon answers: valid JSON, no escapes, and what breaks off is not there at all" {
	local words
	host_new srv
	daemon wg1.server.sock 'role=server\nlease_time=60\ncounter_a_b=1\npool=192.0.2.0/24\npool_leased=0\npool_free=254\npublic_key='
	run --separate-stderr -1 on srv wg dynamic show wg1
	[ "$output" = "" ] && [ "$stderr" = "wg-dynamic: wg1: the answer of the server breaks off" ]
	run --separate-stderr -1 on srv wg dynamic show dump
	[ "$output" = "" ]
	run --separate-stderr -1 on srv wg dynamic show json
	[ "$output" = "{}" ]

	daemon wg2.server.sock 'interface=x\nrole=server\nlease_time=060\ncounter_x=x\ncounter_=\ncounter_"_\\=-1\ncounter_y_z_=99999999999999999999999\npool=\npool_leased=\nrole=client\nstate=x\npool=\x01\npublic_key=\x1b[31m"\\\nip=a"\\\nip=\xff\nexpires_in=1e9\n\n'
	daemon 'wg2.x.client.sock' 'role=x\nstate="\nlast_error=\\"\n\n'
	daemon 'wg2.client.sock' 'role=client\nip=192.0.2.1/32\n\n'
	daemon 'a\"\\\xc3_b\x1b.client.sock' 'role=client\nip=192.0.2.1/32\n\n'
	daemon 'none.client.sock' '\n'
	run --separate-stderr -1 on srv wg dynamic show json
	[ "$stderr" = "wg-dynamic: none: the answer of the client breaks off
wg-dynamic: wg1: the answer of the server breaks off" ]
	[ "$(/usr/bin/python3 -c '
import json, sys
def pairs(p):
    assert len(dict(p)) == len(p), p
    return dict(p)
d = json.loads(sys.argv[1], object_pairs_hook=pairs)
print(json.dumps([{i: list(d[i]) for i in d}, d["wg2"]["client"], d["wg2.x"]["client"],
                  d["wg2"]["server"]["leases"], d["wg2"]["server"]["leaseTime"]]))' "$output")" = \
		'[{"a\"\\\u00c3_b\u001b": ["client"], "wg2": ["client", "server"], "wg2.x": ["client"]}, {"addresses": ["192.0.2.1/32"], "routes": [], "dns": [], "search": [], "refused": []}, {"state": "\"", "addresses": [], "lastError": "\\\"", "routes": [], "dns": [], "search": [], "refused": []}, [{"publicKey": "?[31m\"\\", "addresses": ["a\"\\", "?"], "expiresIn": 1}], 60]' ]
	for words in wg2 "wg2 dump"; do
		# shellcheck disable=SC2086 # words
		run -0 on srv wg dynamic show $words
		[[ $output == *"?[31m\"\\"* && $output != *[$'\e\x01']* ]]
	done
}

# A server or client that has been taken over says that it has put this into AllowedIPs of that peer.
claims() { # server|client KEY IP [NOTED]: after a line in NOTED all of it is believed, else nothing.
	local line="the $1 says that it has put $3 into AllowedIPs, of which"
	run --separate-stderr on srv wg dynamic show "wg$DAEMONS" allowed-ips
	if [[ -n ${4-} ]]; then
		[[ $status == 0 && $output == "$2"$'\t'"$3" ]]
	else
		[[ $status == 1 && $output == "" && $stderr == "wg-dynamic: wg$DAEMONS: $line "* ]]
	fi || fail_with "$status $output $stderr"
}

@test "allowed-ips: what a server's or a client's monitor knows nothing of is not believed" {
	local key ip hex
	host_new srv
	key=$(head -c 32 /dev/zero | tr '\0' '\1' | base64)
	hex=$(printf '01%.0s' {1..32})
	# Outside of the pools, wider than a host, another's link-local, and no prefix at all.
	for ip in 198.51.100.1/32 192.0.2.0/24 0.0.0.0/0 ::/0 fe80::1/128 2001:db9::1/128 x; do
		daemon "wg$((DAEMONS + 1)).server.sock" \
			"role=server\\npublic_key=$hex\\nallowed_ip=$ip\\n\\n"
		printf '192.0.2.0/24\n2001:db8::/64\nlink-locals\n' |
			on srv tee "/var/lib/wg-dynamic/wg$DAEMONS.served" >/dev/null
		claims server "$key" "$ip"
	done
	for ip in 192.0.2.7/32 2001:db8::7/128 fe80::101:101:101:101/128; do
		daemon "wg$((DAEMONS + 1)).server.sock" \
			"role=server\\npublic_key=$hex\\nallowed_ip=$ip\\n\\n"
		claims server "$key" "$ip"
		echo 203.0.113.0/24 | on srv tee "/var/lib/wg-dynamic/wg$DAEMONS.served" >/dev/null
		claims server "$key" "$ip"
		printf '192.0.2.0/24\n2001:db8::/64\nlink-locals\n' |
			on srv tee "/var/lib/wg-dynamic/wg$DAEMONS.served" >/dev/null
		claims server "$key" "$ip" noted
	done

	# For a client, routes that it has added, and not one that the user had there before.
	daemon "wg$((DAEMONS + 1)).client.sock" \
		"role=client\\nserver_public_key=$hex\\nroute=10.1.0.0/16\\nallowed_ip=10.1.0.0/16\\n\\n"
	claims client "$key" 10.1.0.0/16
	printf 'ifindex=1\nroute=10.1.0.0/16\n' |
		on srv tee "/run/wg-dynamic/wg$DAEMONS.client.state" >/dev/null
	claims client "$key" 10.1.0.0/16
	echo allowed=10.1.0.0/16 | on srv tee -a "/run/wg-dynamic/wg$DAEMONS.client.state" >/dev/null
	claims client "$key" 10.1.0.0/16 noted

	# Whoever can't be checked is not asked to the end.
	on srv dd if=/dev/zero "of=/var/lib/wg-dynamic/wg10.served" bs=10 count=1 status=none
	run --separate-stderr -1 on srv wg dynamic show "wg10" allowed-ips
	[ "$stderr" = "wg-dynamic: wg10: cannot read /var/lib/wg-dynamic/wg10.served: no server has written this" ]
}

# Likewise, but it says this again and again, without any end.
endless() { # NAME SECONDS TEXT
	spawn srv "daemon$((++DAEMONS))" /usr/bin/python3 -c '
import codecs, os, socket, sys, time
os.makedirs("/run/wg-dynamic", exist_ok=True)
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind("/run/wg-dynamic/" + sys.argv[1])
    listener.listen()
    while True:
        with listener.accept()[0] as asked:
            asked.recv(100)
            asked.sendall(b"role=server\n")
            try:
                while True:
                    asked.sendall(codecs.escape_decode(sys.argv[3])[0])
                    time.sleep(float(sys.argv[2]))
            except OSError:
                pass
' "$@"
	wait_for 3 on srv grep -q "wg-dynamic/$1" /proc/net/unix
}

@test "an answer without end: given up after 30 s, or where it is too long, whatever is printed" {
	local words line
	host_new srv
	line=$(printf 'counter_x=1\\n%.0s' {1..1000})
	endless wg1.server.sock 2 x
	endless wg2.server.sock 0 "$line"
	# As much memory as the answer may have, twice where it grows, and no more.
	for words in allowed-ips json; do
		# shellcheck disable=SC2016,SC2086 # words
		run --separate-stderr -1 on srv bash -c 'ulimit -v 900000 && exec "$@"' bash \
			wg dynamic show wg2 $words
		# A slow machine has not had that much of it in 30 s.
		[[ $stderr == "wg-dynamic: wg2: the answer of the server breaks off: it "@(is too long|takes too long) ]]
		[[ $words$output == @(allowed-ips|json{}) ]]
	done
	elapsed run --separate-stderr -1 on srv wg dynamic show wg1 allowed-ips
	[ "$output" = "" ]
	[ "$stderr" = "wg-dynamic: wg1: the answer of the server breaks off: it takes too long" ]
	((MS > 29000 && MS < 35000))
}

@test "colours: as WG_COLOR_MODE says, else on a terminal; never in dump and json" {
	local mode words
	star "fe80::/128" c1
	up_server
	only_client c1
	for mode in always never auto nonsense ""; do
		for words in "" dump json; do
			run -0 on srv env WG_COLOR_MODE="$mode" wg dynamic show wg0 $words
			[[ $mode$words == always ]] && [[ $output == *$'\e['* ]] ||
				[[ $mode$words != always && $output != *$'\e['* ]]
			run -0 on srv env WG_COLOR_MODE="$mode" script -qec \
				"wg dynamic show wg0 $words" /dev/null
			[[ $mode == never || -n $words ]] && [[ $output != *$'\e['* ]] ||
				[[ $mode != never && -z $words && $output == *$'\e['* ]]
		done
	done
	# As `wg show' has them: title, label, peer, unit.
	run on srv env WG_COLOR_MODE=always wg dynamic show wg0
	[ "${lines[0]}" = $'\e[32m\e[1minterface\e[0m: \e[32mwg0\e[0m' ]
	[ "${lines[1]}" = $'  \e[1mrole\e[0m: server' ]
	[ "${lines[2]}" = $'  \e[1mlease time\e[0m: 4 \e[36mseconds\e[0m' ]
	[[ $output == *$'\n\e[33m\e[1mpeer\e[0m: \e[33m'"${PUB[c1]}"$'\e[0m\n'* ]]
	run on srv env WG_COLOR_MODE=always wg show wg0
	[[ $output == *$'\e[32m\e[1minterface\e[0m: \e[32mwg0\e[0m'* ]]
}
