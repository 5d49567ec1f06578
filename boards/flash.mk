# How a board with a flash budget is built: for size, and the whole program at once. Makefile includes
# this behind board.mk. boards/vm-amd64/README says what each of these saves.
ifneq ($(BUDGET_FLASH),)
flash_option = $(shell $(CROSS_COMPILE)gcc $1 -E -x c /dev/null >/dev/null 2>&1 && echo $1)

# -Oz came with gcc 12; -malign-data is for x86. The parameters: a call costs nothing but its own bytes,
# and what would grow by it is not put in line before the whole program is known. We resume no session as a
# client; tls_resume_test does, and is for other builds.
OPT := $(or $(call flash_option,-Oz),-Os) $(call flash_option,-malign-data=abi) \
    $(call flash_option,--param=uninlined-function-insns=0 --param=early-inlining-insns=0) \
    -flto -flto-partition=one -DWITHOUT_CLIENT_TICKETS
UNIT_NOT += tls_resume
# The archives hold what the compiler has still to read.
ifeq ($(origin AR),default)
AR = $(CROSS_COMPILE)gcc-ar
endif
endif
