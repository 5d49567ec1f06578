/* The machine's two clocks: see posix_clock.h. */
#include "posix_clock.h"

#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

/* CLOCK_MONOTONIC, as that is what waiting counts; it stands still while the machine sleeps. */
static uint64_t clock_monotonic_ms(void *ctx)
{
    (void)ctx;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Linux: TIME_ERROR until something disciplines the clock (NTP, PTP), and again when it has
 * stopped. What else the kernel says is not looked at, so it need not become the C library's struct
 * timex. */
static bool ask_synchronised(void)
{
    _Alignas(8) uint8_t state[256] = {0}; /* more than any kernel's; nothing is to be changed */
    long result = -1;
#ifdef SYS_clock_adjtime64
    result = syscall(SYS_clock_adjtime64, CLOCK_REALTIME, state);
#endif
    if (result < 0) { /* before 5.1, or no need of it */
        result = syscall(SYS_adjtimex, state);
    }
    return result >= 0 && result != TIME_ERROR;
}

static int64_t clock_wall_s(void *ctx, bool *out_synchronised)
{
    struct posix_clock *c = ctx;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_s = (int64_t)now.tv_sec;
    if (now_s != c->asked_at_s) {
        c->asked_at_s = now_s;
        c->synchronised = ask_synchronised();
    }
    *out_synchronised = c->synchronised;
    return now_s;
}

void posix_clock_port(struct posix_clock *c, struct port_clock *out)
{
    *out = (struct port_clock){
        .ctx = c,
        .monotonic_ms = clock_monotonic_ms,
        .wall_s = clock_wall_s,
    };
}
