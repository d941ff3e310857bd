#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Who includes whom. Run in the source directory, or with EVU_SRCDIR naming it.
#
#   - src/ knows nothing of libevent; compat/ knows nothing of src/ but engine.h.
#   - Within src/ each file has a rank and includes only files of a lower one, or its own header: so there are no circles.
#   - liburing.h and uapi.h are included by features.c and ring_uring.c only (and by each other).
set -eu
cd "${EVU_SRCDIR:-$(dirname "$0")/..}"

failed=0
complain()
{
	echo "check_includes: $*" >&2
	failed=1
}

# The names that a file includes, as they stand between the quotes or brackets.
included()
{
	sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]\([^">]*\)[">].*/\1/p' "$1"
}

# Lowest first. Files of one line know nothing of each other.
order="list.h heap.h mem.h uapi.h wake.h words.h
bufring.h features.h op.h
ring.h
engine.h
poll.h
request.h"

rank_of()
{
	local n=0 line
	while read -r line; do
		n=$((n + 1))
		case " $line " in *" $1 "*)
			echo "$n"
			return
			;;
		esac
	done <<<"$order"
	echo 0
}

check_source()
{
	local file=$1 name own rank own_rank
	own=$(basename "$file")
	own_rank=$(rank_of "$own")
	case $own in
	*.h) [ "$own_rank" -gt 0 ] || complain "$file has no rank in this test's order" ;;
	esac
	while read -r name; do
		[ -n "$name" ] || continue
		case $name in
		event.h | evutil.h | evdns.h | event2/*) complain "$file includes libevent's $name" ;;
		../*) complain "$file includes $name" ;;
		esac
		case $name:$own in
		liburing.h:uapi.h | liburing.h:features.c | liburing.h:ring_uring.c) ;;
		uapi.h:features.c | uapi.h:ring_uring.c) ;;
		liburing.h:* | liburing/*:* | linux/io_uring.h:* | uapi.h:*) complain "$file includes $name" ;;
		esac
		if [ -f "src/$name" ] && [ "${own%.h}" != "$own" ] && quoted "$file" "$name"; then
			rank=$(rank_of "$name")
			[ "$rank" -lt "$own_rank" ] || complain "$file includes $name, which does not stand below it"
		fi
	done < <(included "$file")
}

# <poll.h> is the system's, "poll.h" ours.
quoted()
{
	grep -q "^[[:space:]]*#[[:space:]]*include[[:space:]]*\"$2\"" "$1"
}

# What the machines may know of each other: no source of a lower room includes a header of a higher one.
check_room()
{
	local file=$1 highest=$2 name
	for name in $(included "$file"); do
		if [ -f "src/$name" ] && quoted "$file" "$name" && [ "$(rank_of "$name")" -gt "$(rank_of "$highest")" ]; then
			complain "$file includes $name, which stands above $highest"
		fi
	done
}

check_compat()
{
	local file=$1 name
	for name in $(included "$file"); do
		quoted "$file" "$name" || continue
		case $name in
		*src/*) complain "$file includes $name" ;;
		engine.h) ;;
		*) [ -f "compat/$name" ] || [ ! -f "src/$name" ] || complain "$file includes src's $name; only engine.h is for it" ;;
		esac
	done
}

for file in src/*.[ch]; do
	check_source "$file"
done
for file in compat/*.[ch]; do
	check_compat "$file"
done
check_room src/op.c op.h
check_room src/wake.c wake.h
check_room src/bufring.c poll.h
check_room src/features.c features.h
check_room src/ring.c ring.h
check_room src/ring_uring.c ring.h
check_room src/ring_readiness.c ring.h
exit "$failed"
