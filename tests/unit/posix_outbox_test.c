/* The outbox on the port to Linux: its modes, and that no file in it counts but one that is its
 * owner's for sure. */
#include "posix/posix_outbox.h"
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct posix_outbox outbox;
static struct port_outbox port;
static struct port_user owner;
static uint64_t len;
static char dir[64];

static bool start(const char *group)
{
    memset(&outbox, 0, sizeof outbox);
    posix_outbox_port(&outbox, &port);
    snprintf(dir, sizeof dir, "build/posix_outbox.%ld", (long)getpid());
    (void)mkdir("build", 0777);
    enum err e = port.open(port.ctx, dir, group);
    CHECK_EQ(e, ERR_OK);
    return e == ERR_OK;
}

static void end(void)
{
    posix_outbox_close(&outbox);
    CHECK_EQ(rmdir(dir), 0);
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static const char *own_name(uint32_t number)
{
    static char name[32];
    snprintf(name, sizeof name, "%u.%u", (unsigned)getuid(), number);
    return name;
}

static void put(const char *name, const char *text)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0640);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static bool exists(const char *name)
{
    struct stat st;
    return lstat(path_of(name), &st) == 0;
}

static void make_old(const char *name)
{
    struct timespec times[2] = {{.tv_sec = time(NULL) - 7200}, {.tv_sec = time(NULL) - 7200}};
    CHECK_EQ(utimensat(AT_FDCWD, path_of(name), times, AT_SYMLINK_NOFOLLOW), 0);
}

static uint32_t num_again; /* pieces that had none */

static enum err take(bool (*may)(const void *arg, uint32_t uid, uint64_t mark))
{
    enum err e;
    while ((e = port.take(port.ctx, may, NULL, &owner, &len)) == ERR_AGAIN) {
        num_again++;
    }
    return e;
}

static void modes_are_as_stated(void)
{
    struct stat st;
    char group[16];
    if (!start("")) {
        return;
    }
    CHECK_EQ(stat(dir, &st), 0);
    CHECK_EQ(st.st_mode & 07777, 03733);
    snprintf(group, sizeof group, "%u", (unsigned)getgid());
    CHECK_EQ(port.open(port.ctx, dir, group), ERR_OK);
    CHECK_EQ(stat(dir, &st), 0);
    CHECK_EQ(st.st_mode & 07777, 01730);
    CHECK_EQ(port.open(port.ctx, dir, "no such group"), ERR_MALFORMED);
    CHECK_EQ(port.open(port.ctx, "/nonexistent/outbox", ""), ERR_ABSENT);
    end();
}

/* Another user, and what has one of these marks. */
static bool lets_another(const void *arg, uint32_t uid, uint64_t mark)
{
    (void)arg;
    return uid != getuid() || mark == 0xabc || mark == UINT64_C(0xfedcba9876543210);
}

static void files_are_taken_and_removed(void)
{
    uint8_t bytes[8];
    size_t got;
    if (!start("")) {
        return;
    }
    CHECK_EQ(take(NULL), ERR_EOF);
    put(own_name(7), "12345");
    CHECK_EQ(take(NULL), ERR_OK);
    CHECK_EQ(owner.uid, getuid());
    CHECK_EQ(len, 5);
    CHECK_EQ(port.take(port.ctx, NULL, NULL, &owner, &len), ERR_WRONG_STATE);
    CHECK_EQ(port.read(port.ctx, &got, bytes, 3), ERR_OK);
    CHECK_TEXT(slice_make(bytes, got), "123");
    CHECK_EQ(port.read(port.ctx, &got, bytes, 2), ERR_OK);
    CHECK_TEXT(slice_make(bytes, got), "45");
    CHECK_EQ(port.read(port.ctx, &got, bytes, 1), ERR_MALFORMED);
    CHECK_EQ(port.end(port.ctx, false), ERR_OK);
    CHECK(exists(own_name(7)));
    CHECK_EQ(take(NULL), ERR_EOF);
    CHECK_EQ(take(lets_another), ERR_EOF);
    CHECK(exists(own_name(7)));
    CHECK_EQ(take(NULL), ERR_OK);
    CHECK_EQ(port.end(port.ctx, true), ERR_OK);
    CHECK(!exists(own_name(7)));
    end();
}

/* One that was left comes again only when there is no other; a mark takes one in front once. */
static void others_come_before_what_was_left(void)
{
    char marked[64];
    if (!start("")) {
        return;
    }
    put(own_name(1), "1");
    put(own_name(2), "22");
    snprintf(marked, sizeof marked, "%s.0000000000000abc", own_name(3));
    put(marked, "333");
    CHECK_EQ(take(NULL), ERR_OK);
    CHECK_EQ(len, 3);
    CHECK_EQ(port.end(port.ctx, false), ERR_OK);
    for (int round = 0; round < 2; round++) {
        uint64_t seen = 0;
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(take(NULL), ERR_OK);
            seen |= UINT64_C(1) << len;
            CHECK_EQ(port.end(port.ctx, false), ERR_OK);
        }
        CHECK_EQ(seen, 2 + 4 + 8);
        CHECK_EQ(take(NULL), ERR_EOF);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(take(NULL), ERR_OK);
        CHECK_EQ(port.end(port.ctx, true), ERR_OK);
    }
    CHECK_EQ(take(NULL), ERR_EOF);
    end();
}

/* One that its owner takes away is gone, whatever stands in its place. */
static void owners_may_take_theirs_away(void)
{
    struct stat st;
    if (!start("")) {
        return;
    }
    for (int i = 0; i < 4; i++) {
        put(own_name(1), "1");
        CHECK_EQ(port.open(port.ctx, dir, ""), ERR_OK); /* begins anew */
        CHECK_EQ(take(NULL), ERR_OK);
        CHECK_EQ(rename(path_of(own_name(1)), "build/posix_outbox_away"), 0);
        if (i == 1) {
            CHECK_EQ(mkdir(path_of(own_name(1)), 0700), 0);
        } else if (i == 2) {
            put(own_name(1), "another");
        } else if (i == 3) {
            CHECK_EQ(port.mark(port.ctx, 1), ERR_MALFORMED);
        }
        CHECK_EQ(port.end(port.ctx, true), ERR_OK);
        CHECK_EQ(exists(own_name(1)), i == 1 || i == 2);
        CHECK_EQ(unlink("build/posix_outbox_away"), 0);
        if (lstat(path_of(own_name(1)), &st) == 0) {
            CHECK_EQ(remove(path_of(own_name(1))), 0);
        }
    }
    CHECK_EQ(take(NULL), ERR_EOF);
    end();
}

/* Everything that is not surely somebody's goes, what may become so is left while it is new. */
static void other_files_do_not_count(void)
{
    static const char *const names[] = {"message",      "0",     "0.",   ".0", "00.1x",
                                        "4294967295.1", "0.100", "1.2.3"};
    char other[32];
    if (!start("")) {
        return;
    }
    snprintf(other, sizeof other, "%u.1", (unsigned)getuid() + 1);
    put(other, "not that user's");
    CHECK_EQ(symlink("/etc/passwd", path_of(own_name(1))), 0);
    CHECK_EQ(mkfifo(path_of(own_name(2)), 0600), 0);
    CHECK_EQ(mkdir(path_of(own_name(3)), 0700), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        put(names[i], "x");
        make_old(names[i]);
    }
    put(".4711.0", "being written");
    put(own_name(4), "has two names");
    CHECK_EQ(link(path_of(own_name(4)), "build/posix_outbox_link"), 0);
    CHECK_EQ(take(NULL), ERR_EOF);
    CHECK(!exists(other));
    for (uint32_t i = 1; i <= 3; i++) {
        CHECK(!exists(own_name(i)));
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        CHECK(!exists(names[i]));
    }
    CHECK(exists(".4711.0"));
    CHECK(exists(own_name(4)));
    make_old(".4711.0");
    make_old(own_name(4));
    CHECK_EQ(take(NULL), ERR_EOF);
    CHECK(!exists(".4711.0"));
    CHECK(!exists(own_name(4)));
    CHECK_EQ(unlink("build/posix_outbox_link"), 0);
    end();
}

/* One that is marked at the start is taken first, if it may be, and can be marked anew. A mark is
 * no way around that. */
static void marks_stay(void)
{
    char first[64], second[64], forged[64];
    if (!start("")) {
        return;
    }
    put(own_name(1), "1");
    put(own_name(2), "22");
    put(own_name(3), "333");
    snprintf(first, sizeof first, "%s.0000000000000abc", own_name(2));
    snprintf(forged, sizeof forged, "%s.0000000000000abd", own_name(4));
    put(forged, "4444");
    snprintf(second, sizeof second, "%s.fedcba9876543210", own_name(2));
    CHECK_EQ(rename(path_of(own_name(2)), "build/posix_outbox_away"), 0);
    CHECK_EQ(rename("build/posix_outbox_away", path_of(first)), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(take(lets_another), ERR_OK);
        CHECK_EQ(len, 2);
        CHECK_EQ(port.marked(port.ctx), i == 0 ? 0xabc : UINT64_C(0xfedcba9876543210));
        CHECK_EQ(port.mark(port.ctx, UINT64_C(0xfedcba9876543210)), ERR_OK);
        CHECK_EQ(port.marked(port.ctx), UINT64_C(0xfedcba9876543210));
        CHECK(exists(second) && !exists(first));
        CHECK_EQ(port.end(port.ctx, i == 1), ERR_OK);
    }
    CHECK(!exists(second));
    CHECK_EQ(take(lets_another), ERR_EOF);
    for (int i = 0; i < 3; i++) { /* from here on in any order */
        CHECK_EQ(take(NULL), ERR_OK);
        CHECK_EQ(port.marked(port.ctx), len == 4 ? 0xabd : 0);
        CHECK_EQ(port.end(port.ctx, true), ERR_OK);
    }
    end();
}

/* However many there are, a piece of them at a time is looked at, and all in the end. */
static void many_are_looked_at_in_pieces(void)
{
    char name[32];
    if (!start("")) {
        return;
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, ".junk.%d", i);
        put(name, "");
        if (i % 300 == 0) {
            put(own_name((uint32_t)i / 300), "x");
        }
    }
    num_again = 0;
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(take(NULL), ERR_OK);
        CHECK_EQ(port.end(port.ctx, true), ERR_OK);
    }
    CHECK_EQ(take(NULL), ERR_EOF);
    CHECK(num_again > 4 && num_again < 50);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, ".junk.%d", i);
        make_old(name);
    }
    CHECK_EQ(take(NULL), ERR_EOF);
    end();
}

static const struct test_case cases[] = {
    {"many_are_looked_at_in_pieces", many_are_looked_at_in_pieces},
    {"modes_are_as_stated", modes_are_as_stated},
    {"files_are_taken_and_removed", files_are_taken_and_removed},
    {"other_files_do_not_count", other_files_do_not_count},
    {"marks_stay", marks_stay},
    {"others_come_before_what_was_left", others_come_before_what_was_left},
    {"owners_may_take_theirs_away", owners_may_take_theirs_away},
};

TEST_MAIN(cases)
