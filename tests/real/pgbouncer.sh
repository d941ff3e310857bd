#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Debian's pgbouncer in transaction mode between pgbench and a private PostgreSQL cluster: 32 clients
# for 20 seconds (another number: first argument, or PGBENCH_SECONDS) on TCP, beside a few that
# connect anew for every transaction over unix sockets; SIGHUP in the middle takes a changed setting.
# No transaction fails, nothing complains, and the books balance: the sums that pgbench's
# transactions keep in four tables agree, and there are as many as pgbench counted.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need pgbouncer pgbench psql
seconds=${1:-${PGBENCH_SECONDS:-20}}

bin=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
if [ -z "$bin" ]; then
	need postgres initdb
	bin=$(dirname "$(program postgres)")
fi
user=$(server_user postgres nobody)
pg=$scratch/pg
mkdir "$pg" "$pg/socket"
[ "$(id -u)" -ne 0 ] || chown -R "$user" "$pg"
# The servers' users need not be able to see where this was started, nor root's home.
cd "$scratch"
export HOME=$pg PGUSER=bench PGCONNECT_TIMEOUT=20
unset PGHOST PGPORT PGDATABASE PGPASSWORD PGSERVICE PGOPTIONS PGSSLMODE

# ---- PostgreSQL ----

say "making a PostgreSQL cluster"
(as "$user" "$bin/initdb" -D "$pg/data" -U bench -A trust -N --no-locale -E UTF8) \
	>"$scratch/initdb.log" 2>&1 || fail "initdb"
postgres_port=$(free_port)
cat >>"$pg/data/postgresql.conf" <<-CONF
	listen_addresses = '127.0.0.1'
	port = $postgres_port
	unix_socket_directories = '$pg/socket'
	max_connections = 60
	fsync = off
	full_page_writes = off
	synchronous_commit = off
CONF
(as "$user" "$bin/postgres" -D "$pg/data") >"$scratch/postgres.log" 2>&1 </dev/null &
postgres_pid=$!
children+=("$postgres_pid")
direct() { psql -X -At -h 127.0.0.1 -p "$postgres_port" "$@"; }
answers() { direct -d postgres -c 'select 1' >/dev/null 2>&1; }
wait_until 60 answers || fail "PostgreSQL does not answer"
direct -d postgres -c 'create database bench' >/dev/null

# ---- pgbouncer ----

bouncer_port=$(free_port)
configure()
{
	cat >"$scratch/pgbouncer.ini" <<-CONF
		[databases]
		bench = host=127.0.0.1 port=$postgres_port
		bench_unix = host=$pg/socket port=$postgres_port dbname=bench
		[pgbouncer]
		listen_addr = 127.0.0.1
		listen_port = $bouncer_port
		unix_socket_dir = $pg/socket
		auth_type = trust
		auth_file = $scratch/users.txt
		admin_users = bench
		pool_mode = transaction
		max_client_conn = 200
		default_pool_size = $1
		ignore_startup_parameters = extra_float_digits
	CONF
}
echo '"bench" ""' >"$scratch/users.txt"
configure 10
chmod 644 "$scratch/pgbouncer.ini" "$scratch/users.txt"
become=()
[ "$(id -u)" -ne 0 ] || become=(-u "$user")
start "$dropin" "$scratch/pgbouncer.log" "$(program pgbouncer)" \
	${become[@]+"${become[@]}"} "$scratch/pgbouncer.ini"
bouncer_pid=$server_pid
wait_until 20 listens_or_ended "$bouncer_pid" "$bouncer_port" || fail "pgbouncer does not listen"
running "$bouncer_pid" || fail "pgbouncer does not start"
assert_method "$bouncer_pid" "$user"

admin() { psql -X -At -h 127.0.0.1 -p "$bouncer_port" -d pgbouncer -c "$1"; }
pool_size_is() { admin 'show config' | grep -q "^default_pool_size|$1|"; }
pool_size_is 10 || fail "the admin console does not show the configuration"

# ---- the load ----

say "pgbench -i through pgbouncer"
timeout 120 pgbench -h 127.0.0.1 -p "$bouncer_port" -i -s 4 -q bench >"$scratch/init.log" 2>&1 ||
	fail "pgbench -i"

# bench NAME OPTION...: in the background, its pid in client.
bench()
{
	local name=$1
	shift
	timeout $((seconds + 60)) pgbench -n -p "$bouncer_port" -T "$seconds" "$@" \
		>"$scratch/$name.out" 2>"$scratch/$name.log" &
	client=$!
	children+=("$client")
}

say "pgbench -c 32 -T $seconds, SIGHUP in the middle"
bench tcp -h 127.0.0.1 -c 32 -j 2 bench
tcp=$client
bench unix -h "$pg/socket" -c 4 -C -S bench_unix
unix=$client
sleep $(((seconds + 1) / 2))
configure 12
running "$tcp" || fail "pgbench ended before its time"
kill -HUP "$bouncer_pid"
wait_until 10 pool_size_is 12 || fail "SIGHUP did not take the new configuration"
running "$tcp" || fail "pgbench ended before the reload"
wait "$tcp" || fail "pgbench over TCP: status $?"
wait "$unix" || fail "pgbench over unix sockets: status $?"

# ---- the verdict ----

processed() { sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$1"; }
for name in tcp unix; do
	grep -q '^number of failed transactions: 0 ' "$scratch/$name.out" ||
		fail "$name: $(cat "$scratch/$name.out")"
	! grep -Ei 'error|fatal|warning|abort' "$scratch/$name.log" || fail "pgbench complained"
	say "$name: $(processed "$scratch/$name.out") transactions, 0 failed," \
		"$(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$scratch/$name.out") a second"
done
! grep -E ' (WARNING|ERROR|FATAL|PANIC|CRASH) ' "$scratch/pgbouncer.log" || fail "pgbouncer complained"

books=$(direct -d bench -c "select (select count(*) from pgbench_history), h, h = a and h = b and h = t
	from (select sum(delta) h from pgbench_history) hh, (select sum(abalance) a from pgbench_accounts) aa,
	(select sum(bbalance) b from pgbench_branches) bb, (select sum(tbalance) t from pgbench_tellers) tt")
[[ $books = "$(processed "$scratch/tcp.out")|"*"|t" ]] || fail "the books do not balance: $books"
assert_method "$bouncer_pid" "$user"
assert_idle "$bouncer_pid"

stop "$bouncer_pid" INT 20 || fail "pgbouncer does not end on SIGINT"
[ "$stop_status" -eq 0 ] || fail "pgbouncer ended with status $stop_status"
stop "$postgres_pid" INT 30 || fail "PostgreSQL does not end on SIGINT"
[ "$stop_status" -eq 0 ] || fail "PostgreSQL ended with status $stop_status"
