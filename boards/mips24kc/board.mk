# A router with a big-endian MIPS 24Kc, which has no floating point.
LIBC = musl
CROSS_COMPILE = mips-linux-gnu-
# A static program calls its functions where they are, not through a table, as is the rule on MIPS.
BOARD_CPU = -march=24kc -msoft-float -mno-abicalls
# Half-length instructions, but for the arithmetic of handshakes.
BOARD_CFLAGS = -mips16
BOARD_FAST = -mno-mips16 -minterlink-compressed -fno-lto
# The compiler's own library is for a processor with floating point, of which the linker warns once
# for each of its parts. We take nothing but its integer division.
BOARD_LDFLAGS = -Wl,--no-warn-mismatch
RUNNER = qemu-mips -cpu 24Kc
BUDGET_FLASH = 430080
BUDGET_RSS = 921600
BUDGET_STACK = 24576
# The emulator gives a socket's error the number that it has on this machine, not the board's.
UNIT_NOT = port_conformance port_conformance_storage
# Pools for 16 to 32 MiB of RAM in the whole machine.
BOARD_OPTIONS = -DBUDGET_CONNECTIONS=48 -DBUDGET_TRANSACTIONS=24 -DBUDGET_ENVELOPE_BLOCKS=256 \
    -DBUDGET_MESSAGES=1000 -DBUDGET_SEGMENT_LEN=262144 -DBUDGET_DELIVERIES=4 -DBUDGET_TLS_HEAP_LEN=524288 -DBUDGET_TLS_SETS=2 \
    -DBUDGET_FILE_LEN=98304 -DBUDGET_LOGINS=8 -DBUDGET_RATES=128 -DBUDGET_REMOTE_CONNECTIONS=8 -DBUDGET_DESTINATIONS=32 \
    -DBOARD_MESSAGE_SIZE_LIMIT=4M -DBOARD_SPOOL_SIZE=16M -DBOARD_SMTP_ACCEPT_MAX=32 \
    -DBOARD_TLS_MAX_HANDSHAKES=4 -DBOARD_CLOCK_TRUSTED=auto
OPENWRT_ARCH = mips_24kc
