/* A list of system calls as a filter: see posix_seccomp.h. The kernel's headers are not part of
 * every C library, so what is needed of them stands here. */
#include "posix_seccomp.h"

#include "posix_sanitized.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/audit.h. Processors on which the list has been held against what the program calls. */
#if defined(__x86_64__)
#define ARCH 0xc000003eu
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define ARCH 0xc00000b7u
#elif defined(__i386__) && !defined(__GLIBC__) /* which has one call for all about sockets */
#define ARCH 0x40000003u
#elif defined(__arm__) && defined(__ARMEL__)
#define ARCH 0x40000028u
#elif defined(__mips__) && defined(_ABIO32) && defined(__MIPSEB__)
#define ARCH 0x00000008u
#endif

#if defined(POSIX_SANITIZED) || !defined(__NR_seccomp)
#undef ARCH
#endif

#ifdef ARCH

/* linux/seccomp.h: an operation, a flag, what a filter returns, what it is given. */
#define SET_MODE_FILTER 1
#define FLAG_TSYNC      1
#define RET_KILL        0x80000000u
#define RET_ERRNO       0x00050000u
#define RET_ALLOW       0x7fff0000u
#define OFFSET_NUMBER   0
#define OFFSET_ARCH     4
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define OFFSET_ARG(i) (16 + 8 * (i) + 4)
#else
#define OFFSET_ARG(i) (16 + 8 * (i))
#endif

/* linux/filter.h, linux/bpf_common.h */
struct instruction {
    uint16_t code;
    uint8_t if_true, if_false; /* instructions to skip */
    uint32_t k;
};

struct program {
    uint16_t len;
    struct instruction *instructions;
};

#define LOAD    0x20 /* the word at k */
#define IF_SAME 0x15 /* as k */
#define IF_BITS 0x45 /* any of k is set */
#define AND     0x54
#define RETURN  0x06

/* The number of mips o32 begin at 4000, ARM has a few of its own that nobody here makes. */
typedef uint16_t call_number;

static const call_number deadly[] = {
    __NR_execve,
    __NR_ptrace,
    __NR_process_vm_readv,
    __NR_process_vm_writev,
    __NR_mount,
    __NR_umount2,
    __NR_pivot_root,
    __NR_chroot,
    __NR_unshare,
    __NR_setns,
    __NR_init_module,
    __NR_delete_module,
    __NR_reboot,
    __NR_kexec_load,
    __NR_personality,
    __NR_add_key,
    __NR_keyctl,
    __NR_perf_event_open,
    __NR_setuid,
    __NR_setresuid,
    __NR_setgroups,
    __NR_acct,
    __NR_swapon,
#ifdef __NR_execveat
    __NR_execveat,
#endif
#ifdef __NR_bpf
    __NR_bpf,
#endif
#ifdef __NR_userfaultfd
    __NR_userfaultfd,
#endif
#ifdef __NR_io_uring_setup
    __NR_io_uring_setup,
#endif
};

/* What is called most often comes first: without a cache of the kernel's each call is looked for
 * from the begin. */
static const call_number allowed[] = {
    /* Readiness, sockets */
    __NR_futex,
    __NR_read,
    __NR_write,
    __NR_recvfrom,
    __NR_sendto,
    __NR_epoll_ctl,
    __NR_epoll_pwait,
#ifdef __NR_epoll_wait
    __NR_epoll_wait,
    __NR_poll,
#endif
#ifdef __NR_clock_gettime64
    __NR_clock_gettime64,
    __NR_futex_time64,
    __NR_ppoll_time64,
    __NR_clock_nanosleep_time64,
    __NR_clock_adjtime64,
#endif
#ifdef __NR_clock_gettime32
    __NR_clock_gettime32,
    __NR_gettimeofday_time32,
    __NR_clock_nanosleep_time32,
#else
    __NR_clock_gettime, __NR_gettimeofday, __NR_clock_nanosleep,
#endif
#ifdef __NR_recv
    __NR_recv,
    __NR_send,
#endif
    __NR_accept4,
    __NR_close,
    __NR_setsockopt,
    __NR_getsockopt,
    __NR_getsockname,
    __NR_getpeername,
    __NR_shutdown,
    __NR_bind,
    __NR_listen,
    __NR_ppoll,
    __NR_sendmsg,
/* Files */
#ifdef __NR_pread64
    __NR_pread64,
    __NR_pwrite64,
#endif
#ifdef __NR_fadvise64_64
    __NR_fadvise64_64,
#elif defined(__NR_arm_fadvise64_64)
    __NR_arm_fadvise64_64,
#else
    __NR_fadvise64,
#endif
    __NR_fdatasync,
    __NR_fsync,
    __NR_openat,
    __NR_lseek,
    __NR_getdents64,
    __NR_readv,
    __NR_writev,
    __NR_ftruncate,
#ifdef __NR_open
    __NR_open,
    __NR_unlink,
    __NR_rename,
    __NR_mkdir,
    __NR_rmdir,
    __NR_stat,
    __NR_lstat,
    __NR_access,
    __NR_readlink,
    __NR_chmod,
    __NR_lchown,
#endif
#ifdef __NR_newfstatat
    __NR_newfstatat,
#endif
#ifdef __NR_fstat
    __NR_fstat,
    __NR_fstatfs,
    __NR_fcntl,
#endif
#ifdef __NR_fstat64
    __NR__llseek,
    __NR_fstat64,
    __NR_stat64,
    __NR_lstat64,
    __NR_fstatat64,
    __NR_fstatfs64,
    __NR_fcntl64,
    __NR_ftruncate64,
#endif
#ifdef __NR_statx
    __NR_statx,
#endif
#ifdef __NR_renameat
    __NR_renameat,
#endif
#ifdef __NR_renameat2
    __NR_renameat2,
#endif
#ifdef __NR_faccessat2
    __NR_faccessat2,
#endif
    __NR_unlinkat,
    __NR_mkdirat,
    __NR_readlinkat,
    __NR_faccessat,
    __NR_fchmod,
    __NR_fchmodat,
    __NR_fchown,
    __NR_fchownat,
    __NR_flock,
#ifdef __NR_fchown32
    __NR_fchown32,
    __NR_lchown32,
#endif
    /* Memory, threads, signals, the end */
    __NR_brk,
    __NR_munmap,
    __NR_mremap,
    __NR_madvise,
    __NR_rt_sigprocmask,
    __NR_rt_sigaction,
    __NR_rt_sigreturn,
    __NR_restart_syscall,
    __NR_sched_yield,
    __NR_nanosleep,
    __NR_getrandom,
    __NR_adjtimex,
    __NR_clock_adjtime,
    __NR_getpid,
    __NR_gettid,
    __NR_tgkill,
    __NR_tkill,
    __NR_geteuid,
    __NR_getuid,
    __NR_getegid,
    __NR_getgid,
    __NR_set_robust_list,
    __NR_exit,
    __NR_exit_group,
    __NR_capset, /* the second thread gives its own up, maybe later than this */
#ifdef __NR_geteuid32
    __NR_geteuid32,
    __NR_getuid32,
    __NR_getegid32,
    __NR_getgid32,
#endif
#ifdef __NR_sigreturn
    __NR_sigreturn,
#endif
#ifdef __NR_rseq
    __NR_rseq,
#endif
#ifdef __NR_membarrier
    __NR_membarrier,
#endif
#ifdef __NR_time
    __NR_time,
#endif
};

#define NUM(list)  (sizeof(list) / sizeof(list)[0])
#define OTHERS_MAX 40
/* Every jump goes ahead, and its distance is a byte. */
_Static_assert(NUM(deadly) + NUM(allowed) + OTHERS_MAX < 256, "the filter is too long");

#define CODE_MAX (NUM(deadly) + NUM(allowed) + OTHERS_MAX)

struct filter {
    struct instruction code[CODE_MAX];
    uint16_t len;
};

static void add(struct filter *f, uint16_t code, unsigned if_true, unsigned if_false, uint32_t k)
{
    if (f->len < CODE_MAX) {
        f->code[f->len] = (struct instruction){code, (uint8_t)if_true, (uint8_t)if_false, k};
    }
    f->len++;
}

/* A list's numbers, each a jump to the return behind the last; nothing of it: over that. */
static void add_list(struct filter *f, const call_number *list, size_t num, uint32_t result)
{
    for (size_t i = 0; i < num; i++) {
        add(f, IF_SAME, (unsigned)(num - 1 - i), i + 1 == num, list[i]);
    }
    add(f, RETURN, 0, 0, result);
}

/* number is let through unless one of the bits is set in that argument. */
static void add_without_bits(struct filter *f, uint32_t number, unsigned arg, uint32_t bits)
{
    add(f, IF_SAME, 0, 4, number);
    add(f, LOAD, 0, 0, (uint32_t)OFFSET_ARG(arg));
    add(f, IF_BITS, 0, 1, bits);
    add(f, RETURN, 0, 0, RET_ERRNO | EPERM);
    add(f, RETURN, 0, 0, RET_ALLOW);
}

/* Sockets of this machine, streams, and datagrams if a resolver needs them: nothing raw. */
static void add_socket(struct filter *f, bool datagram)
{
    add(f, IF_SAME, 0, 10, __NR_socket);
    add(f, LOAD, 0, 0, OFFSET_ARG(0));
    add(f, IF_SAME, 7, 0, AF_UNIX);
    add(f, IF_SAME, 1, 0, AF_INET);
    add(f, IF_SAME, 0, 4, AF_INET6);
    add(f, LOAD, 0, 0, OFFSET_ARG(1));
    add(f, AND, 0, 0, 0xf);
    add(f, IF_SAME, 2, 0, SOCK_STREAM);
    add(f, IF_SAME, 1, 0, datagram ? SOCK_DGRAM : SOCK_STREAM);
    add(f, RETURN, 0, 0, RET_ERRNO | EPERM);
    add(f, RETURN, 0, 0, RET_ALLOW);
}

/* An i386 kernel before 4.3 has the call for all about sockets alone. */
static bool knows_calls(void)
{
#ifdef __i386__
    return syscall(__NR_socket, -1, 0, 0) != -1 || errno != ENOSYS;
#else
    return true;
#endif
}

bool posix_seccomp_enter(const struct posix_seccomp_needs *needs)
{
    struct filter f;
    f.len = 0;
    add(&f, LOAD, 0, 0, OFFSET_ARCH);
    add(&f, IF_SAME, 1, 0, ARCH);
    add(&f, RETURN, 0, 0, RET_KILL);
    add(&f, LOAD, 0, 0, OFFSET_NUMBER);
    if (needs->connect) {
        add(&f, IF_SAME, 0, 1, __NR_connect);
        add(&f, RETURN, 0, 0, RET_ALLOW);
    }
    add_list(&f, allowed, NUM(allowed), RET_ALLOW);
    add_list(&f, deadly, NUM(deadly), RET_KILL);
    add_without_bits(&f, __NR_mprotect, 2, PROT_EXEC);
#if defined(__NR_mmap) && !defined(__i386__) /* which has its arguments in memory there */
    add_without_bits(&f, __NR_mmap, 2, PROT_EXEC);
#endif
#ifdef __NR_mmap2
    add_without_bits(&f, __NR_mmap2, 2, PROT_EXEC);
#endif
    add_socket(&f, needs->datagram);
    add(&f, IF_SAME, 0, 1, __NR_connect);
    add(&f, RETURN, 0, 0, RET_ERRNO | EACCES);
    add(&f, RETURN, 0, 0, RET_ERRNO | ENOSYS);
    const struct program program = {f.len, f.code};
    return f.len <= CODE_MAX && knows_calls() &&
           syscall(__NR_seccomp, SET_MODE_FILTER, FLAG_TSYNC, &program) == 0;
}

#else

bool posix_seccomp_enter(const struct posix_seccomp_needs *needs)
{
    (void)needs;
    return false;
}

#endif
