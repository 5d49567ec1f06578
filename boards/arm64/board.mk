# A small 64-bit ARM machine with a disk.
LIBC = musl
CROSS_COMPILE = aarch64-linux-gnu-
BUDGET_FLASH = 430080
BUDGET_RSS = 1048576
BUDGET_STACK = 32768
RUNNER = qemu-aarch64
OPENWRT_ARCH = aarch64_generic
