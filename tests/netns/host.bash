#!/bin/bash
# SPDX-License-Identifier: MIT
# PID 1 of a test host (lib.bash starts it): makes the host's folders its own, reports ready, then
# reaps, until one of the processes that it is there for has gone. When it ends or is killed, the
# kernel ends everything in the host.

set -e
dir=$1
shift

# Nothing of the caller's stays open: a pipe held here would keep its reader waiting.
for fd in /proc/self/fd/*; do
	fd=${fd##*/}
	((fd < 3 || fd == 255)) || eval "exec $fd>&-"
done

# The outer /proc is still in place, so this is the PID by which others can enter; and folders of
# it that are open can be read when it is out of sight.
read -r pid _ </proc/self/stat
masters=()
for master; do
	exec {fd}<"/proc/$master"
	masters+=("$fd")
done
mount -t proc proc /proc
mount -t sysfs sysfs /sys
ip link set lo up

own=$dir/own
mount -t tmpfs -o mode=755 tmpfs "$own"
mkdir -p "$own"/{etc,lib,work-etc,work-lib,dev/net,dev/pts,dev/shm}

# Overlays, where there are any, so that DNS settings and state never reach the machine's own.
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$own/etc,workdir=$own/work-etc" /etc \
	2>/dev/null || true
mount -t overlay overlay -o "lowerdir=/var/lib,upperdir=$own/lib,workdir=$own/work-lib" /var/lib \
	2>/dev/null || true
mkdir -p /etc/wireguard /var/lib/wg-dynamic
mount -t tmpfs -o mode=700 tmpfs /etc/wireguard
mount -t tmpfs -o mode=700 tmpfs /var/lib/wg-dynamic
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -m 700 /run/wireguard

# A /dev of its own, for the sake of /dev/log.
for node in null zero full random urandom tty net/tun; do
	[[ -e /dev/$node ]] || continue
	: >"$own/dev/$node"
	mount --bind "/dev/$node" "$own/dev/$node"
done
[[ ! -d /dev/pts ]] || mount --bind /dev/pts "$own/dev/pts"
chmod 1777 "$own/dev/shm"
ln -s pts/ptmx "$own/dev/ptmx"
ln -s /proc/self/fd "$own/dev/fd"
ln -s fd/0 "$own/dev/stdin"
ln -s fd/1 "$own/dev/stdout"
ln -s fd/2 "$own/dev/stderr"
mount --rbind "$own/dev" /dev

: >"$dir/log"
if type -p perl >/dev/null; then
	perl -MSocket -e '
		socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die "socket: $!";
		bind($s, sockaddr_un("/dev/log")) or die "/dev/log: $!";
		open(my $log, ">>", $ARGV[0]) or die "$ARGV[0]: $!";
		while (defined recv($s, my $line, 65536, 0)) {
			$line =~ s/[\n\0]*\z/\n/;
			syswrite $log, $line;
		}' "$dir/log" &
elif type -p busybox >/dev/null; then
	busybox syslogd -n -O "$dir/log" &
else
	echo "host.bash: perl or busybox is needed for the host's /dev/log" >&2
	exit 1
fi
logger=$!
until [[ -S /dev/log ]]; do
	kill -0 "$logger" # ends this script if it has died
	sleep 0.01
done
chmod 666 /dev/log

echo "$pid" >"$dir/pid"
echo "$pid" >"$dir/ready"

# A process that has ended has no command line, even while nobody has waited for it.
while :; do
	for fd in "${masters[@]}"; do
		read -r -d '' _ <"/proc/self/fd/$fd/cmdline" || exit 0
	done 2>/dev/null
	read -r -t 0.25 -u "$never" _ || true
done {never}<> <(:) &

# Whichever of the two ends first; meanwhile this reaps at once whatever ends in the host.
wait -n
