# A small x86-64 virtual machine: one static program, musl instead of glibc.
BOARD_CC = musl-gcc
BOARD_LDFLAGS = -static
