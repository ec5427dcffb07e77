#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds the packages for `make deb' and `make rpm', from a copy of the tree that is the same for the
# same files, wherever the tree is.

set -e
umask 022

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

(($# == 3)) || die "usage: ${0##*/} deb|rpm FOLDER VERSION"
kind=$1 folder=$(realpath -m "$2") version=$3
root=$(readlink -f "$(dirname "$0")/../..")
packaging=$root/tests/packaging
name=wg-dynamic-$version

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset "${!MAKE@}" MFLAGS # of the make that runs this

# The date of the release is that of all that is built.
SOURCE_DATE_EPOCH=$(date -d "$(sed -n 's/^ -- .*>  //p' "$packaging/debian/changelog")" +%s)
export SOURCE_DATE_EPOCH

# The tree's files, null after each: those that git tracks, as they are now, so that nothing else that
# lies there gets in; without git all but what is built.
files() {
	local file
	cd "$root"
	if [[ -e .git ]] && type -P git >/dev/null; then
		# The tree may be another user's, when this is root.
		git -c safe.directory="$root" ls-files -z >"$work/tracked"
		while IFS= read -r -d '' file; do
			[[ ! -e $file && ! -L $file ]] || printf '%s\0' "$file"
		done <"$work/tracked"
	else
		find . -path ./.git -prune -o -path ./build -prune -o -path "./${folder#"$root/"}" -prune -o \
			! -type d -printf '%P\0'
	fi
}

(files) >"$work/files"
LC_ALL=C sort -z -o "$work/files" "$work/files"
tar -C "$root" --null --verbatim-files-from -T "$work/files" --transform "s,^,$name/,S" \
	--mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
	-cf "$work/$name.tar"

# What is called by `||' is not ended by a failure: so each step asks for the one before.
deb() {
	tar -C "$work" -xf "$work/$name.tar" &&
		cd "$work/$name" &&
		cp -r tests/packaging/debian . &&
		sed -i "/^#/d; s/@VERSION@/$version/" debian/changelog &&
		dpkg-buildpackage --no-sign &&
		cd "$work" &&
		mv ./*.deb ./*.dsc ./*.tar.?z ./*.buildinfo ./*.changes "$folder"
}

rpm() {
	# No other system than the RPM's own knows what is installed by the names in the spec.
	[[ -e /etc/redhat-release ]] || set -- --nodeps
	mkdir "$work/SOURCES" &&
		gzip -n <"$work/$name.tar" >"$work/SOURCES/$name.tar.gz" &&
		sed "s/@VERSION@/$version/" "$packaging/wg-dynamic.spec" >"$work/wg-dynamic.spec" &&
		rpmbuild -ba "$@" --define "_topdir $work" "$work/wg-dynamic.spec" &&
		mv "$work"/RPMS/*/*.rpm "$work"/SRPMS/*.rpm "$folder"
}

rm -rf "$folder"
mkdir -p "$folder"
"$kind" >"$folder/log" 2>&1 || { tail -n 30 "$folder/log" >&2 && die "failed: see $folder/log"; }
ls "$folder"/wg-dynamic*
