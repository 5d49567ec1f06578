# A small x86-64 virtual machine: one static program, musl instead of glibc.
LIBC = musl
CROSS_COMPILE = x86_64-linux-gnu-
# musl knows no control-flow enforcement, so its landing marks, which some compilers put in unasked,
# do nothing but fill flash.
BOARD_CPU = -fcf-protection=none
BUDGET_FLASH = 430080
BUDGET_RSS = 1048576
BUDGET_STACK = 32768
