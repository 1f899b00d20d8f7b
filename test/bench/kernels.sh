# What an event costs each online kernel by itself: see kernels.c.
#
# usage: test/bench/run kernels       EVENTS (default 1000000), ONLY: names that contain this
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# as the server's extensions are compiled
gcc -O2 -std=gnu11 -fno-semantic-interposition -Wall "-I$here/../../src" "$here/kernels.c" \
	"$here"/../../src/kernel/*.c "$here"/../../src/kernel/online/*.c "$here"/../../src/kernel/batch/*.c -lm -o "$BENCH_DIR/kernels"
"$BENCH_DIR/kernels"
