# A small x86-64 virtual machine: one static program, musl instead of glibc.
BOARD_CC = musl-gcc
# A static program has one place in memory; code that could be anywhere would only be longer. musl
# knows no control-flow enforcement, so its landing marks, which some compilers put in unasked, do
# nothing but fill flash.
BOARD_CFLAGS = -fno-pie -fno-asynchronous-unwind-tables -fno-unwind-tables -fcf-protection=none
BOARD_LDFLAGS = -static

# What the stripped program should take of the flash, in bytes of text and data (make size).
BUDGET_FLASH = 430080
