# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# leases.bash - what the tests of leases have in common: the server with its usual pools, and what
# client, server, journal and device say of a lease. Of the hosts that lib.bash's star makes.

# shellcheck source-path=SCRIPTDIR
load lib

POOLS=192.0.2.0/24,2001:db8::/64

serve() { # [ARGUMENT...]: starts the server, with short leases unless told.
	(($#)) || set -- pool "$POOLS" lease-time 4
	on srv wg dynamic server wg0 "$@"
}

# srv is a router in the pools' networks: 192.0.2.1 and 2001:db8::1.
up_server() { # [ARGUMENT...]: wg0 of srv up, and the server on it.
	on srv sed -i 's,^Address = fe80::/64$,&\, 192.0.2.1/24\, 2001:db8::1/64,' \
		/etc/wireguard/wg0.conf
	wgq srv up wg0
	serve "$@"
}

only_client() { # CLIENT [WAIT]: wg0 up without `auto', then the client alone; 2 s unless told.
	on "$1" sed -i 's/, auto$//' /etc/wireguard/wg0.conf
	wgq "$1" up wg0
	on "$1" wg dynamic client wg0 wait "${2-2}"
}

only_tunnel() { # CLIENT...: wg0 up without `auto': for requests by hand.
	local host
	for host; do
		on "$host" sed -i 's/, auto$//' /etc/wireguard/wg0.conf
		wgq "$host" up wg0
	done
}

# WireGuard itself takes 15 s to notice that the other side has forgotten the session.
new_session() { # CLIENT: makes its peer anew, so that it shakes hands again at once.
	on "$1" bash -c 'wg setconf wg0 <(wg-quick strip wg0)'
}

ask() { # HOST LINE...: a request of these lines, by hand; prints the answer.
	local host=$1 request='request_ip=1\n' line
	for line in "${@:2}"; do
		request+="$line\\n"
	done
	raw "$host" client --limit 5 "$request\\n"
}

v4() { # HOST: its leased IPv4 address; fails without.
	local found
	found=$(addrs "$1" wg0 | grep -v :) && echo "${found%/*}"
}

v6() { # HOST: likewise, IPv6.
	local found
	found=$(addrs "$1" wg0 | grep :) && echo "${found%/*}"
}

lifetime() { # HOST ADDRESS: seconds that it is valid for; fails when it is not there or for ever.
	on "$1" ip -o address show dev wg0 | sed -n "s,.* $2/.* valid_lft \([0-9]*\)sec .*,\1,p" |
		grep .
}

end_of() { # HOST ADDRESS: the second at which it ends; fails when it is not there or for ever.
	local left
	left=$(lifetime "$@") && echo $((EPOCHSECONDS + left))
}

renews() { # HOST ADDRESS: waits until that ends later than now, of a lease of 8 or 10 s.
	local end
	end=$(end_of "$@") && wait_for 12 at_least $((end + 2)) end_of "$@"
}

at_least() { # NUMBER CMD...: whether that prints a number so large.
	local number
	number=$("${@:2}") && ((number >= $1))
}

lease_of() { # HOST: the addresses that the server says it holds, one a line; fails without.
	local line
	line=$(on srv wg dynamic show wg0 dump | grep -F $'\tlease\t'"${PUB[$1]}"$'\t') || return 1
	line=${line#*"${PUB[$1]}"$'\t'}
	line=${line%$'\t'*}
	printf '%s\n' "${line//,/$'\n'}"
}

allowed_leased() { # HOST: its allowed-ips on the server but for link-locals, sorted.
	allowed srv wg0 "${PUB[$1]}" | grep -v ^fe80: | sort
}

recorded() { # HOST: what the journal's last record of its key holds, one a line, sorted.
	on srv bash -s -- "${PUB[$1]}" <<-'EOF' | sort
		while read -r word key ips; do
			[[ "$word $key" == "lease $1" ]] && last=$ips
		done </var/lib/wg-dynamic/wg0.leases
		read -r four six _ <<<"$last"
		for ip in $four $six; do
			ip=${ip%,reserved}
			case $ip in
			- | *,past) ;;
			*:*) echo "$ip/128" ;;
			*) echo "$ip/32" ;;
			esac
		done
	EOF
}

# The lease of a host, as everybody tells it: an IPv4 and an IPv6 host prefix with a lifetime.
bound() { # HOST [IPv4 IPv6]: whether it has (these) leased addresses, and the server agrees.
	local four six both
	four=$(v4 "$1") && six=$(v6 "$1") || return 1
	both=$(printf '%s\n' "$four/32" "$six/128" | sort)
	lifetime "$1" "$four" >/dev/null && lifetime "$1" "$six" >/dev/null &&
		[[ $(addrs "$1" wg0 | sort) == "$both" ]] &&
		[[ $(allowed_leased "$1") == "$both" && $(lease_of "$1" | sort) == "$both" ]] &&
		[[ -z ${2-} || "$four $six" == "$2 $3" ]]
}

no_addrs() { # HOST: whether it has no address but its link-local; one without wg0 has none.
	[[ -z $(addrs "$1" wg0 2>/dev/null) ]]
}

# For each host: what the server says it holds, the device and the journal are the same; and nobody
# has what another has.
agree() { # HOST...
	local host held all=""
	for host; do
		held=$(lease_of "$host" | sort)
		[[ $(allowed_leased "$host") == "$held" ]] ||
			fail_with "$host holds $held, allowed: $(allowed_leased "$host")" || return 1
		[[ $(recorded "$host") == "$held" ]] ||
			fail_with "$host holds $held, recorded: $(recorded "$host")" || return 1
		all+=${held:+$held$'\n'}
	done
	[[ -z $(sort <<<"$all" | uniq -d) ]] || fail_with "doubled:" "$all"
}

logged() { # HOST TEXT [TIMES]: is it (so often) in its syslog?
	local count
	count=$(logs "$1" | grep -cF -- "$2") || true
	((count == ${3-(count ? count : -1)}))
}

logged_of() { # HOST TEXT: does the server's syslog have it in a line about this peer?
	logs srv | grep -F -- "peer ${PUB[$1]}" | grep -qF -- "$2"
}

lease_ended() { # HOST REASON ADDRESS...: does it say so of all of these?
	local ip
	for ip in "${@:3}"; do
		logs srv | grep -F -- "peer ${PUB[$1]}: lease of " | grep -F -- "$ip/" |
			grep -qF -- "ended: $2" || return 1
	done
}

# SIGKILL to all of its processes, and they are gone; the monitor first, which would else undo what
# it has set when it sees the others die.
kill_all() { # HOST client|server
	# shellcheck disable=SC2046 # several PIDs, the last of which may have ended with the first
	on "$1" kill -KILL $(pids "$1" "$2" monitor) $(pids "$1" "$2") || true
	wait_for 2 not pids "$1" "$2"
}

kill_half() { # HOST client|server monitor|spawner|engine: SIGKILL to that process, which is gone.
	local pid
	pid=$(pids "$1" "$2" "$3") || return
	on "$1" kill -KILL "$pid"
	wait_for 5 not on "$1" grep -q '^State:.[^Z]' "/proc/$pid/status"
}

watch_addresses() { # HOST: notes from now on whenever an address is taken off: see lost.
	spawn "$1" watch ip monitor address dev wg0
	wait_for 2 on "$1" grep -q " $SPID " /proc/net/netlink
}

lost() { # HOST: the addresses that were taken off since watch_addresses; fails when none was.
	out "$1" watch | grep ^Deleted
}

state() { # HOST: all that a tunnel may leave behind.
	on "$1" bash -s <<-'EOF'
		ip -o link | cut -d: -f2
		ip rule
		ip -6 rule
		ip route show table all dev wg0 2>/dev/null
		nft list ruleset
		find /run -type s
		cat /etc/wireguard/*
		ps -eo args= | grep -v -e '^ps ' -e '^bash -s' -e ^grep -e ^sort -e '^\[' |
			sort
	EOF
}
