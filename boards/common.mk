# What boards share: Makefile includes this behind boards/NAME/board.mk, which is data alone.
#
#   LIBC = musl      a static program on musl, built from its source package (boards/lib/musl)
#   CROSS_COMPILE    what the names of the compiler and its tools begin with
#   BOARD_CPU        flags that say which processor; musl is built with them too
#   BOARD_OPTIONS    -D flags for core/budget.h and core/conf.def
#   BUDGET_FLASH     bytes of text and data that the stripped program may take (make size)
#   BUDGET_RSS       bytes resident when idle; BUDGET_STACK: of each of its stacks (make stack)

# By a path within the project: another clone, elsewhere, then asks the compiler's cache for the same.
MUSL := $(patsubst $(CURDIR)/%,%,$(BUILD))/$(BOARD)/musl

ifeq ($(LIBC),musl)
# A static program has one place in memory; code that could be anywhere would only be longer.
MUSL_CC = $(CROSS_COMPILE)gcc $(BOARD_CPU) -fno-pie
BOARD_CC = $(MUSL_CC) -specs=$(MUSL)/lib/musl-gcc.specs
BOARD_CFLAGS += -fno-asynchronous-unwind-tables -fno-unwind-tables
BOARD_LDFLAGS += -static
MUSL_STAMP = $(MUSL).stamp
endif
BOARD_CFLAGS += $(BOARD_OPTIONS)

# What is shared stays as it is: its time of change is part of what the compiler's cache is asked for.
$(MUSL).stamp: boards/lib/musl boards/lib/musl.versions boards/$(BOARD)/board.mk
	@boards/lib/musl $(MUSL) $(MUSL_CC)
	@touch $@

# --- Images and machines ---

IMAGE = $(BUILD)/$(BOARD)/image
OF_BOARD = CROSS_COMPILE=$(CROSS_COMPILE) boards/lib

$(IMAGE)/init: boards/lib/init.c $(BUILD)/$(BOARD)/flags
$(IMAGE)/agent: tests/boards/agent.c $(BUILD)/$(BOARD)/flags
$(IMAGE)/init $(IMAGE)/agent:
	@mkdir -p $(@D)
	$(call say,LINK ,$@)
	$(Q)$(LINK) $(WARN) -D_GNU_SOURCE -s -o $@ $<

$(IMAGE)/postern: $(BUILD)/$(BOARD)/postern
	@mkdir -p $(@D)
	@$(STRIP) -o $@ $<

.PHONY: image-parts image boot
image-parts: $(IMAGE)/init $(IMAGE)/agent $(IMAGE)/postern
	@$(OF_BOARD)/kernel $(BOARD) $(IMAGE)/kernel

image: image-parts ## what goes onto BOARD's flash and disk, part by part; CONFIG=DIR: its configuration
	@$(OF_BOARD)/image $(BOARD) $(IMAGE)

boot: image ## boot BOARD's image in an emulated machine; port 2525 here is its port 25 (Ctrl-C ends it)
	@$(OF_BOARD)/boot $(BOARD) $(IMAGE)

# --- Tests that boot boards ---

# A server whose sync does nothing, which the tests of power cuts must find out.
$(IMAGE)/nosync: tests/boards/nosync.c $(BUILD)/$(BOARD)/postern
	@mkdir -p $(@D)
	$(call say,LINK ,$@)
	$(Q)$(LINK) $(WARN) -D_GNU_SOURCE -s -o $@ $< $(MAIN_OBJ) -Wl,--start-group $(LIBS) -Wl,--end-group -pthread

.PHONY: nosync test-boards test-power
nosync: $(IMAGE)/nosync

BOOTED = armv7 mips24kc vm-amd64 arm64 i386
.PHONY: booted
booted:
	@tests/lib/need build test emulate image $(BOOTED)
	@for board in $(BOOTED); do $(MAKE) --no-print-directory BOARD=$$board image-parts || exit 1; done

test-boards: booted ## boot all boards but the host, as they are shipped, and see them serve
	@BUILD=$(BUILD) BOARDS='$(BOOTED)' python3 -B tests/boards/boot_test.py
	@$(MAKE) --no-print-directory BOARD=host all
	@BUILD=$(BUILD) BOARDS='$(BOOTED)' python3 -B tests/boards/calls_test.py

.PHONY: boards
boards: booted ## build every board; a table of what each takes, with the least RAM (BOOTED="NAME...": these)
	@BUILD=$(BUILD) BOARDS='$(BOOTED)' python3 -B tests/boards/boards_table.py
	@grown=; for board in $(BOOTED); do \
	    $(MAKE) --no-print-directory BOARD=$$board size-of-board >$(BUILD)/$$board/size || grown=$$board; \
	    echo "$$board: $$(tail -n 2 $(BUILD)/$$board/size | head -n 1)"; done; [ -z "$$grown" ]

CUTS = 100
test-power: ## cut the power of two boards CUTS times each (100), and see that nothing is lost
	@tests/lib/need build test emulate image armv7 mips24kc
	@for board in armv7 mips24kc; do $(MAKE) --no-print-directory BOARD=$$board image-parts || exit 1; done
	@$(MAKE) --no-print-directory BOARD=mips24kc nosync
	@BUILD=$(BUILD) CUTS=$(CUTS) python3 -B tests/boards/power_test.py

# --- Packages ---

VERSION = $(shell sed -n 's/^\#define POSTERN_VERSION "\(.*\)"/\1/p' port/posix/posix_main.c)
.PHONY: deb ipk test-packages
deb: $(BUILD)/$(BOARD)/postern ## a Debian package of BOARD's program, in build/packages
	@rm -rf $(BUILD)/packages/debian
	@$(MAKE) --no-print-directory install install-sendmail DESTDIR=$(BUILD)/packages/debian PREFIX=/usr >/dev/null
	@STRIP=$(STRIP) packages/debian/build $(BUILD)/packages/debian $(VERSION) $(or $(DEB_ARCH),$(shell dpkg --print-architecture)) $(BUILD)/packages

ipk: $(IMAGE)/postern ## a package for OpenWrt of BOARD's program, in build/packages
	@packages/openwrt/build $< $(VERSION) $(or $(OPENWRT_ARCH),$(BOARD)) $(BUILD)/packages

test-packages: ## install, run, upgrade and remove the Debian package in a bare root (needs root)
	@tests/lib/need build fresh
	@$(MAKE) --no-print-directory BOARD=host deb
	@BUILD=$(BUILD) tests/packages/debian_root
