# Postern. `make help` lists the targets.

MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all

BOARD ?= host
BUILD ?= build
PREFIX ?= /usr/local
MANDIR ?= $(PREFIX)/share/man

# What a board may set in its board.mk; boards/common.mk has more.
BOARD_CC = $(CROSS_COMPILE)gcc
BOARD_CFLAGS =
BOARD_LDFLAGS =
OPT = -Os

BOARDS := $(patsubst boards/%/board.mk,%,$(sort $(wildcard boards/*/board.mk)))
ifeq ($(filter $(BOARD),$(BOARDS)),)
$(error There is no board '$(BOARD)'; boards are: $(BOARDS))
endif
include boards/$(BOARD)/board.mk
include boards/common.mk
include boards/flash.mk
include boards/without.mk
include core/layers.mk

# --- Tools and flags ---

ifeq ($(origin CC),default)
CC = $(BOARD_CC)
endif
ifeq ($(origin AR),default)
AR = $(CROSS_COMPILE)ar
endif
STRIP ?= $(CROSS_COMPILE)strip

# Variants have objects of their own: SAN=1 for ASan and UBSan, COV=1 for coverage, FUZZ=1 for libFuzzer,
# TEETH=1 for what breaks on purpose (core/teeth.h), which has the library from the plain build.
O := $(BUILD)/$(BOARD)$(if $(SAN),-san)$(if $(COV),-cov)$(if $(FUZZ),-fuzz)$(if $(TEETH),-teeth)$(WITHOUT_SUFFIX)
SAN_FLAGS = -O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_FLAGS = $(SAN_FLAGS) -fsanitize=fuzzer-no-link
# Numbers in which no input decides where to read: as fast as they can be.
FUZZ_MATH = -O2 -fno-sanitize=fuzzer-no-link,address,undefined
VARIANT_FLAGS := $(if $(SAN),$(SAN_FLAGS)) $(if $(COV),-O0 --coverage) $(if $(FUZZ),$(FUZZ_FLAGS)) \
    $(if $(TEETH),-DPOSTERN_TEETH)

# What gcc makes of the flow of values depends on its release, on -O and on the sanitizers, and gcc 11
# counts designated initializers wrongly: that stays a warning.
WARN = -Wall -Wextra -Wconversion -Wshadow -Wvla -Wmissing-prototypes -Werror \
    $(if $(findstring clang,$(CC)),,$(NO_ERROR:%=-Wno-error=%))
NO_ERROR = maybe-uninitialized format-truncation missing-field-initializers
# glibc on 32 bits has files of 2 GiB and a clock until 2038 unless it is told.
LARGE = -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64
COMMON = -std=c11 -g $(OPT) -ffunction-sections -fdata-sections -fstack-protector-strong $(LARGE) \
    $(BOARD_CFLAGS) $(WITHOUT_FLAGS) $(VARIANT_FLAGS)
DEPS = -MMD -MP

# CCACHE=ccache keeps what has been compiled for the next time. V=1 shows the commands themselves.
CCACHE ?=
Q := $(if $(V),,@)
EMPTY =
say = $(if $(V),,$(info $(EMPTY)  $1 $2))
LINK = $(CC) $(COMMON) $(CFLAGS) -Wl,--gc-sections $(BOARD_LDFLAGS) $(LDFLAGS)

DOCS := $(BUILD)/docs
MBED := $(BUILD)/mbedtls-src
MBED_STAMP := $(BUILD)/mbedtls.stamp
MBED_CONFIG = -Iport/mbedtls -DMBEDTLS_CONFIG_FILE='<postern_mbedtls_config.h>'
MBED_INC = $(MBED_PUBLIC:%=-isystem $(MBED)/%) $(MBED_CONFIG)

# --- Sources ---

CORE_SRC := $(call with_without,$(sort $(wildcard core/*.c)))
POSIX_SRC := $(call with_without,$(sort $(wildcard port/posix/*.c)))
SIM_SRC := $(sort $(wildcard port/sim/*.c))
UNIT_SRC := $(sort $(wildcard tests/unit/*_test.c))
# An emulator (RUNNER) takes minutes for those that try everything there is to try, and the same code
# is tried by others too; conf_test knows the usual defaults, which BOARD_OPTIONS change. A board may
# name more. T=name runs them all the same.
UNIT_NOT := $(if $(RUNNER),smtpd tls_memory http exhaustive) $(if $(BOARD_OPTIONS),conf) $(UNIT_NOT)
# It has functions of its own in the place of the C library's, as they stand apart in glibc.
UNIT_NOT += $(if $(filter musl,$(LIBC)),posix_durable)
SIMTEST_SRC := $(sort $(wildcard tests/sim/*_test.c))
# What tests of whole sites are made of: see tests/sim/site.h.
SITE_TESTS := site memory site_teeth
SITE_SRC := $(filter-out $(SIMTEST_SRC),$(sort $(wildcard tests/sim/site_*.c)))
VECTOR_SRC := $(sort $(wildcard tests/vectors/*_test.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/*.c))
include port/mbedtls/sources.mk

# The files of core/ that a list of names and prefixes in layers.mk means.
core_files = $(filter $(patsubst %,core/%.c,$(subst *,%,$1)),$(CORE_SRC))

CORE_OBJ := $(CORE_SRC:%.c=$(O)/%.o)
POSIX_OBJ := $(POSIX_SRC:%.c=$(O)/%.o)
SIM_OBJ := $(SIM_SRC:%.c=$(O)/%.o)
UNIT_OBJ := $(UNIT_SRC:%.c=$(O)/%.o)
SIMTEST_OBJ := $(SIMTEST_SRC:%.c=$(O)/%.o)
SITE_OBJ := $(SITE_SRC:%.c=$(O)/%.o)
VECTOR_OBJ := $(VECTOR_SRC:%.c=$(O)/%.o)
FUZZ_OBJ := $(FUZZ_SRC:%.c=$(O)/%.o)
TEST_OBJ := $(UNIT_OBJ) $(SIMTEST_OBJ) $(SITE_OBJ) $(VECTOR_OBJ) $(FUZZ_OBJ)
TEETH_OBJ := $(if $(TEETH),$(O)/tests/teeth/switch.o)
MBED_OBJ := $(MBED_SRC:%=$(O)/mbedtls/%.o)
MBED_USER_OBJ := $(patsubst %.c,$(O)/%.o,$(call core_files,$(MBEDTLS_USERS))) $(POSIX_OBJ) \
    $(SIM_OBJ) $(TEST_OBJ)
MBED_INSIDE_OBJ := $(patsubst %.c,$(O)/%.o,$(call core_files,$(MBEDTLS_INTERNALS)))

# Tests link against all of it and take what they name.
PROGRAM := $(O)/postern
# The same on a stack of BUDGET_STACK bytes, as this machine's tests are; sanitizers and coverage take
# far more of it.
STACK_PROGRAM := $(O)/postern-stack
STACK_OBJ := $(O)/tests/stack/stack.o
STACK_LINK = -Wl,--wrap=main,--wrap=pthread_create
TEST_STACK := $(if $(SAN)$(COV)$(FUZZ)$(RUNNER),,yes)
MAIN_OBJ := $(O)/port/posix/posix_main.o
MBED_LIB := $(if $(TEETH),$(BUILD)/$(BOARD),$(O))/libmbed.a
LIBS := $(O)/libcore.a $(O)/libposix.a $(MBED_LIB)
TEST_LIBS := $(O)/libcore.a $(O)/libsim.a $(O)/libposix.a $(MBED_LIB)
UNIT_BIN := $(filter-out $(UNIT_NOT:%=$(O)/tests/unit/%_test),$(UNIT_OBJ:.o=))
# What is broken on purpose shows nothing more under sanitizers.
SIMTEST_BIN := $(filter-out $(if $(SAN)$(FUZZ),%_teeth_test),$(SIMTEST_OBJ:.o=))
VECTOR_BIN := $(VECTOR_OBJ:.o=)
FUZZ_BIN := $(FUZZ_OBJ:.o=)

# --- Building ---

.PHONY: all
all: $(PROGRAM) ## the program for BOARD (default), as build/BOARD/postern

# One broken file in core/ stops the build. With KEEP=1 the libraries take what compiles, so that
# the tests of other files can be built and run meanwhile.
TOLERATE := $(if $(KEEP),-)

INC = -Icore -Iport
$(MBED_USER_OBJ): INC += $(MBED_INC)
# The compiler takes what a system header includes for one of the system's, and does not name it.
$(MBED_USER_OBJ): $(MBED_STAMP) $(wildcard port/mbedtls/*.h)
$(MBED_INSIDE_OBJ): INC += -isystem $(MBED)/library
$(POSIX_OBJ): INC += -D_GNU_SOURCE
$(STACK_OBJ): INC += -DSTACK_BUDGET=$(BUDGET_STACK) -D_GNU_SOURCE
$(STACK_OBJ): CFLAGS += -fno-lto
$(TEST_OBJ): INC += -Itests/unit -Iport/sim -Iport/posix -D_GNU_SOURCE $(if $(RUNNER),-DTEST_EMULATED)
$(FUZZ_OBJ): INC += -isystem $(MBED)/library
# What a fuzzer's inputs reach in here teaches it nothing, and counting it takes a quarter of the time.
$(if $(FUZZ),$(TEST_OBJ) $(SIM_OBJ) $(O)/core/crc32c.o): INC += -fno-sanitize=fuzzer-no-link

# A process for each object counts where starting one is dear: no mkdir, no printf.
OBJ_DIRS := $(sort $(dir $(CORE_OBJ) $(POSIX_OBJ) $(SIM_OBJ) $(TEST_OBJ) $(STACK_OBJ) $(TEETH_OBJ) $(MBED_OBJ)))

$(O)/%.o: %.c $(O)/flags | $(OBJ_DIRS)
	$(call say,CC   ,$<)
	$(Q)$(TOLERATE)$(CCACHE) $(CC) $(COMMON) $(WARN) $(INC) $(DEPS) $(CFLAGS) -c -o $@ $<

# The .d files name the library's sources, which are not there while they are fetched again.
$(MBED)/%: | $(MBED_STAMP) ;

# The library's own warnings are not ours. What makes handshakes slow is compiled for speed. A file in
# port/mbedtls/library/ includes the library's of the same name, and says what it changes. One that is
# new there is newer than the object.
MBED_CHANGED := $(wildcard port/mbedtls/library/*.c)
$(MBED_CHANGED:port/mbedtls/%.c=$(O)/mbedtls/%.o): $(O)/mbedtls/%.o: port/mbedtls/%.c
$(O)/mbedtls/%.o: $(MBED_STAMP) $(O)/flags | $(OBJ_DIRS)
	$(call say,CC   ,mbedtls/$*.c)
	$(Q)$(CCACHE) $(CC) $(COMMON) $(if $(filter $(MBED_FAST),$*),-O2 $(BOARD_FAST)) \
	    $(if $(FUZZ),$(if $(filter $(MBED_MATH),$*),$(FUZZ_MATH))) -w $(MBED_PUBLIC:%=-I$(MBED)/%) \
	    $(MBED_PRIVATE:%=-I$(MBED)/%) $(MBED_CONFIG) $(DEPS) $(CFLAGS) -c -o $@ \
	    $(or $(wildcard port/mbedtls/$*.c),$(MBED)/$*.c)

$(O)/libcore.a: $(CORE_OBJ) $(TEETH_OBJ)
$(O)/libposix.a: $(filter-out $(MAIN_OBJ),$(POSIX_OBJ))
$(O)/libsim.a: $(SIM_OBJ)
$(O)/libmbed.a: $(MBED_OBJ)
$(O)/lib%.a:
	$(call say,AR   ,$@)
	@rm -f $@
	$(Q)$(AR) rcs $@ $(if $(KEEP),$(wildcard $^),$^)

ifdef TEETH
$(MBED_LIB):
	@$(MAKE) --no-print-directory TEETH= $@
endif

$(PROGRAM): $(MAIN_OBJ) $(LIBS)
	$(call say,LINK ,$@)
	$(Q)$(LINK) -Wl,-Map=$@.map -o $@ $< -Wl,--start-group $(LIBS) -Wl,--end-group -pthread

$(STACK_PROGRAM): $(MAIN_OBJ) $(LIBS) $(STACK_OBJ)
	$(call say,LINK ,$@)
	$(Q)$(LINK) $(STACK_LINK) -o $@ $(filter %.o,$^) -Wl,--start-group $(LIBS) -Wl,--end-group -pthread

$(filter %_fuzz,$(FUZZ_BIN)): LDFLAGS += -fsanitize=fuzzer
SITE_BIN := $(SITE_TESTS:%=$(O)/tests/sim/%_test)
$(SITE_BIN): $(SITE_OBJ)
$(SITE_BIN): LDFLAGS += -Wl,--wrap=pool_take,--wrap=pool_init,--wrap=arena_take,--wrap=heap_alloc \
    -Wl,--wrap=heap_free,--wrap=heap_open,--wrap=tls_platform_open
$(O)/tests/fuzz/tls_fuzz: LDFLAGS += -Wl,--wrap=mbedtls_cipher_auth_encrypt_ext
$(TEST_OBJ:.o=): %: %.o $(TEST_LIBS) $(if $(TEST_STACK),$(STACK_OBJ))
	$(call say,LINK ,$@)
	$(Q)$(LINK) $(if $(TEST_STACK),$(STACK_LINK)) -o $@ $(filter %.o,$^) -Wl,--start-group $(TEST_LIBS) -Wl,--end-group -pthread

# What the objects were made with: when it differs from what is asked for now, all are made again.
FLAGS_TEXT = $(CC) $(COMMON) $(WARN) $(MBED_INC) $(CFLAGS) $(BOARD_LDFLAGS) $(LDFLAGS) \
    $(MBED_FAST) $(BOARD_FAST) $(BUDGET_STACK)
ifneq ($(strip $(file <$(O)/flags)),$(strip $(FLAGS_TEXT)))
$(O)/flags: FORCE
endif
$(O)/flags: $(MUSL_STAMP) | $(O)/
	@command -v $(firstword $(CC)) >/dev/null || { \
	    echo "$(firstword $(CC)) is missing; as root or with sudo, 'make deps' installs it"; exit 1; }
	@printf '%s\n' '$(subst ','\'',$(FLAGS_TEXT))' >$@

# Likewise the sources of Mbed TLS.
ifneq ($(strip $(file <$(BUILD)/mbedtls.from)),$(strip $(MBEDTLS_SRC)))
$(BUILD)/mbedtls.from: FORCE
endif
$(BUILD)/mbedtls.from: | $(BUILD)/
	@printf '%s\n' '$(MBEDTLS_SRC)' >$@

$(MBED_STAMP): port/mbedtls/fetch port/mbedtls/versions $(BUILD)/mbedtls.from
	@port/mbedtls/fetch $(MBED)
	@touch $@

$(sort $(BUILD)/ $(O)/ $(DOCS)/ $(OBJ_DIRS)):
	@mkdir -p $@

.PHONY: FORCE
FORCE:
.DELETE_ON_ERROR:
.SECONDARY:

-include $(wildcard $(O)/core/*.d $(O)/core/*/*.d $(O)/port/*/*.d $(O)/port/*/*/*.d $(O)/tests/*/*.d $(MBED_OBJ:.o=.d))

# --- Tests ---

# T=der takes one test only: tests/unit/der_test.c.
.PHONY: unit sim
unit: $(if $(T),$(T:%=$(O)/tests/unit/%_test),$(UNIT_BIN)) ## run the unit tests (T=name: one of them)
	@RUNNER='$(RUNNER)' tests/lib/programs $^

sim: $(if $(SEEDS),$(O)/tests/sim/site_test,$(if $(T),$(T:%=$(O)/tests/sim/%_test),$(SIMTEST_BIN))) ## run the simulated worlds (T=name: one; SEEDS=n: n whole sites, from SEED on)
	@$(if $(SEEDS),$(RUNNER) $^ --table --seeds $(SEEDS) --first $(or $(SEED),1),RUNNER='$(RUNNER)' TEST_SECONDS='$(or $(TEST_SECONDS),$(if $(SIM_ALL),7200))' tests/lib/programs $^)

.PHONY: vectors
vectors: $(VECTOR_BIN) $(PROGRAM) ## judge whole OCSP responses, our own and others'
	@tests/vectors/run $(O)/tests/vectors $(PROGRAM)

# F=der takes one target only: tests/fuzz/der_fuzz.c.
.PHONY: fuzz fuzz-programs
fuzz: ## fuzz each target for T seconds, 60 unless given (F=name: one of them)
	@tests/lib/need build fuzz
	@$(MAKE) --no-print-directory CC=clang FUZZ=1 fuzz-programs
	@tests/fuzz/run $(O)-fuzz/tests/fuzz $(BUILD)/fuzz $(or $(T),60) $(F)

fuzz-programs: $(if $(F),$(F:%=$(O)/tests/fuzz/%_fuzz) $(O)/tests/fuzz/seeds,$(FUZZ_BIN))

.PHONY: prove
prove: ## prove that core/slice and most of core/der keep within any input (Frama-C; takes minutes)
	@tests/lib/need prove
	@tests/prove/run $(BUILD)/prove

# T=NAME takes one breakage only.
.PHONY: test-teeth teeth-programs
test-teeth: all ## break what core/teeth.def lists, one by one: each must be noticed (T=NAME: one of them)
	@$(MAKE) --no-print-directory TEETH=1 T= teeth-programs
	@tests/teeth/run $(O)-teeth $(T)

ifdef TEETH
teeth-programs: $(patsubst %,$(O)/tests/%_test,$(shell tests/teeth/run --programs))
endif

.PHONY: test
test: ## install what is missing, then run every test
	@BUILD=$(BUILD) MAKE=$(MAKE) tests/run

.PHONY: test-crash
test-crash: all ## kill -9, ENOSPC and EIO at every system call of a real server (takes hours)
	@tests/lib/need test
	@CRASH=all SUITE_SECONDS=14400 BUILD=$(BUILD) MAKE=$(MAKE) tests/run crash

.PHONY: objects
objects: $(CORE_OBJ) $(POSIX_OBJ) $(SIM_OBJ) $(TEST_OBJ) ## compile all of our own, link nothing

.PHONY: check-deps
check-deps: $(CORE_OBJ) ## core/ keeps its layers and needs no operating system
	@tests/lib/check-deps $(O)/core

.PHONY: check-format format
check-format: ## the sources are laid out as .clang-format says
	@tests/lib/check-format

format: ## lay the sources out
	@tests/lib/check-format --fix

# What the filter of system calls is made of, with their numbers: for tests/boards/calls_test.py.
.PHONY: calls
calls: $(MUSL_STAMP)
	@$(CC) $(COMMON) -Icore -Iport -D_GNU_SOURCE -E -dD -P port/posix/posix_seccomp.c

# The boards whose flash is counted. make size, and so make test, counts vm-amd64 unless BOARD is given: to
# link a board as it is shipped takes a minute. make boards counts them all. SIZES=write sets what it may be.
SIZE_BOARD := $(if $(filter command,$(origin BOARD)),$(BOARD),vm-amd64)

.PHONY: size size-of-board
size: ## the stripped program against boards/sizes, and how far its goal is (vm-amd64, or BOARD)
	@tests/lib/need build $(SIZE_BOARD)
	@$(MAKE) --no-print-directory BOARD=$(SIZE_BOARD) size-of-board

size-of-board: $(PROGRAM)
	@$(STRIP) -o $(PROGRAM).stripped $(PROGRAM)
	@NM=$(CROSS_COMPILE)nm SIZE=$(CROSS_COMPILE)size \
	    tests/lib/size $(PROGRAM).stripped $(PROGRAM) $(PROGRAM).map $(or $(BUDGET_FLASH),0)
	@SIZES='$(SIZES)' SIZE=$(CROSS_COMPILE)size boards/lib/sizes $(PROGRAM).stripped \
	    $(BOARD)-gcc$(shell $(firstword $(CC)) -dumpversion | cut -d. -f1)

.PHONY: sizes
sizes: ## write what the programs take now into boards/sizes, to be committed with what made them grow
	@for board in $(BOOTED); do $(MAKE) --no-print-directory BOARD=$$board SIZES=write size || exit 1; done

.PHONY: coverage
coverage: ## lines and branches that the unit and simulation tests reach, per file
	@$(MAKE) --no-print-directory COV=1 unit sim >$(BUILD)/coverage.log || tail $(BUILD)/coverage.log
	@tests/lib/coverage $(BUILD)/$(BOARD)-cov

# STACK_SUITES: those of tests/interop that have the deepest paths.
STACK_SUITES ?= stack

.PHONY: postern-stack stack
postern-stack: $(STACK_PROGRAM)

stack: $(STACK_PROGRAM) ## the most stack that the program for BOARD takes, of what its budget has
	@RUNNER='$(RUNNER)' BUILD=$(BUILD) tests/stack/run $(BOARD) $(STACK_PROGRAM) $(STACK_SUITES)

.PHONY: demo bench soak
demo: ## a throwaway certificate and proof, a server, a message: see it work
	@tests/lib/need build demo
	@$(MAKE) --no-print-directory BOARD=host all
	@BUILD=$(BUILD) POSTERN=$(BUILD)/host/postern tests/demo

bench: ## memory, syncs and CPU time per message, per handshake and per proof
	@tests/lib/need build demo vm-amd64 bench
	@$(MAKE) --no-print-directory BOARD=host all
	@$(MAKE) --no-print-directory BOARD=vm-amd64 all
	@BUILD=$(BUILD) POSTERN=$(BUILD)/host/postern tests/bench/run

MINUTES ?= 10
soak: ## hostile peers with large figures, then MINUTES of mixed load; curves in build/soak
	@tests/lib/need build demo
	@$(MAKE) --no-print-directory BOARD=host all
	@BUILD=$(BUILD) POSTERN=$(BUILD)/host/postern python3 -B tests/soak/abuse_test.py --full
	@BUILD=$(BUILD) POSTERN=$(BUILD)/host/postern python3 -B tests/soak/mixed.py $(MINUTES)

.PHONY: deps
deps: ## install what building for BOARD needs, as root or with sudo
	@tests/lib/need build $(BOARD)

# --- Documents ---

# The options and the reasons each have one table in core/; the manual pages, the example of a
# configuration and the list in README come from there.
PAGES := $(patsubst port/posix/%.in,$(DOCS)/%,$(wildcard port/posix/*.in))
TABLES := core/conf.def core/ocsp_reason.def core/deliver_reason.def
TABLES_TEXT = cat $(TABLES) | $(CC) -E -P $(BOARD_CFLAGS) -D'GROUP(name)=@GROUP name' \
    -D'OPTION(field,type,name,preset,min,max,help)=@OPTION type @@ name @@ preset @@ help' \
    -D'REASON(symbol,name,class,help)=@REASON class @@ name @@ help' \
    -D'DELIVER_REASON(symbol,name,class,subject,detail,help)=@WHY class.subject.detail @@ name @@ help' -x c -

.PHONY: docs
docs: $(PAGES) $(DOCS)/README ## manual pages and an example configuration; brings README's list up to date
	@cmp -s README $(DOCS)/README || cp $(DOCS)/README README

$(DOCS)/README: README $(TABLES) core/doc.awk | $(DOCS)/
	@$(TABLES_TEXT) | awk -v form=list -f core/doc.awk - README >$@

$(DOCS)/%: port/posix/%.in $(TABLES) core/doc.awk | $(DOCS)/
	$(call say,DOC  ,$@)
	@$(TABLES_TEXT) | awk -v form=$(if $(filter %.conf,$@),sample,man) -f core/doc.awk - $< >$@

# --- The rest ---

.PHONY: install
install: $(PROGRAM) $(PAGES) ## the program, its manual and an example configuration, into DESTDIR and PREFIX
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,sbin share/doc/postern) $(DESTDIR)$(MANDIR)/man5 \
	    $(DESTDIR)$(MANDIR)/man8
	install -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/sbin/postern
	install -m 644 $(DOCS)/postern.conf $(DESTDIR)$(PREFIX)/share/doc/postern/postern.conf
	install -m 644 $(DOCS)/postern.conf.5 $(DESTDIR)$(MANDIR)/man5/postern.conf.5
	install -m 644 $(DOCS)/postern.8 $(DESTDIR)$(MANDIR)/man8/postern.8

.PHONY: install-strip
install-strip: install ## the same, the program without what only a debugger reads
	$(STRIP) $(DESTDIR)$(PREFIX)/sbin/postern

.PHONY: install-sendmail
install-sendmail: ## sendmail, mailq and newaliases as links to the installed program
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,sbin bin)
	ln -sf postern $(DESTDIR)$(PREFIX)/sbin/sendmail
	ln -sf ../sbin/postern $(DESTDIR)$(PREFIX)/bin/mailq
	ln -sf ../sbin/postern $(DESTDIR)$(PREFIX)/bin/newaliases

.PHONY: clean
clean: ## remove everything that was built
	rm -rf $(BUILD)

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile
