# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# lib.bash - hosts for the namespace tests and the demo. A host has network, mount and PID
# namespaces of its own, all held by one process (host.bash) and entered by its PID; nothing has a
# name outside, so any number of instances run side by side. /run, /etc, /var/lib/wg-dynamic and
# /dev/log are the host's own; all other files are the machine's. A host lives no longer than the
# shell that made it (so not in a subshell, and not under `run') and bats, however these end.
#
# In bats:  setup() { load lib; two_hosts; }  teardown() { hosts_del; }
# Elsewhere: . lib.bash; trap hosts_del EXIT
#
# Needs root, bash, util-linux (unshare, nsenter), iproute2, wireguard-tools and perl; of these
# busybox can stand in for util-linux and perl.
#
# With WG_DYNAMIC_INSTALLED=1, wg, wg-quick and wg-dynamic come from PATH instead of build/.

NETNS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=${NETNS%/tests/netns}/build

# By host: key pair, underlay address, and the link-local that its peer on the server may use.
declare -gA KEY PUB IP LL
declare -gA HOLDER # the process to wait for, of the hosts that this shell made
declare -ga DEFAULT_SIGNALS=(env --default-signal=INT --default-signal=QUIT)
"${DEFAULT_SIGNALS[@]}" true 2>/dev/null || DEFAULT_SIGNALS=()

fail_with() { # MESSAGE...: says it on stderr and fails.
	printf '%s\n' "$@" >&2
	return 1
}

# ---- hosts

# In bats a test sees the hosts that its file's setup_file made: $NS, their folder, is exported.
hosts_load() { # reads what another shell has noted about the hosts in $NS.
	local file name
	for file in "$NS"/*/{key,pub,ip,ll}; do
		[[ -e $file ]] || continue
		name=${file%/*}
		name=${name##*/}
		case $file in
		*/key) KEY[$name]=$(<"$file") ;;
		*/pub) PUB[$name]=$(<"$file") ;;
		*/ip) IP[$name]=$(<"$file") ;;
		*/ll) LL[$name]=$(<"$file") ;;
		esac
	done
}
[[ -z ${NS-} ]] || hosts_load

bats_pid() { # PID: if this shell is a helper of bats, prints bats' own; fails if bats has gone.
	local pid=$1 argv
	while mapfile -d '' -t argv <"/proc/$pid/cmdline" && [[ ${argv[*]} == *bats-exec-* ]]; do
		read -r _ _ _ pid _ <"/proc/$pid/stat"
	done
	[[ $pid != "$1" ]] || return 0
	[[ ${argv[*]} == *bats* ]] && echo "$pid"
}

host_new() { # NAME...: makes hosts; a name is a word of up to 12 letters and digits.
	local name dir ready bats masters=("$BASHPID")
	((UID == 0)) || fail_with "test hosts are namespaces: run this as root" || return 1
	if [[ -z ${NS-} ]]; then
		NS=$(mktemp -d "${TMPDIR:-/tmp}/wg-hosts.XXXXXX") || return 1
		export NS
		NS_OWNER=$BASHPID
	fi
	bats=$(bats_pid "${masters[0]}") || fail_with "bats has gone" || return 1
	masters+=(${bats:+"$bats"})
	for name; do
		dir=$NS/$name
		mkdir "$dir" "$dir/own" "$dir/bin" || return 1
		mkfifo "$dir/ready" || return 1
		unshare -n -m -p -f bash "$NETNS/host.bash" "$dir" "${masters[@]}" \
			</dev/null >"$dir/error" 2>&1 3>&- 4>&- &
		HOLDER[$name]=$!
		exec {ready}<>"$dir/ready"
		until read -t 0.5 -r -u "$ready" _; do
			kill -0 "${HOLDER[$name]}" 2>/dev/null || break
		done
		exec {ready}>&-
		[[ -s $dir/pid ]] || fail_with "host $name did not start:" "$(<"$dir/error")" ||
			return 1
	done
}

host_del() { # NAME...: ends hosts with all that runs in them; returns when they are gone.
	local name
	for name; do
		[[ -n ${HOLDER[$name]-} ]] || continue
		if [[ -s $NS/$name/pid ]]; then
			kill -KILL "$(<"$NS/$name/pid")" 2>/dev/null || true
		else
			kill -KILL "${HOLDER[$name]}" 2>/dev/null || true
		fi
		wait "${HOLDER[$name]}" 2>/dev/null || true
		unset "HOLDER[$name]" "IP[$name]" "LL[$name]" "KEY[$name]" "PUB[$name]"
		rm -rf "${NS:?}/$name"
	done
	return 0
}

hosts_del() { # ends all hosts that this shell made; for teardown. A failed test shows their logs.
	[[ -n ${BATS_TEST_COMPLETED-1} ]] || hosts_dump
	host_del "${!HOLDER[@]}"
	[[ ${NS_OWNER-} != "$BASHPID" ]] || { rm -rf "$NS" && unset NS NS_OWNER; }
}

hosts_dump() { # what a person wants to know of each host after a failure.
	local file
	for file in "${NS:-/nonexistent}"/*/{log,*.out}; do
		[[ ! -s $file ]] || printf '== %s\n%s\n' "${file#"$NS/"}" "$(<"$file")" >&2
	done
}

on() { # HOST CMD...: runs a program there, in /; its input, output and status are yours.
	local pid path=$NS/$1/bin:$PATH
	[[ -s $NS/$1/pid ]] || fail_with "no host $1" || return 1
	pid=$(<"$NS/$1/pid")
	[[ ${WG_DYNAMIC_INSTALLED-} == 1 ]] || path=$BUILD:$path
	# -r: where the tests run in a chroot, the root of the namespace would be another.
	PATH=$path nsenter -t "$pid" -n -m -p -r -- "${@:2}" 3>&- 4>&-
}

# It leads a process group, and takes SIGINT even where the tests themselves run in the background.
spawn() { # HOST TAG CMD...: starts it in the background; its PID there in $SPID, output by out.
	# shellcheck disable=SC2034 # for the caller
	SPID=$(on "$1" bash -s -- "$NS/$1/$2.out" "${DEFAULT_SIGNALS[@]}" "${@:3}" <<-'EOF'
		set -m
		"${@:2}" </dev/null >"$1" 2>&1 &
		echo $!
	EOF
	)
}

out() { # HOST TAG: what a spawned program has printed so far.
	cat "$NS/$1/$2.out"
}

stub() { # HOST NAME <<script: puts a program there, found before all but the build folder's.
	cat >"$NS/$1/bin/$2" && chmod 755 "$NS/$1/bin/$2"
}

logs() { # HOST: its syslog so far: <priority> and the line, as programs sent it.
	cat "$NS/$1/log"
}

# ---- network and configuration

# The hub keeps one address on all its links, so that every client has the same endpoint.
link_hosts() { # HUB HOST...: a cable from each to the hub (to-HUB, to-HOST); addresses in $IP.
	local hub=$1 host n net
	[[ -n ${IP[$hub]-} ]] || note "$hub" IP "10.9.$((${#IP[@]} + 1)).1"
	net=${IP[$hub]%.1}
	for host in "${@:2}"; do
		n=2
		while [[ " ${IP[*]} " == *" $net.$n "* ]]; do
			((++n))
		done
		note "$host" IP "$net.$n"
		# Neither end ever is in the machine's own network namespace.
		nsenter -t "$(<"$NS/$hub/pid")" -n ip link add "to-$host" type veth \
			peer name "to-$hub" netns "$(<"$NS/$host/pid")" || return 1
		on "$hub" ip address add "$net.1/32" dev "to-$host" &&
			on "$hub" ip link set "to-$host" up &&
			on "$host" ip address add "${IP[$host]}/24" dev "to-$hub" &&
			on "$host" ip link set "to-$hub" up &&
			on "$hub" ip route add "${IP[$host]}/32" dev "to-$host" src "$net.1" ||
			return 1
	done
}

note() { # HOST KEY|PUB|IP|LL VALUE: sets it, for the tests of this file as well.
	printf -v "$2[$1]" %s "$3"
	echo "$3" >"$NS/$1/${2,,}"
}

keys() { # HOST...: a key pair for each: ${KEY[HOST]}, ${PUB[HOST]}.
	local name
	for name; do
		note "$name" KEY "$(wg genkey)"
		note "$name" PUB "$(wg pubkey <<<"${KEY[$name]}")"
	done
}

conf() { # HOST INTERFACE <<text: writes its wg-quick configuration.
	(umask 077 && on "$1" tee "/etc/wireguard/$2.conf" >/dev/null)
}

conf_server() { # SERVER CLIENT...: wg0 with fe80::/64, and the clients' link-locals as peers.
	local client
	{
		printf '[Interface]\nAddress = fe80::/64\n'
		printf 'PrivateKey = %s\nListenPort = 51820\n' "${KEY[$1]}"
		for client in "${@:2}"; do
			printf '\n[Peer]\nPublicKey = %s\nAllowedIPs = %s/128\n' \
				"${PUB[$client]}" "${LL[$client]}"
		done
	} | conf "$1" wg0
}

conf_client() { # CLIENT SERVER ALLOWEDIPS [ADDRESSES]: wg0: link-local, and `auto' or ADDRESSES.
	conf "$1" wg0 <<-EOF
		[Interface]
		Address = ${LL[$1]}/128, ${4-auto}
		PrivateKey = ${KEY[$1]}

		[Peer]
		PublicKey = ${PUB[$2]}
		AllowedIPs = $3
		Endpoint = ${IP[$2]}:51820
	EOF
}

star() { # ALLOWEDIPS CLIENT...: srv and clients, linked, with keys and wg0 configured (not up).
	local client n=0
	host_new srv "${@:2}" && link_hosts srv "${@:2}" && keys srv "${@:2}" || return 1
	for client in "${@:2}"; do
		((++n))
		note "$client" LL "fe80::abcd:abcd:abcd:$(printf %x $((0xabcc + n)))"
		conf_client "$client" srv "$1" || return 1
	done
	conf_server srv "${@:2}"
}

two_hosts() { # [ALLOWEDIPS]: srv and its client c1, as above; 0.0.0.0/0, ::/0 unless told.
	star "${1:-0.0.0.0/0, ::/0}" c1
}

# As on a host in the internet, where wg-quick's own routing is all that keeps the tunnel's packets
# out of the tunnel.
by_default() { # the endpoint of c1, which is not up, is one that only a default route leads to.
	on srv ip address add 198.51.100.9/32 dev lo &&
		on c1 ip route add default via "${IP[srv]}" &&
		on c1 sed -i 's,^Endpoint = .*,Endpoint = 198.51.100.9:51820,' \
			/etc/wireguard/wg0.conf
}

outside() { # whether, with a full tunnel, what goes to it is outside if it is the tunnel's own.
	[[ $(on c1 ip route get 198.51.100.9) == *" dev wg0 "* &&
		$(on c1 ip route get 198.51.100.9 mark 51820) == *" dev to-srv "* &&
		$(on c1 wg show wg0 fwmark) == 0xca6c ]]
}

# ---- what tests do and ask

wgq() { # HOST up|down|save|strip INTERFACE: wg-quick there.
	on "$1" wg-quick "${@:2}"
}

raw() { # HOST client|server ARGUMENT...: speaks the protocol by hand, see raw.py.
	on "$1" /usr/bin/python3 "$NETNS/raw.py" "${@:2}"
}

raw_server() { # HOST STEP...: raw.py's server in the background; what it takes: out HOST raw.
	spawn "$1" raw /usr/bin/python3 "$NETNS/raw.py" server "${@:2}"
	wait_for 5 listens "$1" 970
}

listens() { # HOST PORT: does something there accept TCP connections over IPv6?
	on "$1" grep -q ":$(printf %04X "$2") 0\{32\}:0000 0A" /proc/net/tcp6
}

addrs() { # HOST INTERFACE: its addresses with prefix length, one a line; link-locals left out.
	on "$1" ip -o address show dev "$2" | while read -r _ _ _ address _; do
		[[ $address == fe80:* ]] || echo "$address"
	done
}

has_addr() { # HOST INTERFACE ADDRESS[/LENGTH]: is it there?
	local address
	while read -r _ _ _ address _; do
		[[ $address != "$3" && ${address%/*} != "$3" ]] || return 0
	done < <(on "$1" ip -o address show dev "$2" 2>/dev/null)
	return 1
}

allowed() { # HOST INTERFACE PUBLIC-KEY: the peer's allowed-ips, one a line; fails if there is none.
	local key ips
	while read -r key ips; do
		[[ $key == "$3" ]] || continue
		[[ $ips == "(none)" ]] || printf '%s\n' "${ips// /$'\n'}"
		return 0
	done < <(on "$1" wg show "$2" allowed-ips)
	return 1
}

has_allowed() { # HOST INTERFACE PUBLIC-KEY IP/LENGTH: does that peer have it?
	[[ $'\n'$(allowed "$1" "$2" "$3")$'\n' == *$'\n'"$4"$'\n'* ]]
}

# Known by command line, user and parent. Spawner and engine are not root; a launcher that still
# waits and a short-lived reader are, but are no spawner's parent.
pids() { # HOST server|client [monitor|spawner|engine|"" [INTERFACE]]: PIDs there; fails if none.
	on "$1" bash -s -- "${@:2}" <<-'EOF'
		declare -A parent uid
		for dir in /proc/[0-9]*; do
			mapfile -d '' -t argv <"$dir/cmdline" || continue
			line=" ${argv[*]##*/} "
			[[ $line == " wg-dynamic-$1 "* || $line == " wg-dynamic $1 "* ||
				$line == " wg dynamic $1 "* ]] || continue
			[[ -z $3 || $line == *" $3 "* ]] || continue
			# All of it at once: `read' seeks back after each line, in what changes meanwhile.
			status=$(<"$dir/status") && [[ $status == *State:* ]] || continue
			while read -r key value _; do
				case $key in
				State:) [[ $value != Z ]] || continue 2 ;;
				PPid:) ppid=$value ;;
				Uid:) uid[${dir##*/}]=$value parent[${dir##*/}]=$ppid && break ;;
				esac
			done <<<"$status"
		done 2>/dev/null
		for pid in "${!uid[@]}"; do
			above=${uid[${parent[$pid]}]-none}
			if ((uid[$pid])); then
				[[ $above == 0 ]] && spawner+=" $pid" monitor+=" ${parent[$pid]}"
				[[ $above == 0 ]] || engine+=" $pid"
			elif [[ $above == none ]]; then
				top+=" $pid"
			fi
		done
		: "${monitor:=$top}"
		case $2 in
		monitor) found=$monitor ;;
		spawner) found=$spawner ;;
		engine) found=$engine ;;
		*) found=${!uid[*]} ;;
		esac
		[[ -n $found ]] && printf '%s\n' $found
	EOF
}

three() { # HOST server|client: PIDs of its monitor, spawner and engine; fails if one is missing.
	pids "$1" "$2" monitor && pids "$1" "$2" spawner && pids "$1" "$2" engine
}

not() { # CMD...: succeeds when it fails (bats does not see that `! cmd' failed).
	! "$@"
}

# Where the machine is busy it takes longer: so there is twice the time, and as many tries as usual.
wait_for() { # SECONDS CMD...: tries until it succeeds; else fails with what it printed last.
	local output fraction=${1#"${1%%.*}"} start=${EPOCHREALTIME/[.,]/} limit tries=0
	fraction=${fraction#.}000000
	limit=$((10#${1%%.*}${fraction::6}))
	until output=$("${@:2}" 2>&1); do
		if ((++tries > limit / 125000 && ${EPOCHREALTIME/[.,]/} - start > 2 * limit)); then
			fail_with "waited twice $1 s in vain for: ${*:2}" "$output"
			return 1
		fi
		sleep 0.05
	done
}

elapsed() { # CMD...: runs it; milliseconds taken in $MS, status passed on.
	local code=0 start=${EPOCHREALTIME/[.,]/} # `run' sets $status
	"$@" || code=$?
	# shellcheck disable=SC2034 # for the caller
	MS=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))
	return $code
}
