#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Puts the sources into a source tree of wireguard-tools, as src/dynamic/, and patches the tree for
# them; or takes all of it out again, to the last byte. What the tree becomes is made in a folder of
# its own first: where a patch does not fit, the tree is left as it was.

root=$(readlink -f "$(dirname "$0")/..")
action=$1 tree=$2
dynamic=$tree/src/dynamic

die() {
	printf '%s: %s\n' "$action" "$*" >&2
	exit 1
}

# SOURCE and name in src/dynamic/ of each file of ours; what the stand-alone program has for itself
# stays out.
ours() {
	local file
	for file in src/*.[ch] src/dynamic.mk src/systemd/*.service man/*.[1-9] LICENSE \
		completion/wg-dynamic.bash-completion wg-quick-patches/*.patch; do
		[[ ! -f $file || $file == src/main.c ]] || echo "$file ${file#src/}"
	done
}

# The files that PATCH... change.
touched() {
	sed -n 's|^+++ b/||p' "$@" | sort -u
}

# Applies PATCH to the stage, exactly; with -R, takes it out.
apply() {
	local said
	said=$(LC_ALL=C patch -d "$work/tree" -p1 --force --fuzz=0 --no-backup-if-mismatch -r - \
		"${@:2}" <"$1" 2>&1) && return
	printf '%s\n' "$said" | sed -n "/^patching/h; /FAILED/{s/\.\$//; G; s/^\(Hunk #[0-9]*\) \
FAILED at \([0-9]*\).*file \(.*\)/$action: ${1##*\/}: \1 does not fit \3 at line \2/p}" >&2
	die "$tree is as it was: it has no place for ${1##*/}"
}

# Writes those files of the stage that differ; each is whole at every moment.
store() {
	local file
	for file; do
		cmp -s "$work/tree/$file" "$tree/$file" ||
			{ cp -p "$work/tree/$file" "$tree/$file.new" &&
				mv "$tree/$file.new" "$tree/$file"; } || die "cannot write $tree/$file"
	done
}

[[ $# == 2 && $action == @(graft|ungraft) ]] ||
	die "usage: ${0##*/} graft | ungraft WIREGUARD_TOOLS"
[[ -n $tree ]] || die "which tree? WIREGUARD_TOOLS=DIR names the source tree of wireguard-tools"
[[ -f $tree/src/wg.c ]] || die "$tree is no source tree of wireguard-tools: it has no src/wg.c"
cd "$root" && tree=$(cd "$OLDPWD" && readlink -f "$tree") && dynamic=$tree/src/dynamic || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tree/src"

# What an earlier run put there is known by its checksums. Changes that someone made are not lost.
before=() after=() old=() new=()
if [[ -e $dynamic ]]; then
	[[ -f $dynamic/sha256sums ]] || die "$dynamic was not put there by graft: move it away"
	changed=$(cd "$dynamic" && LC_ALL=C sha256sum -c --quiet --ignore-missing sha256sums 2>&1 |
		sed -n 's/: FAILED$//p' | paste -sd ' ')
	[[ -z $changed ]] || die "changed in $dynamic: $changed; move what you changed away first"
	mapfile -t old < <(sed 's/^[^ ]*  //' "$dynamic/sha256sums")
	mapfile -t before < <(printf '%s\n' "$dynamic"/wg-quick-patches/*.patch)
elif [[ $action == ungraft ]]; then
	echo "nothing to take out of $tree"
	exit 0
fi
[[ $action == ungraft ]] || after=(wg-quick-patches/*.patch)

mapfile -t files < <(touched "${before[@]}" "${after[@]}")
for file in "${files[@]}"; do
	[[ -f $tree/$file ]] || die "$tree is as it was: it has no $file"
	mkdir -p "$work/tree/${file%/*}" && cp -p "$tree/$file" "$work/tree/$file" || exit 1
done
for ((i = ${#before[@]} - 1; i >= 0; --i)); do
	apply "${before[i]}" -R
done
for patch in "${after[@]}"; do
	apply "$patch"
done

trap '' INT TERM HUP # from here on it is done to the end
if [[ $action == graft ]]; then
	while read -r source name; do
		new+=("$name")
		install -D -m 0644 "$source" "$work/tree/src/dynamic/$name" || exit 1
	done < <(ours)
	(cd "$work/tree/src/dynamic" && sha256sum "${new[@]}" >sha256sums) || exit 1
	mkdir -p "$dynamic"/{man,completion,systemd,wg-quick-patches} || exit 1
	files+=("${new[@]/#/src/dynamic/}" src/dynamic/sha256sums)
fi
store "${files[@]}"
for name in "${old[@]}" ${before:+sha256sums}; do
	[[ $action == graft && -f $work/tree/src/dynamic/$name ]] && continue
	rm -f "$dynamic/$name" "$dynamic/${name%.c}".{o,d}
done
if [[ $action == ungraft ]]; then
	find "$dynamic" -depth -type d -empty -delete
	[[ ! -e $dynamic ]] || echo "left in $dynamic, since graft did not put it there:" \
		"$(cd "$dynamic" && find . -type f -printf '%P ')"
fi
