# A router with a 32-bit ARM of 2010 or later and NOR flash: Thumb-2, hardware floating point.
LIBC = musl
CROSS_COMPILE = arm-linux-gnueabihf-
BOARD_CPU = -march=armv7-a+fp -mthumb
BUDGET_FLASH = 307200
BUDGET_RSS = 716800
BUDGET_STACK = 24576
RUNNER = qemu-arm -cpu cortex-a7
