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
	for file in src/*.[ch] src/dynamic.mk src/systemd/*.service src/systemd/*/*.conf man/*.[1-9] LICENSE \
		completion/wg-dynamic.bash-completion wg-quick-patches/*.patch; do
		[[ ! -f $file || $file == src/main.c ]] || echo "$file ${file#src/}"
	done
}

# The files that PATCH... change.
touched() {
	sed -n 's|^+++ b/||p' "$@" | sort -u
}

# Tries on the stage what PATCH has for FILE, exactly as it is; fails without a trace.
try() {
	awk -v "file=$2" '/^--- /{ here = $2 == "a/" file } here' "$1" |
		LC_ALL=C patch --force --fuzz=0 --no-backup-if-mismatch -r - -o "$work/result" "${@:3}" \
			"$work/tree/$2" >"$work/said" 2>&1 &&
		cat "$work/result" >"$work/tree/$2"
}

beside() { # NAME PLACE: writes what the stage has of that name.
	mkdir -p "${2%/*}" && rm -rf "$2" && cp -rp "$work/tree/$1" "$2"
}

misfit() { # PATCH FILE
	sed -n "s|^\(Hunk #[0-9]*\) FAILED at \([0-9]*\).*|$action: ${1##*/}: \1 does not fit $2 \
at line \2|p" "$work/said" >&2
	die "$tree is as it was: it has no place for ${1##*/}"
}

[[ $# == 2 && $action == @(graft|ungraft) ]] ||
	die "usage: ${0##*/} graft | ungraft WIREGUARD_TOOLS"
[[ -n $tree ]] || die "which tree? WIREGUARD_TOOLS=DIR names the source tree of wireguard-tools"
[[ -f $tree/src/wg.c ]] || die "$tree is no source tree of wireguard-tools: it has no src/wg.c"
cd "$root" && tree=$(cd "$OLDPWD" && readlink -f "$tree") && dynamic=$tree/src/dynamic || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tree/src"

# What an earlier run put there is known by its checksums. Changes that someone made are not lost,
# nor does a patch that has gone mean that the tree has not got it.
before=() after=() old=() units=()
if [[ -e $dynamic ]]; then
	[[ -f $dynamic/sha256sums ]] || die "$dynamic was not put there by graft: move it away"
	sums=$(cd "$dynamic" && LC_ALL=C sha256sum -c --quiet sha256sums 2>/dev/null)
	changed=$(sed -n 's/: FAILED$//p' <<<"$sums" | paste -sd ' ')
	gone=$(sed -n 's/^\(wg-quick-patches.*\): FAILED open.*/\1/p' <<<"$sums" | paste -sd ' ')
	[[ -z $changed ]] || die "changed in $dynamic: $changed; move what you changed away first"
	[[ -z $gone ]] || die "missing in $dynamic: $gone; put it back first"
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
	mkdir -p "$work/tree/${file%/*}" && cp -Lp "$tree/$file" "$work/tree/$file" || exit 1
done
# What goes in but does not come out is not there yet: an earlier run was killed.
for ((i = ${#before[@]} - 1; i >= 0; --i)); do
	for file in $(touched "${before[i]}"); do
		try "${before[i]}" "$file" -R && continue
		mv "$work/said" "$work/reverse"
		try "${before[i]}" "$file" && try "${before[i]}" "$file" -R && continue
		mv "$work/reverse" "$work/said"
		misfit "${before[i]}" "$file"
	done
done
for patch in "${after[@]}"; do
	for file in $(touched "$patch"); do
		try "$patch" "$file" || misfit "$patch" "$file"
	done
done

if [[ $action == graft ]]; then
	while read -r source name; do
		units+=("src/dynamic/$name")
		install -D -m 0644 "$source" "$work/tree/src/dynamic/$name" || exit 1
	done < <(ours)
	(cd "$work/tree" && sha256sum "${units[@]}" | sed 's|  src/dynamic/|  |') >"$work/sums" &&
		mv "$work/sums" "$work/tree/src/dynamic/sha256sums" || exit 1
	units+=(src/dynamic/sha256sums)
	[[ -e $dynamic ]] || units=(src/dynamic) # whole, so by one rename
fi

# All is written beside what it replaces first. Ours comes before what needs it.
trap '' INT TERM HUP
places=()
for unit in "${units[@]}" "${files[@]}"; do
	cmp -s "$work/tree/$unit" "$tree/$unit" && continue
	place=$(readlink -m "$tree/$unit")
	places+=("$place")
	beside "$unit" "$place.new" || {
		rm -rf "${places[@]/%/.new}"
		[[ ! -e $dynamic ]] || find "$dynamic" -type d -empty -delete
		die "cannot write $place; $tree is as it was"
	}
done
for place in "${places[@]}"; do
	mv -T "$place.new" "$place" || die "cannot write $place: run this again"
done

for name in "${old[@]}" ${before:+sha256sums}; do
	[[ $action == graft && -f $work/tree/src/dynamic/$name ]] && continue
	rm -f "$dynamic/$name" "$dynamic/${name%.c}".{o,d}
done
if [[ $action == graft ]]; then
	echo "grafted into $tree: build it with its own make"
	exit 0
fi
find "$dynamic" -depth -type d -empty -delete
[[ ! -e $dynamic ]] || echo "left in $dynamic, since graft did not put it there:" \
	"$(cd "$dynamic" && find . -type f -printf '%P ')"
echo "taken out of $tree"
