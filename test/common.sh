# Shared by the scripts of this folder: which PostgreSQL, which user, and how to leave nothing behind.
# shellcheck shell=bash

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PG_CONFIG=$(command -v "${PG_CONFIG:-pg_config}") ||
	{ echo "pg_config not found: run test/setup, or set PG_CONFIG" >&2; exit 1; }
export PG_CONFIG

die() { echo "${0##*/}: $*" >&2; exit 1; }

# The server refuses to run as root.
if [ "$(id -u)" -eq 0 ]; then
	unprivileged=$(id -un postgres 2>/dev/null || echo nobody)
else
	unprivileged=$(id -un)
fi

# as_user COMMAND...: as the user who may run a server.
as_user() {
	if [ "$(id -u)" -eq 0 ]; then
		setpriv --reuid="$unprivileged" --regid="$(id -g "$unprivileged")" --init-groups env HOME=/tmp "$@"
	else
		"$@"
	fi
}

# The tree is built and installed by one process at a time.
build() {
	(
		flock 9
		make -C "$top" -s -j"$(nproc)" --no-print-directory "$@" >&2
	) 9<"$top/Makefile"
}

# private_install DIR: a copy of the server with this tree's extension in it, so that nothing is installed on the
# machine and checkouts don't meet. PostgreSQL finds its files relative to its own programs, which therefore are
# copies; everything else is linked.
private_install() {
	local dir=$1 bin lib share
	bin=$("$PG_CONFIG" --bindir) lib=$("$PG_CONFIG" --pkglibdir) share=$("$PG_CONFIG" --sharedir)
	if [ ! -d "$dir$bin" ]; then
		mkdir -p "$dir$lib" "$dir$share/extension" "$dir${bin%/*}"
		ln -s "$lib"/* "$dir$lib"
		find "$share" -mindepth 1 -maxdepth 1 ! -name extension -exec ln -s -t "$dir$share" {} +
		find "$share/extension" -mindepth 1 -exec ln -s -t "$dir$share/extension" {} +
		rm -f "$dir$lib"/streamproc* "$dir$share/extension"/streamproc*
		cp -a "$bin" "$dir${bin%/*}/.incoming" && mv "$dir${bin%/*}/.incoming" "$dir$bin"
	fi
	build all
	build install DESTDIR="$dir"
}

# processes_in DIR [PATTERN]: those that work in DIR or below (a server works in its data directory), of all programs or
# of those whose name matches.
processes_in() {
	local link cwd name
	for link in /proc/[0-9]*/cwd; do
		cwd=$(readlink "$link" 2>/dev/null) || continue
		case ${cwd% (deleted)} in "$1" | "$1"/*) ;; *) continue ;; esac
		name=$(cat "${link%cwd}comm" 2>/dev/null) || continue
		link=${link#/proc/}
		! [[ $name =~ ^(${2:-.*})$ ]] || echo "${link%/cwd}"
	done
}

# await_none DIR PATTERN TENTHS [SIGNAL]: until there are no such processes; they may get a signal until then.
await_none() {
	local pids tenths=$3
	while pids=$(processes_in "$1" "$2") && [ -n "$pids" ] && [ $((tenths--)) -gt 0 ]; do
		# shellcheck disable=SC2086
		[ -z "${4:-}" ] || kill -s "$4" $pids 2>/dev/null || true
		sleep 0.1
	done
}

# stop_servers_in DIR: ends everything that works in DIR, drivers first, then the servers. What was killed with -9 leaves
# shared memory behind: an initdb may end by itself, and a server that starts and ends takes away what another left.
stop_servers_in() {
	local pidfile id bin
	bin=$("$PG_CONFIG" --bindir)
	await_none "$1" 'prove|perl|timeout|pg_.*regress|isolationtester|psql|pgbench' 50 KILL
	await_none "$1" initdb 200
	while read -r pidfile; do
		(cd "$1" && as_user "$bin/pg_ctl" -D "${pidfile%/*}" -s -m immediate -t 20 stop) >/dev/null 2>&1 || true
	done < <(find "$1" -name postmaster.pid 2>/dev/null)
	await_none "$1" '.*' 100 KILL
	while read -r pidfile; do
		id=$(sed -n '7s/.* //p' "$pidfile")
		(cd "$1" && as_user timeout 60 "$bin/postgres" --single -D "${pidfile%/*}" -c shared_preload_libraries= \
			postgres </dev/null) >/dev/null 2>&1 || ipcrm -m "${id:-none}" 2>/dev/null || true
	done < <(find "$1" -name postmaster.pid 2>/dev/null)
}
