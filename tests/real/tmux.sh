#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's tmux on a private socket: a session is driven through send-keys and read with capture-pane;
# 10 MB (another number: first argument, or TMUX_MEGABYTES) go through a pane into pipe-pane, and 1 MB
# is pasted into one, all compared; windows are resized; clients on ptys of their own attach, are
# typed at, and detach or are detached; kill-server leaves nothing behind.
#
# tmux is a peculiar program: its server is a fork that goes on with the event_base of its parent; it
# waits for ptys, which are no sockets; and on Linux it forbids epoll to itself, so that the methods
# here are io_uring and poll.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need tmux script mkfifo
megabytes=${1:-${TMUX_MEGABYTES:-10}}

user=$(id -un)
socket=$scratch/socket
mapfile -t on_library < <(library_env "$dropin")
# What runs in the panes is none of our programs.
plain=(env -u LD_LIBRARY_PATH -u LD_PRELOAD -u ASAN_OPTIONS)
export HOME=$scratch TERM=xterm LC_ALL=C.UTF-8 SHELL=/bin/sh
unset TMUX TMUX_PANE ENV
cd "$scratch"

tmux() { timeout 60 env "${on_library[@]}" "$(program tmux)" -S "$socket" -f /dev/null "$@"; }
method_is_right() { EVENT_NOEPOLL=1 assert_method "$1" "$user"; }

# ---- looking at a pane ----

shown() { tmux capture-pane -p -t work "$@"; }
shows() { shown | grep -qx -- "$1"; }
await() { wait_until 30 shows "$1" || fail "the pane does not show '$1' but: $(shown | grep .)"; }
type_in() { tmux send-keys -t work "$1" Enter; }

# ask COMMAND ANSWER: the shell in the pane answers with a line that it was not told.
ask()
{
	type_in "clear; $1"
	await "$2"
}

# sized ROWS COLUMNS: the pty comes to know; tmux takes a while, for it gathers changes of size.
sized()
{
	ask "until [ \"\$(stty size)\" = '$1 $2' ]; do sleep 0.05; done; echo \$(($1 * $2)) cells" \
		"$(($1 * $2)) cells"
}

fds() { find "/proc/$server_pid/fd" -mindepth 1 | wc -l; }
fds_at_most() { [ "$(fds)" -le "$1" ]; }
size_is() { [ "$(stat -c %s "$1" 2>/dev/null || echo 0)" -ge "$2" ]; }
clients() { tmux list-clients -t work -F '#{client_pid}'; }
clients_are() { [ "$(clients | wc -l)" -eq "$1" ]; }

# ---- a client on a pty ----

# attach NAME: its screen goes to NAME.screen; what is written to descriptor 5 is typed at it. script's
# pid is in client, and the tmux below it is the one in the list of clients.
attach()
{
	mkfifo "$scratch/$1.keys"
	# script(1) hands one string to a shell.
	env "${on_library[@]}" SHELL=/bin/sh \
		script -q -e -f -c "exec '$(program tmux)' -S '$socket' attach -t work" \
		"$scratch/$1.screen" <"$scratch/$1.keys" >/dev/null 2>&1 &
	client=$!
	children+=("$client")
	exec 5>"$scratch/$1.keys"
	wait_until 30 clients_are 1 || fail "$1: the client does not attach"
	method_is_right "$(clients)"
	wait_until 30 size_is "$scratch/$1.screen" 100 || fail "$1: the screen is not drawn"
}

# gone NAME STATUS: the client ends by itself.
gone()
{
	wait_until 30 stopped "$client" || fail "$1: the client stays"
	exec 5>&-
	local status=0
	wait "$client" || status=$?
	[ "$status" -eq "$2" ] || fail "$1: the client ended with status $status"
}

screen_has() { grep -aq -- "$2" "$scratch/$1.screen"; }

# ---- a session ----

tmux new-session -d -s work -x 100 -y 40 "${plain[@]}" PS1='ready> ' sh || fail "tmux does not start"
server_pid=$(tmux display-message -p -t work '#{pid}')
pane_pid=$(tmux display-message -p -t work '#{pane_pid}')
children+=("$server_pid")
running "$server_pid" || fail "the server's pid is '$server_pid'"
method_is_right "$server_pid"
await 'ready>'

say "send-keys and capture-pane"
# shellcheck disable=SC2016 # the dollars are for the shell in the pane
ask 'echo sum=$((6 * 7))' 'sum=42'
for ((i = 1; i <= 20; i++)); do
	ask "echo turn \$(($i * 1000 + 1))" "turn $((i * 1000 + 1))"
done
sized 40 100
fds_at_start=$(fds)

# ---- much output ----

# A line is 8 bytes, but the pty puts a carriage return before each newline.
lines=$((megabytes * 1024 * 1024 / 8))
say "$megabytes MB through a pane: $lines lines"
tmux set-option -t work history-limit 3000
tmux new-window -t work "${plain[@]}" PS1='ready> ' sh
await 'ready>'
tmux pipe-pane -t work "exec cat >'$scratch/piped'"
type_in "clear; echo; seq -w 1000001 $((1000000 + lines)); echo all was \$((1 + $lines))"
await "all was $((1 + lines))"
shown -S - | grep -x '[0-9]\{7,\}' | tail -n 2000 >"$scratch/history"
seq -w 1000001 $((1000000 + lines)) >"$scratch/wanted"
tail -n 2000 "$scratch/wanted" | cmp - "$scratch/history" || fail "the history is not the last lines"
piped_all() { grep -aq "^all was $((1 + lines))" "$scratch/piped"; }
wait_until 30 piped_all || fail "pipe-pane did not get the end"
tr -d '\r' <"$scratch/piped" | grep -ax '[0-9]\{7,\}' | cmp - "$scratch/wanted" ||
	fail "pipe-pane got something else than was written"
tmux pipe-pane -t work
rm "$scratch/piped"

# ---- much input ----

say "1 MB pasted into a pane"
head -c 786432 /dev/urandom | base64 -w 63 >"$scratch/paste"
bytes=$(stat -c %s "$scratch/paste")
type_in "clear; stty raw -echo; echo taking \$((1 + $bytes)); head -c $bytes >pasted; stty sane; \
echo; echo took \$((1 + $bytes))"
await "taking $((1 + bytes))"
tmux load-buffer "$scratch/paste"
tmux save-buffer "$scratch/saved"
cmp "$scratch/paste" "$scratch/saved" || fail "the buffer is not what was loaded"
tmux paste-buffer -r -t work
await "took $((1 + bytes))"
cmp "$scratch/paste" "$scratch/pasted" || fail "what was pasted came out differently"
type_in exit
windows_are() { [ "$(tmux list-windows -t work | wc -l)" -eq "$1" ]; }
wait_until 30 windows_are 1 || fail "the window stays"

# ---- resize ----

say "resize"
for size in '90 20' '200 50' '100 40'; do
	read -r columns rows <<<"$size"
	tmux resize-window -t work -x "$columns" -y "$rows"
	sized "$rows" "$columns"
done
tmux split-window -d -t work "${plain[@]}" sleep 1000
# The half above the border; the other one is below it.
sized 20 100
tmux kill-pane -t work.1
sized 40 100

# ---- attach and detach ----

wait_until 30 fds_at_most "$fds_at_start" || fail "$(fds) descriptors, $fds_at_start before"
say "attach, type, detach"
attach keys
# shellcheck disable=SC2016
printf 'clear; echo typed $((40 + 2))\r' >&5
await 'typed 42'
wait_until 30 screen_has keys 'typed 42' || fail "the client's screen does not show what was typed"
# shellcheck disable=SC2016
type_in 'clear; seq 1 200000; echo counted $((200000 + 1))'
await 'counted 200001'
wait_until 30 screen_has keys 'counted 200001' || fail "the client's screen lacks the end"
printf '\002d' >&5
gone keys 0
screen_has keys 'detached (from session work)' || fail "the client did not say that it detached"

attach command
# shellcheck disable=SC2016
ask 'echo again $((50 + 5))' 'again 55'
wait_until 30 screen_has command 'again 55' || fail "the second client's screen shows nothing"
tmux detach-client -s work
gone command 0
wait_until 30 fds_at_most "$fds_at_start" || fail "$(fds) descriptors, $fds_at_start before"

attach vanishing
kill -KILL "$(clients)"
wait_until 30 clients_are 0 || fail "a client that was killed stays in the list"
wait_until 30 stopped "$client" || fail "script outlived its client"
exec 5>&-
# shellcheck disable=SC2016
ask 'echo alone $((60 + 6))' 'alone 66'
wait_until 30 fds_at_most "$fds_at_start" || fail "$(fds) descriptors, $fds_at_start before"
assert_idle "$server_pid"

# ---- the end ----

say "kill-server"
attach last
tmux kill-server
gone last 1
screen_has last 'server exited' || fail "the client was not told that the server ended"
wait_until 30 stopped "$server_pid" || fail "the server stays"
wait_until 30 stopped "$pane_pid" || fail "the shell in the pane stays"
! tmux list-sessions >"$scratch/after.log" 2>&1 || fail "somebody still answers"
