# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# root.bash - a clean Debian 12 to install packages in. debootstrap makes it once, and it is kept,
# packed, in the user's cache with what apt is to install later; a root of its own for each test is
# unpacked from that, and has no network.

TREE=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
BESIDE=iproute2,iputils-ping,nftables,procps,wireguard-go # what a lease is shown with
LATER=(patch wireguard-tools)

# in_root CMD...: runs it in $ROOT, the project's tree at /mnt, and ends all that it leaves running.
in_root() {
	local net=(--net)
	[[ -z ${ONLINE-} ]] || net=()
	# shellcheck disable=SC2016 # for the bash inside
	unshare --mount --pid --fork --kill-child "${net[@]}" bash -c '
		mount --bind "$0" "$0" && cd "$0" && mount -t proc proc proc && mount -t sysfs sysfs sys &&
			mount --rbind /dev dev && mount --bind "$1" mnt &&
			pivot_root . . && umount -l . && cd / &&
			exec env -i HOME=/ LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
				PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
				"${@:2}"' "$ROOT" "$TREE" "$@" 3>&- 4>&-
}

# root_pack FILE: makes the clean root.
root_pack() {
	local ROOT ONLINE=1
	ROOT=$(mktemp -d) && chmod 755 "$ROOT" || return
	debootstrap --variant=minbase --include="$BESIDE" bookworm "$ROOT" &&
		rm -f "$ROOT"/var/cache/apt/archives/*.deb &&
		in_root apt-get install -q -y --no-install-recommends --download-only "${LATER[@]}" &&
		tar -C "$ROOT" -cf "$1.tmp" . && mv "$1.tmp" "$1"
	local status=$?
	rm -rf "$ROOT"
	return $status
}

# root_new FOLDER: unpacks one there, as $ROOT.
root_new() {
	local file cache=${WG_DYNAMIC_CACHE:-${XDG_CACHE_HOME:-~/.cache}/wg-dynamic}/packaging
	file=$cache/bookworm-$(cksum <<<"$BESIDE ${LATER[*]}" | tr ' ' -).tar
	mkdir -p "$cache" "$1" || return
	(
		flock 9
		[[ -e $file ]] || root_pack "$file"
	) 9>"$cache/lock" || return
	ROOT=$1
	tar -C "$ROOT" -xf "$file"
}

# manifest: all that is in $ROOT, but for what adduser, apt and dpkg keep about themselves.
manifest() {
	local skip
	skip="/(run|tmp|var/cache|var/lib/apt|var/log)/|/var/lib/dpkg/(.*-old|available|lock.*|status)$"
	skip+="|/etc/(passwd|group|shadow|gshadow)-$|/etc/\.pwd\.lock$"
	(
		cd "$ROOT" &&
			find . -xdev -type d -printf '/%P %m %u:%g\n' -o -printf '/%P %y %m %u:%g %n links %l\n' &&
			find . -xdev -type f -exec md5sum {} + | sed 's,^\([^ ]*\)  \.\(.*\),\2 \1,'
	) | grep -vE "^(${skip//\$/ })" | sort
}
