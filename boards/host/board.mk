# The machine that builds: its own compiler and C library.
OPT = -O2
# A program that can be anywhere, with its tables closed before main, on a C library that checks
# lengths. Those that are made for a look inside do without the latter.
BOARD_CFLAGS = -DBUDGET_CRC_TABLES=8 -fPIE -fstack-clash-protection -U_FORTIFY_SOURCE \
    $(if $(SAN)$(COV)$(FUZZ),,-D_FORTIFY_SOURCE=3) \
    $(if $(filter x86_64,$(HOST_MACHINE)),-fcf-protection)
BOARD_LDFLAGS = -pie -Wl,-z,relro,-z,now,-z,noexecstack
HOST_MACHINE := $(shell uname -m)
# As of the other boards with 64 bits: tests run on it.
BUDGET_STACK = 32768
