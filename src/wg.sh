#!/bin/sh
# shellcheck shell=dash
# SPDX-License-Identifier: MIT
# `wg dynamic ...' goes to the wg-dynamic beside this file, or else the one in PATH, and has its
# line in `wg help'; everything else goes to the wg of wireguard-tools, whose path the Makefile puts
# in for the placeholder.

wg="@WG@"

if [ "$1" = dynamic ]; then
	shift
	self="$(readlink -f "$0")"
	dynamic="${self%/*}/wg-dynamic"
	[ -x "$dynamic" ] || dynamic="wg-dynamic"
	exec "$dynamic" "$@"
fi
if [ "$wg" -ef "$0" ]; then
	echo "wg: $wg is this wrapper itself: build it with WG=<path of the real wg>" >&2
	exit 1
fi
if [ $# = 1 ]; then
	case "$1" in
	help | -h | --help)
		help="$("$wg" "$1")" || exit
		printf '%s\n' "$help" |
			sed '/^  syncconf:/a\  dynamic: Leases addresses to peers, or from a server'
		exit
		;;
	esac
fi
exec "$wg" "$@"
