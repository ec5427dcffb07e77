#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What the server's journal is for: leases outlive restarts, reboots, cut-off writes and a full
# disk, by no wall clock; and it does not grow without end.

JOURNAL=/var/lib/wg-dynamic/wg0.leases
REQUEST='request_ip=1\n\n'

setup_file() {
	load lib
	star "0.0.0.0/0, ::/0" c1 c2
	local host
	for host in srv c1 c2; do
		on "$host" sed -i 's/, auto$//' /etc/wireguard/wg0.conf
		wgq "$host" up wg0
	done
}

teardown_file() {
	hosts_del
}

# Nothing remembered, nothing leased.
setup() {
	load lib
	stop
	on srv mountpoint -q /var/lib/wg-dynamic || on srv mount -t tmpfs tmpfs /var/lib/wg-dynamic
	on srv mount -o remount,size=50% /var/lib/wg-dynamic
	on srv find /var/lib/wg-dynamic -type f -delete
	plain c1 c2
	: >"$NS/srv/log"
}

teardown() {
	[[ -n ${BATS_TEST_COMPLETED-} ]] && return
	on srv cat "$JOURNAL"
	tail -n 12 "$NS/srv/log"
}

plain() { # CLIENT...: has nothing but its link-local in the server's allowed-ips.
	local client
	for client; do
		on srv wg set wg0 peer "${PUB[$client]}" allowed-ips "${LL[$client]}/128"
	done
}

start() { # [WORD...]
	on srv wg-dynamic server wg0 pool "${@:-192.0.2.0/24,2001:db8::/64}"
}

stop() {
	on srv wg-dynamic stop wg0 2>/dev/null
	not pids srv server
}

asks() { # CLIENT [REQUEST]: the addresses that it is answered, as `A/32 X/128'.
	raw "$1" client "${2-$REQUEST}" | sed -n 's/^ip=//p' | xargs
}

gets() { # CLIENT: an address, of this family at least.
	[[ $(asks "$1") == 192.0.2.* ]]
}

has() { # CLIENT ADDRESSES: they all stand in its allowed-ips; with none, nothing but its link-local.
	local want
	want=$(tr ' ' '\n' <<<"${LL[$1]}/128${2:+ $2}" | sort)
	[[ $(allowed srv wg0 "${PUB[$1]}" | sort) == "$want" ]]
}

left() { # CLIENT: seconds that its lease still runs, as the server shows it.
	on srv wg-dynamic show wg0 dump | awk -v key="${PUB[$1]}" '$3 == key { print $5 }' | grep .
}

logged_times() { # TEXT N: so many lines of the server's log have that.
	[ "$(grep -cF "$1" "$NS/srv/log")" -eq "$2" ]
}

records() { # What stands in the journal, without the room behind that.
	on srv sed '/^ *$/d' "$JOURNAL"
}

# Appends the checksum (CRC-32C) to each line, or checks it.
sealed() { # seal|check <lines
	/usr/bin/python3 -c '
import sys
for line in sys.stdin.read().splitlines():
    if sys.argv[1] == "check":
        line, _, given = line.rpartition(" ")
    crc = 0xffffffff
    for byte in line.encode():
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82f63b78 * (crc & 1)
    crc = f"{crc ^ 0xffffffff:08x}"
    if sys.argv[1] == "check" and crc != given:
        sys.exit(f"{line}: {given} is not {crc}")
    print(line, crc)' "$1"
}

# The journal's lines changed by a sed script, which does not see the checksums.
journal_sed() { # SCRIPT
	records >"$BATS_TEST_TMPDIR/journal"
	sed 's/ [0-9a-f]*$//' "$BATS_TEST_TMPDIR/journal" | sed -E "$1" | sealed seal |
		on srv tee "$JOURNAL" >/dev/null
}

uptime_ms() {
	local seconds
	read -r seconds _ </proc/uptime
	echo $((10#${seconds/./} * 10))
}

@test "its form: header, start, lease and synced records, each with its checksum; for root alone" {
	start
	local ips
	ips=$(asks c1)
	asks c2 'request_ip=1\nip=0.0.0.0\n\n'
	raw c2 client 'release_ip=1\n\n'
	stop
	[ "$(on srv stat -c '%a %U' "$JOURNAL")" = "600 root" ]
	records >"$BATS_TEST_TMPDIR/journal"
	sealed check <"$BATS_TEST_TMPDIR/journal" >/dev/null
	# What is left when it is recorded: a busy machine may have taken some of it since it was granted.
	local ip4=${ips%%/*} ip6=${ips##* } boot left='(3600000|3599[0-9]{3})'
	boot=$(</proc/sys/kernel/random/boot_id)
	sed -n 1p "$BATS_TEST_TMPDIR/journal" | grep -Eqx 'wg-dynamic-leases 1 wg0 [0-9a-f]{32} [0-9a-f]{8}'
	grep -Eqx "start $boot [0-9]+ [0-9]+ [0-9a-f]{8}" "$BATS_TEST_TMPDIR/journal"
	grep -Eqx "lease ${PUB[c1]//+/\\+} $ip4 ${ip6%/*} [0-9]+ $left [0-9a-f]{8}" \
		"$BATS_TEST_TMPDIR/journal"
	grep -Eqx "lease ${PUB[c2]//+/\\+} 192[0-9.]* - [0-9]+ $left [0-9a-f]{8}" \
		"$BATS_TEST_TMPDIR/journal"
	grep -Eqx "lease ${PUB[c2]//+/\\+} 192[0-9.]*,past - [0-9]+ 0 [0-9a-f]{8}" \
		"$BATS_TEST_TMPDIR/journal"
	grep -Eqx "synced [0-9a-f]{8}" "$BATS_TEST_TMPDIR/journal"
}

@test "stopped by stop, SIGTERM, SIGINT: leases and allowed-ips stay as they are" {
	local signal ips dump
	start
	ips=$(asks c1)
	for signal in stop TERM INT; do
		has c1 "$ips"
		sum=$(on srv sha256sum "$JOURNAL")
		if [[ $signal == stop ]]; then
			stop
		else
			on srv kill -"$signal" "$(pids srv server monitor)"
			wait_for 3 not pids srv server
		fi
		[ "$(on srv sha256sum "$JOURNAL")" = "$sum" ]
		[ -z "$(on srv ls -A /run/wg-dynamic)" ]
		has c1 "$ips"
		start
		dump=$(on srv wg-dynamic show wg0 dump)
		[[ $dump == *"${PUB[c1]}"$'\t'"${ips/ /,}"$'\t'* ]]
		has c1 "$ips"
	done
	wait_for 2 grep -q "leases: 1, and peers whose last address is remembered: 0" "$NS/srv/log"
	[ "$(asks c1)" = "$ips" ]
}

@test "what was held last is known after a restart, too, and who holds what" {
	start
	local first second wish=192.0.2.78
	first=$(asks c1 'request_ip=1\nip=192.0.2.77\nip=2001:db8::77\n\n')
	second=$(asks c2)
	raw c1 client 'release_ip=1\n\n'
	stop
	start
	has c1 ""
	[ "$(asks c2)" = "$second" ]
	[[ $second != "$wish/"* ]] || wish=192.0.2.79 # its key is a new one each time
	[ "$(asks c2 "request_ip=1\nip=$wish\n\n")" = "$wish/32" ]
	[ "$(asks c1)" = "$first" ]
	has c1 "$first"
	[ "$(asks c1 "request_ip=1\nip=$wish\n\n")" = "" ] # errno 3
	has c2 "$wish/32"
}

@test "a restart does not lengthen a lease; ended meanwhile: taken out at the start" {
	start 192.0.2.0/24 lease-time 8
	local ips at
	ips=$(asks c1)
	asks c2 'request_ip=1\nleasetime=10\n\n' >/dev/null
	sleep 2
	stop
	start 192.0.2.0/24 lease-time 8
	at=$(left c1)
	((at <= 6))
	stop
	sleep "$((at + 1))"
	has c1 "$ips" # nobody there to end it
	start 192.0.2.0/24 lease-time 8
	wait_for 1.5 has c1 ""
	wait_for 2 grep -qF "peer ${PUB[c1]}: lease of $ips ended: expired" "$NS/srv/log"
	[ "$(asks c1)" = "$ips" ]
}

@test "a last line that was cut short is left out, once, and the rest is kept" {
	start
	local ips torn count wish=192.0.2.9
	ips=$(asks c1)
	[[ $ips != "$wish/"* ]] || wish=192.0.2.10 # its key is a new one each time
	for torn in l 'lease ' "lease ${PUB[c2]} $wish - 12" 'lease x\ngarbage\n\0\nmore'; do
		stop
		count=$(printf %b "$torn\n" | wc -l)
		records >"$BATS_TEST_TMPDIR/journal"
		printf %b "$torn" | cat "$BATS_TEST_TMPDIR/journal" - | on srv tee "$JOURNAL" >/dev/null
		: >"$NS/srv/log"
		run start
		[ "$status" -eq 0 ]
		grep -q "the journal ended in $count damaged lines, of a write that was cut short" <<<"$output"
		[[ $(left c1) -gt 3000 ]] && has c1 "$ips"
		[ "$(asks c1)" = "$ips" ]
		[ "$(asks c2 "request_ip=1\nip=$wish\n\n")" = "$wish/32" ]
		raw c2 client 'release_ip=1\n\n'
		stop
		records | sealed check >/dev/null
		: >"$NS/srv/log"
		start
		wait_for 2 grep -q " leases: [0-9]*, and " "$NS/srv/log"
		not grep -q damaged "$NS/srv/log"
	done
}

@test "without a journal, or with an empty one, it says that it begins anew; with another, no word" {
	run start
	[ "$status" -eq 0 ]
	grep -qx "wg-dynamic: wg0: no journal at $JOURNAL: begun anew, no lease is known" <<<"$output"
	stop
	run start
	[ "$status" -eq 0 ] && [[ $output != *anew* ]]
	stop
	on srv truncate -s 0 "$JOURNAL"
	run start
	[ "$status" -eq 0 ]
	grep -qx "wg-dynamic: wg0: $JOURNAL is empty: begun anew, no lease is known" <<<"$output"
	[[ $(asks c1) == 192.0.2.* ]]
	stop
	records | sealed check >/dev/null
	# What a start that failed has made is gone again.
	on srv rm "$JOURNAL"
	spawn srv taken /usr/bin/python3 -c 'import socket, time
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("::", 970))
s.listen()
print("listens", flush=True)
time.sleep(60)'
	wait_for 5 grep -q listens "$NS/srv/taken.out"
	run start
	[ "$status" -eq 1 ] && [[ $output == *"cannot listen on "* && $output != *"no journal"* ]]
	not on srv test -e "$JOURNAL"
	on srv kill "$SPID"
}

@test "one line of something else is no journal: refused, and left as it is" {
	local line sum
	for line in 'rubbish\n' 'rubbish' "lease ${PUB[c1]} 192.0.2.7 - 1 3600000\n" '\n'; do
		printf %b "$line" | on srv tee "$JOURNAL" >/dev/null
		sum=$(on srv sha256sum "$JOURNAL")
		run start
		[ "$status" -eq 1 ]
		grep -qx "wg-dynamic: wg0: line 1 of $JOURNAL is damaged, and so nothing was changed: restore the file, or move it away, which forgets all leases" <<<"$output"
		[ "$(on srv sha256sum "$JOURNAL")" = "$sum" ]
	done
	# But what is left of a header, when the power went, is begun anew.
	for line in 'wg-dynamic-leases 1 wg0 0001' '\0\0\0\0'; do
		printf %b "$line" | on srv tee "$JOURNAL" >/dev/null
		run start
		[ "$status" -eq 0 ]
		grep -q "the journal ended in 1 damaged lines" <<<"$output"
		[[ $(asks c1) == 192.0.2.* ]]
		stop
		records | sealed check >/dev/null
	done
}

@test "written anew when most of it is dead; nothing is lost by that" {
	start
	local ips other many inode wish=192.0.2.8
	ips=$(asks c1 'request_ip=1\nip=192.0.2.7\nip=2001:db8::7\n\n')
	other=$(asks c2)
	[[ $other != "$wish"* ]] || wish=192.0.2.9
	raw c2 client 'release_ip=1\n\n'
	inode=$(on srv stat -c %i "$JOURNAL")
	many=$(printf 'request_ip=1\\n\\n%.0s' {1..90}) # what goes into one packet
	for _ in {1..12}; do
		raw c1 client "$many" >/dev/null
	done
	wait_for 3 grep -q "the journal was written anew" "$NS/srv/log"
	[ "$(on srv stat -c %i "$JOURNAL")" != "$inode" ]
	(($(on srv stat -c %s "$JOURNAL") < 30000))
	[ "$(on srv ls /var/lib/wg-dynamic | xargs)" = "wg0.leases wg0.served" ]
	[ "$(on srv stat -c '%a %U' "$JOURNAL")" = "600 root" ]
	asks c1 "request_ip=1\nip=$wish\n\n" # into the new file
	stop
	records | sealed check >/dev/null
	start
	has c1 "$wish/32"
	[ "$(asks c2)" = "$other" ]
	# The new file is the one that is locked.
	on srv rm /run/wg-dynamic/wg0.server.sock
	run start
	[ "$status" -eq 1 ] && [[ $output == *"another server has $JOURNAL open"* ]]
	on srv kill "$(pids srv server monitor)"
	wait_for 3 not pids srv server
}

# As a unit of that user leaves its folders, or takes those of a server that runs.
@test "its folders are another user's, before or while it runs: written anew, its socket removed" {
	local folders=(/var/lib/wg-dynamic /run/wg-dynamic) many when monitor
	many=$(printf 'request_ip=1\\n\\n%.0s' {1..90})
	for when in before while; do
		if [[ $when == before ]]; then
			on srv mkdir -p "${folders[@]}"
			on srv chown -R 65534:65534 "${folders[@]}"
			on srv chmod 700 "${folders[@]}"
			start
		else
			start
			on srv chown -R 65534:0 "${folders[@]}"
		fi
		[ "$(on srv stat -c '%g %a' "${folders[@]}" | xargs)" = "0 770 0 775" ]
		monitor=$(pids srv server monitor)
		on srv grep -q "^CapEff:.0000000000001000$" "/proc/$monitor/status"
		for _ in {1..12}; do
			raw c1 client "$many" >/dev/null
		done
		wait_for 3 grep -q "the journal was written anew" "$NS/srv/log"
		stop
		[ -z "$(on srv ls -A /run/wg-dynamic)" ]
		: >"$NS/srv/log"
	done
}

@test "after a reboot a lease runs what was left when it was recorded, whatever the clocks" {
	start
	local ips other at end
	ips=$(asks c1)
	other=$(asks c2)
	stop
	# Another boot, whose clock was far ahead; c1's lease had 8 s left, and its addresses are gone
	# from the device as after a reboot. c2's stand in its configuration now.
	journal_sed "s/^(start )[-0-9a-f]+/\11b4e28ba-2fa1-11d2-883f-0016d3cca427/
		s/^(lease .*) [0-9]+ [0-9]+$/\1 4000000000000 8000/"
	plain c1
	start
	wait_for 1 has c1 "$ips"
	wait_for 2 grep -q "is leased to it but was in no allowed-ips: put back" "$NS/srv/log"
	end=$EPOCHSECONDS
	at=$(left c1)
	((at >= 4 && at <= 8))
	wait_for 10 has c1 ""
	((EPOCHSECONDS >= end + at - 1))
	has c2 "$other" # the administrator's, and so it stays
	[ "$(asks c1)" = "$ips" ]
	# And now the journal speaks of this boot.
	stop
	[ "$(on srv grep ^start "$JOURNAL" | tail -n 1 | cut -d' ' -f2)" = \
		"$(</proc/sys/kernel/random/boot_id)" ]
}

@test "in the same boot its times are those of the clock since boot" {
	start
	local ips other now at
	ips=$(asks c1)
	other=$(asks c2)
	stop
	now=$(uptime_ms)
	journal_sed "\\,^lease ${PUB[c1]//+/\\+},s/[0-9]+ [0-9]+$/$((now - 10000)) 18000/
		\\,^lease ${PUB[c2]//+/\\+},s/[0-9]+ [0-9]+$/$((now - 10000)) 9000/"
	start
	at=$(left c1)
	((at >= 3 && at <= 8))
	wait_for 1.5 has c2 "" # over by a second
	has c1 "$ips"
	wait_for 10 has c1 ""
	[ "$(asks c1)" = "$ips" ]
	[ "$(asks c2)" = "$other" ]
}

@test "a new device: what stands on it is the administrator's, who wins" {
	start
	local ips other
	ips=$(asks c1)
	other=$(asks c2)
	stop
	journal_sed 's/^(start .*) [0-9]+$/\1 77777/'
	plain c1 c2
	# c2 has got c1's address meanwhile.
	on srv wg set wg0 peer "${PUB[c2]}" allowed-ips "${LL[c2]}/128,${ips%% *}"
	start
	wait_for 2 grep -qF "peer ${PUB[c1]}: lease of ${ips%% *} ended: the administrator gave it to another peer" \
		"$NS/srv/log"
	wait_for 2 has c1 "${ips##* }"
	wait_for 2 has c2 "${ips%% *} $other"
}

fill_disk() {
	on srv mount -o remount,size=256k /var/lib/wg-dynamic
	not on srv dd if=/dev/zero of=/var/lib/wg-dynamic/filler bs=1k status=none 2>/dev/null
}

free_disk() {
	on srv rm /var/lib/wg-dynamic/filler
}

@test "a start with other pools: leases from those of before go on, but from none that never were" {
	start
	local ips served=/var/lib/wg-dynamic/wg0.served
	ips=$(asks c1)
	asks c2
	stop
	[ "$(on srv sort "$served" | xargs)" = "192.0.2.0/24 2001:db8::/64" ]
	[ "$(on srv stat -c '%U:%G %a' "$served")" = "root:root 600" ]
	# c2's address becomes one that no server has ever leased.
	journal_sed "\\,^lease ${PUB[c2]//+/\\+},s/ 192[^ ]* / 198.51.100.9 /"
	plain c1 c2
	start 10.9.0.0/24
	wait_for 2 has c1 "$ips"
	wait_for 2 grep -q "refused the engine's order to allow 198.51.100.9/32: Operation not permitted" "$NS/srv/log"
	not has_allowed srv wg0 "${PUB[c2]}" 198.51.100.9/32
	[ "$(on srv sort "$served" | xargs)" = "10.9.0.0/24 192.0.2.0/24 2001:db8::/64" ]
	# What can't be read says nothing.
	stop
	echo 192.0.2.0/33 | on srv tee "$served" >/dev/null
	plain c1
	start 10.9.0.0/24 |& grep -q "ignored: $served: no server has written this"
	wait_for 2 grep -q "refused the engine's order to allow ${ips%% *}: Operation not permitted" "$NS/srv/log"
	[ "$(on srv cat "$served")" = "10.9.0.0/24" ]
}

@test "the disk is full: errno 4 until there is room, nothing granted is lost, ends are ends" {
	start
	local ips many
	ips=$(asks c1 'request_ip=1\nip=192.0.2.2/32\nip=2001:db8::2/128\n\n')
	[ "$ips" = "192.0.2.2/32 2001:db8::2/128" ]
	fill_disk
	many=$(printf 'request_ip=1\\n\\n%.0s' {1..90})
	raw c1 client "$many" | tail -n 3 | grep -q '^errno=4$'
	# Where there is no room for a short record there is none for a long one.
	[ "$(asks c2 'request_ip=1\nip=192.0.2.222/32\nip=2001:db8::a111:b222:c333:d444/128\n\n')" = "" ]
	has c2 ""
	has c1 "$ips"
	wait_for 2 grep -q "cannot write the journal: No space left on device" "$NS/srv/log"
	raw c1 client 'release_ip=1\n\n' | grep -q '^errno=0$'
	has c1 ""
	free_disk
	# That end could not be recorded: so the journal is written anew.
	wait_for 10 on srv grep -q ' 192.0.2.2,past 2001:db8::2,past ' "$JOURNAL"
	[ "$(asks c1)" = "$ips" ]
	[[ $(asks c2) == 192.0.2.* ]]
	stop
	records | sealed check >/dev/null
	start
	has c1 "$ips"
	[ "$(asks c1)" = "$ips" ]
}

@test "the disk is full when most of the journal is dead: tried again, then written anew" {
	start
	local ips many
	ips=$(asks c1)
	many=$(printf 'request_ip=1\\n\\n%.0s' {1..90})
	for _ in {1..11}; do
		raw c1 client "$many" >/dev/null
	done
	fill_disk
	for _ in {1..3}; do
		raw c1 client "$many" >/dev/null
	done
	not grep -q "written anew" "$NS/srv/log"
	raw c2 client "$REQUEST" | grep -q '^errno=4$'
	free_disk
	wait_for 7 grep -q "the journal was written anew" "$NS/srv/log"
	[ "$(asks c1)" = "$ips" ]
	[[ $(asks c2) == 192.0.2.* ]]
	stop
	records | sealed check >/dev/null
	[ "$(on srv ls /var/lib/wg-dynamic | xargs)" = "wg0.leases wg0.served" ]
}

shown() { # what `show' says of the journal that can't be written: for people, in dump and json.
	on srv wg-dynamic show wg0 | sed -n 's/^  journal: //p'
	on srv wg-dynamic show wg0 dump | awk -F '\t' '$2 == "server" { print $NF }'
	on srv wg-dynamic show wg0 json |
		/usr/bin/python3 -c 'import json, sys; print(*json.load(sys.stdin)["wg0"]["server"].get("journalError", ()), sep="")'
}

@test "a start on a full disk says so at once, and show as long as it is so" {
	local full="cannot be written: No space left on device"
	fill_disk
	run start
	[ "$status" -eq 0 ]
	[[ $output == *"wg0: cannot write the journal: No space left on device: no lease is given"* ]]
	[ "$(shown)" = "$full"$'\n'"$full"$'\n'"$full" ]
	raw c1 client "$REQUEST" | grep -q '^errno=4$'
	sleep 6 # tried again meanwhile, and not said again
	[ "$(grep -c "cannot write the journal" "$NS/srv/log")" -eq 0 ]
	free_disk
	wait_for 8 gets c1
	[ "$(shown | xargs)" = "(none)" ]
	# With a journal that needs no record at the start, and has no room for one.
	while (($(records | wc -c) % 4096 < 3400)); do
		raw c1 client "$REQUEST" >/dev/null
	done
	stop
	fill_disk
	run start
	[ "$status" -eq 0 ]
	[[ $output == *"wg0: cannot write the journal: No space left on device: no lease is given"* ]]
	[ "$(shown)" = "$full"$'\n'"$full"$'\n'"$full" ]
	free_disk
	[[ $(asks c1) == 192.0.2.* ]]
	[ "$(shown | xargs)" = "(none)" ]
}

@test "a journal of more than 1 GiB, which no server of ours writes, holds nobody up and is no journal" {
	start
	local ips
	ips=$(asks c1)
	on srv truncate -s 2G "$JOURNAL"
	run on srv wg-dynamic reload wg0
	[ "$status" -eq 1 ]
	[[ $output == "wg-dynamic: wg0: "*"cannot read the journal: File too large"* ]]
	has c1 "$ips"
	[ "$(asks c1)" = "$ips" ]
	stop
	run start
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = "wg-dynamic: wg0: cannot read $JOURNAL, and so nothing was changed: File too large: mend the disk, or restore the file" ]
	on srv truncate -s 1M "$JOURNAL"
	on srv sed -i 's/\x00//g' "$JOURNAL"
	start
	[ "$(asks c1)" = "$ips" ]
}

@test "the journal is moved, removed or replaced while it serves: written anew, with every lease" {
	local how ips other dir=${JOURNAL%/*} n=0
	on srv cp /etc/passwd /run/passwd
	start
	ips=$(asks c1)
	for how in "rm $JOURNAL" "mv $JOURNAL $dir/away" "cp $JOURNAL $dir/other; mv $dir/other $JOURNAL" \
		"rm $JOURNAL; ln -s /etc/passwd $JOURNAL" "umount -l $dir; rm -d $dir"; do
		other=$(asks c2)
		on srv sh -c "$how"
		on srv wg-dynamic reload wg0 # or 30 seconds, or a request
		((++n))
		wait_for 5 logged_times "the journal was written anew" "$n"
		logged_times "$JOURNAL was moved, removed or replaced: it is written anew" "$n"
		on srv grep -qF "lease ${PUB[c1]} ${ips%%/*} " "$JOURNAL"
		on srv grep -qF "lease ${PUB[c2]} ${other%%/*} " "$JOURNAL"
		# And that is the one it goes on with.
		raw c2 client 'release_ip=1\n\n' | grep -q '^errno=0$'
		records | tail -n 1 | grep -qF "lease ${PUB[c2]} ${other%%/*},past "
	done
	on srv cmp /etc/passwd /run/passwd
	on srv wg-dynamic reload wg0
	wait_for 5 on srv test -s "$dir/wg0.served"
	stop
	: >"$NS/srv/log"
	start
	wait_for 2 grep -q "leases: 1, and peers whose last address is remembered: 1" "$NS/srv/log"
	[ "$(asks c1)" = "$ips" ]
}

@test "a journal that is gone and can't be written anew: no lease is given, until it can" {
	local ips
	start
	ips=$(asks c1)
	on srv rm "$JOURNAL"
	on srv mkdir -p "$JOURNAL/x"
	on srv wg-dynamic reload wg0
	wait_for 5 grep -q "cannot write the journal: Is a directory" "$NS/srv/log"
	[ "$(shown | sort -u)" = "cannot be written: Is a directory" ]
	on srv wg-dynamic reload wg0 # said once, however often it is seen
	raw c2 client "$REQUEST" | grep -q '^errno=4$'
	has c1 "$ips"
	on srv rm -r "$JOURNAL"
	wait_for 12 gets c2
	[ "$(asks c1)" = "$ips" ]
	logged_times "was moved, removed or replaced" 1
}
