#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A day of 200 clients with leases of 10 s, of which each does what it likes, while the server and
# its halves are killed and links go down and up, by chance. LONG_DAY=1: five minutes of it; else
# one of half a minute. SEED=NUMBER: the same day again.

bats_require_minimum_version 1.5.0

CLIENTS=200

setup() {
	load many
}

teardown() {
	if [[ -z ${BATS_TEST_COMPLETED-} ]]; then
		cat "$NS/events"
		tail -n 20 "$NS/srv/log" >"$NS/tail"
		cp "$NS/tail" "$NS/srv/log"
	fi
	hosts_del
}

# Of the server's monitor and engine: how many descriptors, the fewest of one second, for one that
# is asked has a few more, and how much memory (KiB), without what is shared.
footprint() {
	on srv bash -s -- "$(pids srv server monitor)" "$(pids srv server engine)" <<-'EOF'
		for pid; do
			fewest=1000
			for _ in {1..20}; do
				fds=(/proc/"$pid"/fd/*)
				((fewest < ${#fds[@]})) || fewest=${#fds[@]}
				sleep 0.05
			done
			rss=$(sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status")
			echo "$fewest $rss"
		done
	EOF
}

lease_time() { # SECONDS
	printf '[Server]\nPool = 10.9.0.0/24\nLeaseTime = %s\n' "$1" |
		on srv tee /etc/wireguard/server.conf >/dev/null
}

begin() {
	on srv wg dynamic server wg0 config /etc/wireguard/server.conf
}

event() { # one of what may happen, and what never comes from it.
	local what=$1
	echo "# $(date +%T) $what" >>"$NS/events"
	case $what in
	engine) kill_half srv server engine 2>/dev/null || true ;; # it may not be back yet
	monitor | spawner)
		kill_half srv server "$what"
		wait_for 10 not pids srv server
		begin
		;;
	all)
		kill_all srv server
		begin
		;;
	stop)
		on srv wg dynamic stop wg0
		sleep $((RANDOM % 3))
		begin
		;;
	srv | c1)
		on "$what" ip link set wg0 down
		sleep 0.$((RANDOM % 10))
		many_up "$what" "$CLIENTS"
		;;
	reload) on srv wg dynamic reload wg0 ;;
	esac
}

# Descriptors are those of before; memory may differ by what allocators keep.
same_footprint() { # BEFORE
	local now fds rss fds_now rss_now
	now=$(footprint)
	echo "# descriptors and KiB, before and now: ${1//$'\n'/, } / ${now//$'\n'/, }" >&3
	while read -r fds rss fds_now rss_now; do
		((fds_now == fds && rss_now <= rss * 5 / 4 + 1024)) || return 1
	done < <(paste -d' ' <(echo "$1") <(echo "$now"))
}

@test "a day of 200 clients, of kills and of links that flap: no lease is lost, none doubled" {
	local seconds=$((${LONG_DAY:-0} ? 300 : 30)) end before what
	local often=(engine engine stop srv c1 reload) rare=(monitor spawner all)
	SEED=${SEED:-$((SRANDOM % 32768))}
	echo "# SEED=$SEED" >&3
	RANDOM=$SEED
	many_hosts "$CLIENTS"
	many_device "$CLIENTS"
	lease_time 10
	begin
	spawn c1 day /usr/bin/python3 "$NETNS/day.py" clients "$CLIENTS" "$SEED"
	local clients=$SPID
	sleep 3
	before=$(footprint)
	end=$((SECONDS + seconds))
	while ((SECONDS < end)); do
		on c1 test -e "/proc/$clients"
		# The last monitor sees a third of the day, and a few engines die under it.
		if ((SECONDS < end - seconds / 3 && RANDOM % 3 == 0)); then
			what=${rare[RANDOM % ${#rare[@]}]}
		else
			what=${often[RANDOM % ${#often[@]}]}
		fi
		event "$what"
		sleep $((RANDOM % 3)).$((RANDOM % 10))
	done
	event engine
	wait_for 70 pids srv server engine
	wait_for 5 on srv wg dynamic show wg0
	# Leases that do not end while they are looked at.
	lease_time 600
	on srv wg dynamic reload wg0
	sleep 7
	on c1 kill "$clients"
	wait_for 5 not on c1 test -e "/proc/$clients"
	out c1 day | grep '^# granted' >&3
	out c1 day | grep -v '^#' >"$NS/held"
	(($(wc -l <"$NS/held") > CLIENTS / 2))
	wait_for 20 on srv /usr/bin/python3 "$NETNS/day.py" audit "$NS/held"
	same_footprint "$before"
}
