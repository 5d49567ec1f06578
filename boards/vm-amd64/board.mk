# A small x86-64 virtual machine: one static program, musl instead of glibc.
LIBC = musl
CROSS_COMPILE = x86_64-linux-gnu-
# musl knows no control-flow enforcement, so its landing marks, which some compilers put in unasked,
# do nothing but fill flash.
BOARD_CPU = -fcf-protection=none
# The stack protector's value in a variable, as 32-bit processors have it: 4 bytes less in each of 600
# functions than at its place in the thread's block.
BOARD_CFLAGS = -mstack-protector-guard=global
# A table to jump by has 8 bytes for each value of a switch; comparisons take less.
BOARD_CFLAGS += -fno-jump-tables
BUDGET_FLASH = 430080
BUDGET_RSS = 1048576
BUDGET_STACK = 32768
# Pools for 24 to 64 MiB of RAM in the whole machine: 7 MB in all, of which what is never used is not there.
BOARD_OPTIONS = -DBUDGET_CONNECTIONS=160 -DBUDGET_TRANSACTIONS=64 -DBUDGET_ENVELOPE_BLOCKS=512 \
    -DBUDGET_MESSAGES=4000 -DBUDGET_DELIVERIES=8 -DBUDGET_TLS_HEAP_LEN=1048576 -DBUDGET_TLS_SETS=4 \
    -DBUDGET_FILE_LEN=262144 -DBUDGET_LOGINS=16 -DBUDGET_RATES=256 -DBUDGET_REMOTE_CONNECTIONS=16 -DBUDGET_DESTINATIONS=64 \
    -DBOARD_MESSAGE_SIZE_LIMIT=8M -DBOARD_SPOOL_SIZE=32M -DBOARD_SMTP_ACCEPT_MAX=128 -DBOARD_TLS_MAX_HANDSHAKES=8
