# A router with a big-endian MIPS 24Kc, which has no floating point.
LIBC = musl
CROSS_COMPILE = mips-linux-gnu-
BOARD_CPU = -march=24kc -msoft-float
# Half-length instructions, but for the arithmetic of handshakes.
BOARD_CFLAGS = -mips16
BOARD_FAST = -mno-mips16
# The compiler's own library is for a processor with floating point, of which the linker warns once
# for each of its parts. We take nothing but its integer division.
BOARD_LDFLAGS = -Wl,--no-warn-mismatch
RUNNER = qemu-mips -cpu 24Kc
BUDGET_FLASH = 430080
BUDGET_RSS = 921600
BUDGET_STACK = 24576
# The emulator gives a socket's error the number that it has on this machine, not the board's.
UNIT_NOT = port_conformance
