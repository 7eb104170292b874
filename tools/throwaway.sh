# Throw-away clusters for the scripts in this folder; sourced after lib.sh. (Tests in Rust have tests/cluster.)
# shellcheck shell=bash

# throwaway_start DIR PG_CONFIG PORT [NAME=VALUE …]: makes and starts a cluster in the new folder DIR, which the server's
# user gets and nobody else can enter. No network: a Unix socket in DIR, superuser postgres, no passwords, data in
# DIR/data, the log in DIR/log.
throwaway_start() {
    local dir=$1 bin port=$3 setting value
    bin=$("$2" --bindir)
    shift 3
    chmod 700 "$dir"
    [ "$(id -u)" -ne 0 ] || chown "$(server_user)" "$dir"
    as_server "$bin/initdb" --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync \
        -D "$dir/data" >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; die "initdb failed"; }
    {
        for setting in listen_addresses= "unix_socket_directories=$dir" "port=$port" fsync=off full_page_writes=off \
            max_worker_processes=16 'log_line_prefix=%m [%p] %b %u@%d ' "$@"; do
            value=${setting#*=}
            printf "%s = '%s'\n" "${setting%%=*}" "${value//\'/\'\'}"
        done
    } >>"$dir/data/postgresql.conf"
    if ! as_server "$bin/pg_ctl" start --silent --wait --timeout=60 -D "$dir/data" -l "$dir/log" >&2; then
        tail -n 40 "$dir/log" >&2 || true
        die "the throw-away server did not start"
    fi
}

# throwaway_pid DIR: the pid of the server that runs on DIR/data, checked to be that very one; nothing if none runs.
throwaway_pid() {
    local pid
    pid=$(sed -n 1p "$1/data/postmaster.pid" 2>/dev/null || true)
    if [[ $pid =~ ^[0-9]+$ ]] && [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$(realpath "$1/data")" ]; then
        printf '%s\n' "$pid"
    fi
}

# throwaway_stop DIR: stops the server and removes DIR.
throwaway_stop() {
    local pid tries
    pid=$(throwaway_pid "$1")
    if [ -n "$pid" ]; then
        kill -QUIT "$pid"
        for tries in $(seq 1 200); do
            kill -0 "$pid" 2>/dev/null || break
            [ "$tries" -ne 100 ] || kill -KILL "$pid" 2>/dev/null || true
            sleep 0.05
        done
    fi
    rm -rf "$1"
}
