# make             build                      make check      every test, on a private cluster
# make install     install (needs the right)  make check-pg PG=17|18   the same on another major
# make dev         build, warnings are errors make lint       house rules
# make check-fuzz  windows made by chance, thousands of them
# make check-drift numerics after 10^9 events (EVENTS=), some ten minutes
# make demo        a tour on a private cluster (KEEP=1 leaves it running)
# make bench | unit | fuzz | format | format-check | setup
# make bench-nab DATA=folder      the Numenta Anomaly Benchmark
# make bench-nab-budget DATA=folder   how well alerts_per_day is kept on its series
# make bench-tabular DATA=folder   batch detectors on labelled tables
#
# PG_CONFIG=... chooses the PostgreSQL to build for.

# Targets that only run a script. They are kept apart from PGXS, which has a
# "check" of its own that does nothing but say so.
SCRIPTED = setup dev check check-pg check-fuzz check-drift lint unit fuzz demo bench bench-nab bench-nab-budget bench-tabular format format-check

ifneq (,$(filter $(SCRIPTED),$(MAKECMDGOALS)))

.PHONY: $(MAKECMDGOALS)
.NOTPARALLEL:

setup:
	@test/setup

dev:
	@flock Makefile $(MAKE) --no-print-directory all SP_DEV=1

check:
	@test/setup
	@test/run

check-pg:
	@test/check-pg '$(PG)'

check-fuzz:
	@test/setup
	@test/property/run --cases $${CASES:-3000}

check-drift:
	@EVENTS=$${EVENTS:-1000000000} SHOW=1 PLAIN=1 test/unit/run drift

lint:
	@test/lint

unit:
	@test/unit/run

fuzz:
	@test/setup clang-14 libclang-rt-14-dev
	@test/fuzz/run

demo:
	@test/demo/run

# DATA would be PGXS's in whatever runs below.
bench-nab:
	@env -u DATA NAB_DATA='$(DATA)' MAKEFLAGS= MAKEOVERRIDES= test/bench/run nab

bench-nab-budget:
	@env -u DATA NAB_DATA='$(DATA)' MAKEFLAGS= MAKEOVERRIDES= test/bench/run nab_budget

bench-tabular:
	@env -u DATA TABULAR_DATA='$(DATA)' MAKEFLAGS= MAKEOVERRIDES= test/bench/run tabular

bench:
	@test/bench/run

format:
	@test/format

format-check:
	@test/format --check

# Goals of PGXS named beside one of ours, as in "make clean check".
$(filter-out $(SCRIPTED),$(MAKECMDGOALS)):
	@$(MAKE) --no-print-directory $@

else

EXTENSION = streamproc
EXTVERSION = 1.0
MODULE_big = streamproc

# From the ground up. A layer includes only what stands before it; feed and
# engine don't know one another.
LAYERS = base kernel kernel/online kernel/batch catalog feed engine process face
SOURCES = $(foreach layer,$(LAYERS),$(sort $(wildcard src/$(layer)/*.c)))
OBJS = $(SOURCES:.c=.o)

# The install script is assembled from parts, in this order.
SCRIPT = $(EXTENSION)--$(EXTVERSION).sql
SCRIPT_PARTS = \
	src/catalog/schema.sql \
	src/catalog/progress.sql \
	src/feed/feed.sql \
	src/face/stream.sql \
	src/face/windowing.sql \
	src/face/duplicate.sql \
	src/face/window.sql \
	src/face/detector.sql \
	src/face/methods.sql \
	src/face/score_online.sql \
	src/face/backtest.sql \
	src/face/explain.sql \
	src/face/enforce.sql \
	src/face/batch.sql \
	src/face/detect.sql \
	src/face/model.sql \
	src/face/batch_series.sql \
	src/face/lifecycle.sql \
	src/face/operate.sql \
	src/face/views.sql
DATA_built = $(SCRIPT)

REGRESS = $(sort $(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))
REGRESS_OPTS = --load-extension=$(EXTENSION)

# Calls between our own files need no indirection: nothing interposes them.
PG_CPPFLAGS = -I$(srcdir)/src -MMD -MP
PG_CFLAGS = -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers \
	-fno-semantic-interposition $(if $(SP_DEV),-Werror)
PG_LDFLAGS = -Wl,-Bsymbolic-functions
SHLIB_LINK = -lm

EXTRA_CLEAN = $(addsuffix /*.d,$(addprefix src/,$(LAYERS))) .build-flags

# Bitcode doubles the time to build and buys nothing here.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS knows no headers: the compiler writes them down.
-include $(OBJS:.o=.d)

# Everything is rebuilt when the server or the flags are others than last time.
BUILD_FLAGS = $(VERSION) $(CC) $(CPPFLAGS) $(CFLAGS)
$(OBJS): .build-flags
.build-flags: FORCE
	@echo '$(BUILD_FLAGS)' | cmp -s - $@ || echo '$(BUILD_FLAGS)' > $@
FORCE:
.PHONY: FORCE

$(SCRIPT): $(SCRIPT_PARTS) Makefile
	{ printf '%s\n' '\echo Use "CREATE EXTENSION $(EXTENSION)" to load this file. \quit'; \
	  for part in $(SCRIPT_PARTS); do printf '\n-- %s\n\n' "$$part"; cat "$$part"; done; } > $@.tmp
	mv $@.tmp $@

endif
