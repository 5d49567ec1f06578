# An old appliance: a 32-bit x86 of the Pentium III's time.
LIBC = musl
CROSS_COMPILE = i686-linux-gnu-
BOARD_CPU = -march=pentium3 -mno-sse -fcf-protection=none
BUDGET_FLASH = 430080
BUDGET_RSS = 1048576
BUDGET_STACK = 32768
RUNNER = qemu-i386 -cpu pentium3
