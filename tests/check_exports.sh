#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The library's symbols beside the linker's map and beside stock's libevent_core. Fails when
#   - a public function of the headers that we serve is exported by stock and not by us;
#   - the map names what the library does not define, or the library exports what the map does not name;
#   - we export a name of libevent's that stock does not have;
#   - stock's libraries that are to work on top of us (libevent_extra, libevent_openssl, libevent_pthreads) need a name of
#     the core's that is not here;
#   - a data object that programs copy into themselves has another size than stock's, or the library itself would not
#     find that copy (it has to reach the object through its global offset table).
# Names that stock exports and we do not, outside those headers, are printed only: they are stock's own business.
set -eu
export LC_ALL=C

ours=$EVU_BUILDDIR/$EVU_OBJDIR/libevent_uring.so
map=$EVU_SRCDIR/compat/libevent_uring.map
served="event2/buffer.h event2/buffer_compat.h event2/bufferevent.h event2/bufferevent_compat.h \
event2/bufferevent_struct.h event2/event.h event2/event_compat.h event2/event_struct.h event2/listener.h \
event2/thread.h event2/util.h"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# complain WHAT FILE: each line of FILE is a finding.
complain()
{
	if [ -s "$2" ]; then
		sed "s/^/$1: /" "$2"
		failed=1
	fi
}

# The words that the served headers themselves hold, comments removed; what they include in turn is left out.
header_words()
{
	local header
	for header in $served; do
		echo "#include <$header>"
	done | $CC -D_GNU_SOURCE -x c -E - |
		awk -v served=" $served " '
			/^# [0-9]+ "/ { n = split($3, p, "/"); sub(/"$/, "", p[n]);
				inside = n > 1 && index(served, " " p[n - 1] "/" p[n] " "); next }
			inside' |
		grep -oE '[A-Za-z_][A-Za-z_0-9]*' | sort -u
}

stock_dir=$(pkg-config --variable=libdir libevent_core)
stock=$stock_dir/libevent_core-2.1.so.7
if [ ! -e "$stock" ]; then
	echo "skipped: no $stock to compare with"
	exit 77
fi

nm -D --defined-only "$stock" | awk '{ print $3 }' | sort -u >"$work/stock"
nm -D --defined-only "$ours" | awk '{ print $3 }' | sort -u >"$work/ours"
sed -n '/^global:/,/^local:/s/^\t\([A-Za-z_0-9]*\);.*/\1/p' "$map" | sort -u >"$work/map"
header_words >"$work/words"
comm -12 "$work/stock" "$work/words" >"$work/public"

grep -v '^event_uring_' "$work/ours" >"$work/ours.libevent" || true
comm -23 "$work/public" "$work/ours" >"$work/missing"
comm -23 "$work/map" "$work/ours" >"$work/undefined"
comm -13 "$work/map" "$work/ours.libevent" >"$work/unlisted"
comm -13 "$work/stock" "$work/ours.libevent" >"$work/foreign"
complain "public in stock, missing here" "$work/missing"
complain "in the map, not defined" "$work/undefined"
complain "exported, not in the map" "$work/unlisted"
complain "exported, not in stock" "$work/foreign"

for name in libevent_extra libevent_openssl libevent_pthreads; do
	file=$stock_dir/$name-2.1.so.7
	if [ ! -e "$file" ]; then
		echo "$name is not installed: what it needs was not looked at"
		continue
	fi
	nm -D --undefined-only "$file" | awk '{ print $2 }' | sort -u | comm -12 - "$work/stock" >"$work/needed"
	comm -23 "$work/needed" "$work/ours" >"$work/absent"
	complain "$name needs" "$work/absent"
	echo "$name needs $(wc -l <"$work/needed") names of the core's"
done

if [ "$(wc -l <"$work/public")" -lt 220 ]; then
	echo "only $(wc -l <"$work/public") public functions found in the headers: this test does not see them any more"
	failed=1
fi

nm -D -S --defined-only "$ours" | awk '{ print $4, $2 }' >"$work/sizes"
readelf -rW "$ours" | awk '/GLOB_DAT/ { print $5 }' >"$work/got"
while read -r object bytes; do
	hex=$(awk -v object="$object" '$1 == object { print $2 }' "$work/sizes")
	if [ -z "$hex" ] || [ "$((16#$hex))" != "$bytes" ]; then
		echo "$object has to be a data object of $bytes bytes and is ${hex:+one of }${hex:+$((16#$hex))}${hex:-not there}"
		failed=1
	elif ! grep -qx "$object" "$work/got"; then
		echo "$object is not reached through the global offset table: a copy of it in a program would go unseen"
		failed=1
	fi
done <<-END
	evthread_lock_fns_ 40
	evthread_cond_fns_ 40
	event_global_current_base_ 8
	event_debug_logging_mask_ 4
	evthread_lock_debugging_enabled_ 4
END

echo "stock exports $(wc -l <"$work/stock") names, this library $(wc -l <"$work/ours.libevent") of them;" \
	"public functions of the served headers: $(wc -l <"$work/public")"
echo "stock's names that are not here: $(comm -23 "$work/stock" "$work/ours" | tr '\n' ' ')"
exit $failed
