#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The three ways onto the library, each tried with the same small program: library path, preload, relink. That it is
# really this library that answers is read from the loader's own account of what it bound. And a program that needs
# what this library does not have must be told so by the loader, when it starts, with the name of the symbol.
set -eu

if [ "${EVU_SANITIZED-}" = yes ]; then
	echo "skipped: a sanitizer wants to be the first library in the process"
	exit 77
fi
unset LD_LIBRARY_PATH LD_PRELOAD
library=$EVU_BUILDDIR/$EVU_OBJDIR/libevent_uring.so.0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# The file that event_base_new was bound to, when COMMAND... was run.
bound_to()
{
	local library
	library=$(env LD_BIND_NOW=1 LD_DEBUG=bindings "$@" 2>&1 >/dev/null |
		sed -n "s/.* to \([^ ]*\) \[0\]: normal symbol .event_base_new'.*/\1/p" | sort -u)
	realpath "${library:-/nothing}" 2>/dev/null || true
}

# face NAME COMMAND...
face()
{
	local name=$1
	local found
	shift
	found=$(bound_to "$@")
	if [ "$found" = "$(realpath "$library")" ] && env "$@" >"$work/out"; then
		echo "$name: $(cat "$work/out")"
	else
		echo "$name: FAILED, event_base_new comes from ${found:-nowhere}"
		failed=1
	fi
}

# compile PROGRAM SOURCE FLAG...
compile()
{
	# shellcheck disable=SC2086 # the compiler may come with flags
	$CC -o "$1" "$2" "${@:3}"
}

face "library path" LD_LIBRARY_PATH="$EVU_BUILDDIR/dropin" "$EVU_BUILDDIR/examples/which_loop" method
face "preload" LD_PRELOAD="$library" "$EVU_BUILDDIR/examples/which_loop" method

flags=$(PKG_CONFIG_PATH=$EVU_BUILDDIR pkg-config --define-variable=libdir="$EVU_BUILDDIR/$EVU_OBJDIR" --cflags \
	--libs libevent_uring)
# shellcheck disable=SC2086 # a list of flags
compile "$work/relinked" "$EVU_SRCDIR/examples/which_loop.c" $flags
face "relink" LD_LIBRARY_PATH="$EVU_BUILDDIR/$EVU_OBJDIR" "$work/relinked" method
if readelf -d "$work/relinked" | grep -q 'NEEDED.*libevent_core'; then
	echo "relink: FAILED, it still needs stock's libevent_core"
	failed=1
fi

# A program for libevent in one piece: its HTTP is stock's, on this library's core.
cat >"$work/whole.c" <<-'END'
	#include <event2/event.h>
	#include <event2/http.h>
	#include <stdio.h>

	int main(void)
	{
		struct event_base *base = event_base_new();
		struct evhttp *http = base ? evhttp_new(base) : NULL;

		if (!http || !evhttp_bind_socket_with_handle(http, "127.0.0.1", 0))
			return 1;
		event_base_loop(base, EVLOOP_NONBLOCK);
		puts(event_base_get_method(base));
		evhttp_free(http);
		event_base_free(base);
		return 0;
	}
END
# shellcheck disable=SC2046 # a list of flags
compile "$work/whole" "$work/whole.c" $(pkg-config --cflags --libs libevent)
face "libevent in one piece" LD_LIBRARY_PATH="$EVU_BUILDDIR/dropin" "$work/whole"
if LD_LIBRARY_PATH=$EVU_BUILDDIR/dropin ldd "$work/whole" | grep libevent | grep -v "libevent_extra.* => /\| => $EVU_BUILDDIR/"; then
	echo "libevent in one piece: FAILED, that is not from here"
	failed=1
fi

# This library has no select(2), and stock's is no more than its own business; but the name is there to be asked for.
cat >"$work/missing.c" <<-'END'
	#include <stdio.h>

	extern const char selectops[];

	int main(void)
	{
		puts("main was reached");
		return selectops[0];
	}
END
# shellcheck disable=SC2046 # a list of flags
compile "$work/missing" "$work/missing.c" -fPIE $(pkg-config --cflags --libs libevent_core)
status=0
LD_LIBRARY_PATH=$EVU_BUILDDIR/dropin "$work/missing" >"$work/out" 2>&1 || status=$?
if [ $status = 127 ] && grep -q 'undefined symbol: selectops' "$work/out" && ! grep -q reached "$work/out"; then
	echo "missing symbol: $(sed "s|$work/||g" "$work/out")"
else
	echo "missing symbol: FAILED, a program that needs what is not here ended with status $status and:"
	cat "$work/out"
	failed=1
fi
exit $failed
