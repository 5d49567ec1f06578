/* Runs a program, and each of its threads, on a stack of exactly STACK_BUDGET bytes: nothing is
 * mapped below it, so that one byte more ends the program, and it is painted, so that the most that
 * was ever used of it can be told.
 *
 * Linked into test programs and into postern-stack by --wrap (Makefile); the program that is
 * shipped has none of it. With STACK_DIR in the environment each process leaves a file there when
 * it exits: bytes used by main, by the thread that used most, of how many, and who;
 * tests/stack/most reads them. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Main's, and those of threads that run at once. */
#define NUM_STACKS 4
#define PAINT      0xa5
#define REPORT_LEN 256

struct stack {
    atomic_flag taken;
    uint8_t *low;
    void (*run)(struct stack *);
    void *(*thread)(void *);
    void *ctx, *result;
};

static struct stack stacks[NUM_STACKS];
static char *report; /* shared with the file in STACK_DIR; NULL without */
static char **main_argv;
static int main_argc, main_status;

/* The linker puts the program's own names in for these. */
int __real_main(int argc, char **argv);
int __real_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*run)(void *),
                          void *ctx);
int __wrap_main(int argc, char **argv);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*run)(void *),
                          void *ctx);

static void die(const char *why)
{
    fprintf(stderr, "stack: %s\n", why);
    abort();
}

/* Calls s->run(s) with the stack pointer at top, which is aligned to 16 bytes. */
#if defined __mips__
#define PLAIN_CODE __attribute__((noinline, nomips16))
#else
#define PLAIN_CODE __attribute__((noinline))
#endif
static PLAIN_CODE void call_on(uint8_t *top, struct stack *s)
{
    void (*run)(struct stack *) = s->run;
#if defined __x86_64__
    __asm__ volatile(
        "mov %%rsp, %%rbx\n\tmov %0, %%rsp\n\tmov %2, %%rdi\n\tcall *%1\n\tmov %%rbx, %%rsp"
        :
        : "r"(top), "r"(run), "r"(s)
        : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc", "memory");
#elif defined __i386__
    top -= 16;
    memcpy(top, &s, sizeof s);
    __asm__ volatile("mov %%esp, %%esi\n\tmov %0, %%esp\n\tcall *%1\n\tmov %%esi, %%esp"
                     :
                     : "r"(top), "D"(run)
                     : "eax", "ecx", "edx", "esi", "cc", "memory");
#elif defined __aarch64__
    __asm__ volatile("mov x19, sp\n\tmov x0, %2\n\tmov sp, %0\n\tblr %1\n\tmov sp, x19"
                     :
                     : "r"(top), "r"(run), "r"(s)
                     : "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11",
                       "x12", "x13", "x14", "x15", "x16", "x17", "x18", "x19", "x30", "cc",
                       "memory");
#elif defined __arm__
    __asm__ volatile("mov r4, sp\n\tmov r0, %2\n\tmov sp, %0\n\tblx %1\n\tmov sp, r4"
                     :
                     : "r"(top), "r"(run), "r"(s)
                     : "r0", "r1", "r2", "r3", "r4", "r12", "lr", "cc", "memory");
#elif defined __mips__
    top -= 16; /* where the called may keep its arguments */
    __asm__ volatile(
        "move $16, $29\n\tmove $4, %2\n\tmove $25, %1\n\tmove $29, %0\n\tjalr $25\n\tmove $29, $16"
        :
        : "r"(top), "r"(run), "r"(s)
        : "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15",
          "$16", "$24", "$25", "$31", "hi", "lo", "memory");
#else
    (void)top; /* an unknown processor: on the stack that there is */
    run(s);
#endif
}

static size_t used_of(const struct stack *s)
{
    size_t unused = 0;
    while (unused < STACK_BUDGET && s->low[unused] == PAINT) {
        unused++;
    }
    return STACK_BUDGET - unused;
}

static void write_report(void)
{
    size_t used[NUM_STACKS], most = 0;
    for (size_t i = 0; i < NUM_STACKS; i++) {
        used[i] = used_of(&stacks[i]);
        most = i > 0 && used[i] > most ? used[i] : most;
    }
    char *name = strrchr(main_argv[0], '/');
    snprintf(report, REPORT_LEN, "%zu %zu %zu %.99s %.60s\n", used[0], most, (size_t)STACK_BUDGET,
             name != NULL ? name + 1 : main_argv[0], main_argc > 1 ? main_argv[1] : "");
}

/* Opened at once, as the program may give up the right to open it. Another user, who cannot, leaves
 * none. */
static void open_report(const char *dir)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%ld", dir, (long)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return;
    }
    void *at = MAP_FAILED;
    if (ftruncate(fd, REPORT_LEN) == 0) {
        at = mmap(NULL, REPORT_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    close(fd);
    if (at != MAP_FAILED) {
        report = at;
        atexit(write_report);
    }
}

static void map_stacks(void)
{
    size_t guard_len = (size_t)sysconf(_SC_PAGESIZE);
    size_t len = guard_len + (STACK_BUDGET + guard_len - 1) / guard_len * guard_len;
    uint8_t *at = mmap(NULL, NUM_STACKS * len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        die("no memory");
    }
    for (size_t i = 0; i < NUM_STACKS; i++) {
        stacks[i].low = at + i * len + guard_len;
        if (mprotect(stacks[i].low, len - guard_len, PROT_READ | PROT_WRITE) != 0) {
            die("no memory");
        }
        memset(stacks[i].low, PAINT, STACK_BUDGET);
    }
}

static void run_main(struct stack *s)
{
    (void)s;
    main_status = __real_main(main_argc, main_argv);
}

int __wrap_main(int argc, char **argv)
{
    main_argc = argc;
    main_argv = argv;
    map_stacks();
    const char *dir = getenv("STACK_DIR");
    if (dir != NULL) {
        open_report(dir);
    }
    atomic_flag_test_and_set(&stacks[0].taken);
    stacks[0].run = run_main;
    call_on(stacks[0].low + STACK_BUDGET, &stacks[0]);
    return main_status;
}

static void run_thread(struct stack *s)
{
    s->result = s->thread(s->ctx);
}

static void *thread_main(void *ctx)
{
    struct stack *s = ctx;
    call_on(s->low + STACK_BUDGET, s);
    void *result = s->result;
    atomic_flag_clear(&s->taken);
    return result;
}

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*run)(void *),
                          void *ctx)
{
    for (size_t i = 0; i < NUM_STACKS; i++) {
        if (!atomic_flag_test_and_set(&stacks[i].taken)) {
            stacks[i].run = run_thread;
            stacks[i].thread = run;
            stacks[i].ctx = ctx;
            return __real_pthread_create(out, attr, thread_main, &stacks[i]);
        }
    }
    die("more threads at once than there are stacks");
    return -1;
}
