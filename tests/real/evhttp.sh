#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A server of our own (tests/real/httpd.c) on Debian's libevent_extra and libevent_openssl: evhttp
# over plain sockets, over TLS that has the socket, and over TLS as a filter; and files sent by
# a bufferevent alone. curl fetches files of 0 bytes to 16 MB and posts 8 MB; clients of our own
# (tests/real/httpclient.py) keep 64 connections busy, pipeline, dribble, read slowly and vanish.
# Everything that arrives is compared; afterwards nothing of them is left in the server.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need curl openssl python3 pkg-config "${CC:-cc}"

user=$(id -un)
files=$scratch/files
httpd=$scratch/httpd

# ---- what is served, and by whom ----

for library in libevent_core libevent_extra libevent_openssl openssl; do
	pkg-config --exists "$library" || skip "$library is not here to be compiled with"
done
read -ra libraries < <(pkg-config --libs libevent_openssl libevent_extra libevent_core openssl)
"${CC:-cc}" -O2 -std=gnu11 -D_GNU_SOURCE= -o "$httpd" "$real_dir/httpd.c" "${libraries[@]}" ||
	fail "httpd.c does not compile"

mkdir "$files"
for size in 0 1 4095 4096 4097 65536 1048577 16777216; do
	head -c "$size" /dev/urandom >"$files/$size"
done
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1 \
	-keyout "$scratch/key.pem" -out "$scratch/cert.pem" 2>"$scratch/openssl.log" ||
	fail "openssl does not make a certificate"

start "$dropin" "$scratch/httpd.log" "$httpd" "$files" "$scratch/cert.pem" "$scratch/key.pem"
ready_or_ended() { grep -qs '^ready' "$scratch/httpd.log" || ! running "$server_pid"; }
wait_until 20 ready_or_ended || fail "httpd does not get ready"
running "$server_pid" || fail "httpd does not start"
assert_method "$server_pid" "$user"
ready=$(grep '^ready' "$scratch/httpd.log")
declare -A port=() url=()
for kind in plain tls filter raw; do
	port[$kind]=$(field "$kind" "$ready")
	url[$kind]=http://127.0.0.1:${port[$kind]}
done
url[tls]=https${url[tls]#http}
url[filter]=https${url[filter]#http}

fds() { find "/proc/$server_pid/fd" -mindepth 1 | wc -l; }
fds_at_most() { [ "$(fds)" -le "$1" ]; }
fds_before=$(fds)
all_left() { wait_until 30 fds_at_most "$fds_before" || fail "$1: $(fds) descriptors, $fds_before before"; }

# ---- curl ----

ask() { curl -q -sS --fail --max-time 60 --noproxy '*' --cacert "$scratch/cert.pem" "$@"; }

# All files on one connection, where the server keeps it.
fetch_all()
{
	local kind=$1 file
	local -a transfers=()
	for file in "$files"/*; do
		transfers+=(-o "$scratch/got.${file##*/}" "${url[$kind]}/file/${file##*/}")
	done
	[ "$kind" != raw ] || transfers+=(--http1.0)
	ask -w '%{num_connects}\n' "${transfers[@]}" >"$scratch/connects" || fail "$kind: curl, status $?"
	for file in "$files"/*; do
		cmp "$file" "$scratch/got.${file##*/}" || fail "$kind: ${file##*/} is not what was served"
		rm "$scratch/got.${file##*/}"
	done
	[ "$kind" = raw ] || [ "$(grep -c 1 "$scratch/connects")" = 1 ] ||
		fail "$kind: the connection was not kept"
}

# With and without "Expect: 100-continue", with a length and in chunks.
post()
{
	local kind=$1 body=$scratch/body want header
	want="$(sha256sum "$body" | cut -d ' ' -f 1) $(stat -c %s "$body")"
	for header in X-Nothing:1 Expect: 'Transfer-Encoding: chunked'; do
		[ "$(ask -H "$header" --data-binary "@$body" "${url[$kind]}/sum")" = "$want" ] ||
			fail "$kind: the server got another body ($header)"
	done
}

head -c 8388608 /dev/urandom >"$scratch/body"
for kind in plain tls filter raw; do
	say "$kind: files"
	fetch_all "$kind"
	[ "$(ask -o /dev/null -w '%{http_code}' "${url[$kind]}/file/none" 2>/dev/null)" = 404 ] ||
		fail "$kind: no 404 for what is not there"
	[ "$kind" = raw ] || post "$kind"
done
all_left curl

# ---- our own clients ----

# client MODE KIND
client()
{
	local -a tls=()
	[ "$2" = plain ] || tls=("$scratch/cert.pem")
	[ "$2" != filter ] || tls+=(keep)
	if ! timeout 200 python3 "$real_dir/httpclient.py" "$1" "${port[$2]}" "$files" \
		${tls[@]+"${tls[@]}"} >"$scratch/$1.out" 2>"$scratch/$1.log"; then
		running "$server_pid" || fail "$2: $1: the server ended"
		fail "$2: $1"
	fi
	say "$2: $1: $(cat "$scratch/$1.out")"
	all_left "$2: $1"
}

for kind in plain tls filter; do
	for mode in load pipeline pieces slow vanish chunks; do
		client "$mode" "$kind"
	done
done
fetch_all plain
assert_idle "$server_pid"
assert_method "$server_pid" "$user"

# ---- the end ----

say "SIGTERM with requests on their way"
ask --limit-rate 1M -o /dev/null "${url[plain]}/file/16777216" 2>"$scratch/last.log" &
last=$!
children+=("$last")
has_client() { [ "$(fds)" -gt "$fds_before" ]; }
wait_until 20 has_client || fail "the last client does not come"
stop "$server_pid" TERM 20 || fail "httpd does not end on SIGTERM"
[ "$stop_status" -eq 0 ] || fail "httpd ended with status $stop_status"
wait_until 70 stopped "$last" || fail "the last client outlived the server"
