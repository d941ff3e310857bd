#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Row 7, second half: Debian's pgbouncer, unmodified, in transaction mode, between 64 clients of
# pgbench and a private PostgreSQL cluster. The transaction is "select 1", so that PostgreSQL has as little to do as
# possible; it and pgbench share the client's CPU. Prints name and value as the programs do.
#
#   EVENT_URING_DROPIN=[DIR] pgbouncer.sh BIN_DIR SERVER_CPU CLIENT_CPU TRANSACTIONS_A_CLIENT

# shellcheck source-path=SCRIPTDIR source=../real/lib.sh
. "$(dirname "$0")/../real/lib.sh"
set -o pipefail
need pgbouncer pgbench taskset
bin=$1
server_cpu=$2
client_cpu=$3
transactions=$4
clients=64
postgres_bin=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$postgres_bin" ] || skip "PostgreSQL's server is not installed"
owner=$(server_user postgres nobody)
cd "$scratch"
export HOME=$scratch
unset PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD PGSERVICE PGOPTIONS PGSSLMODE

start_postgres() {
	mkdir pg
	[ "$(id -u)" -ne 0 ] || chown "$owner" pg
	(as "$owner" "$postgres_bin/initdb" -D pg/data -U bench -A trust -N --no-locale -E UTF8) \
		>initdb.log 2>&1 || fail "initdb"
	postgres_port=$(free_port)
	(as "$owner" taskset -c "$client_cpu" "$postgres_bin/postgres" -D pg/data -p "$postgres_port" -F \
		-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=60) \
		>postgres.log 2>&1 </dev/null &
	children+=("$!")
	wait_until 60 answers "$postgres_port" || fail "PostgreSQL does not answer"
}

answers() { psql -X -h 127.0.0.1 -p "$1" -U bench -d postgres -c 'select 1' >/dev/null 2>&1; }

start_pgbouncer() {
	local -a become=()
	[ "$(id -u)" -ne 0 ] || become=(-u "$owner")
	bouncer_port=$(free_port)
	echo '"bench" ""' >users.txt
	cat >pgbouncer.ini <<-CONF
		[databases]
		postgres = host=127.0.0.1 port=$postgres_port
		[pgbouncer]
		listen_addr = 127.0.0.1
		listen_port = $bouncer_port
		unix_socket_dir =
		auth_type = trust
		auth_file = $scratch/users.txt
		pool_mode = transaction
		max_client_conn = 200
		default_pool_size = 16
		ignore_startup_parameters = extra_float_digits
	CONF
	chmod 644 pgbouncer.ini users.txt
	start "$dropin" "$scratch/pgbouncer.log" taskset -c "$server_cpu" "$(program pgbouncer)" \
		${become[@]+"${become[@]}"} "$scratch/pgbouncer.ini"
	wait_until 20 answers "$bouncer_port" || fail "pgbouncer does not answer"
}

# Sets `processed` to the number of transactions, all of which must have been good.
load() {
	taskset -c "$client_cpu" pgbench -n -h 127.0.0.1 -p "$bouncer_port" -U bench -c $clients -t "$1" \
		-f select.sql postgres >pgbench.out 2>pgbench.log || fail "pgbench"
	processed=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' pgbench.out)
	[ "$processed" -eq $((clients * $1)) ] || fail "$processed transactions instead of $((clients * $1))"
}

start_postgres
start_pgbouncer
echo 'select 1;' >select.sql
load $((transactions / 10 + 1))
before=$("$bin/cputime" "$server_pid")
load "$transactions"
after=$("$bin/cputime" "$server_pid")
printf 'method %s\n' "$(method_by_fds "$server_pid")"
printf 'library %s\n' "$(mapped_libevent "$server_pid" | awk '/libevent_uring/ && !ours {ours = $0} !first {first = $0} END {print ours ? ours : first}')"
awk -v ns=$((after - before)) -v n="$processed" 'BEGIN {printf "cpu_us %.4f\n", ns / 1000 / n}'
