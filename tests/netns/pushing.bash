# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A client c1 with AllowedIPs = fe80::/128, and a server srv whose answers are written by hand: for
# tests of what a client does with what is pushed.

# shellcheck source-path=SCRIPTDIR
load leases

pushing_add() {
	RAW=''
	two_hosts fe80::/128
	only_tunnel srv c1
	on srv wg set wg0 peer "${PUB[c1]}" \
		allowed-ips "${LL[c1]}/128,192.0.2.7/32,2001:db8::7/128"
}

no_server() {
	[[ -z $RAW ]] || on srv kill "$RAW" 2>/dev/null || true
	RAW=''
	wait_for 3 not listens srv 970
}

# To be renewed after a second unless told.
pushes() { # LINE...: from now on the server answers with a lease and these lines.
	local lines
	printf -v lines '%s\\n' "$@"
	no_server
	raw_server srv --limit 60 @read "ip=${IP4-192.0.2.7}/32\\nip=2001:db8::7/128\\n\
leasestart=%now%\\nleasetime=${LEASE-60}\\nrenew=${RENEW-1}\\n${1+$lines}errno=0\\n\\n" \
		@close @repeat
	RAW=$SPID
}
