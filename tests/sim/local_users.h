/* Users of this machine in a simulated world: a site, and clients of its submit socket. Included by
 * the tests of what such users send. */
#ifndef POSTERN_LOCAL_USERS_H
#define POSTERN_LOCAL_USERS_H

#include "mta_inside.h"
#include "mta_site.h"

#define SOCKET "/run/submit"

static const struct port_user joe = {1000, "joe"}, ann = {1001, "ann"}, nameless = {1002, ""},
                              root = {0, "root"}, boss = {1003, "boss"};

static struct test_site site;

struct user {
    struct sim_client *peer;
    char text[4096];
    size_t len;
    bool ended;
};

static inline bool user_connect(struct user *u, const struct port_user *who)
{
    memset(u, 0, sizeof *u);
    u->peer = sim_connect_local(site.host, SOCKET, who);
    return u->peer != NULL;
}

/* Waits until a line of the reply begins with that text. */
static inline bool hears(struct user *u, const char *text)
{
    for (int i = 0; i < 300 && !u->ended; i++) {
        size_t len;
        enum err err;
        mta_step(site.mta);
        while ((err = sim_client_read(u->peer, &len, (uint8_t *)u->text + u->len,
                                      sizeof u->text - 1 - u->len)) == ERR_OK) {
            u->len += len;
            u->text[u->len] = '\0';
        }
        u->ended = err != ERR_AGAIN;
        if (strncmp(u->text, text, strlen(text)) == 0) {
            return true;
        }
    }
    fprintf(stderr, "no \"%s\" but:\n%s\n", text, u->text);
    return false;
}

static inline bool say(struct user *u, const char *line, const char *reply)
{
    u->len = 0;
    u->text[0] = '\0';
    CHECK_EQ(sim_client_write(u->peer, slice_of_string(line)), strlen(line));
    return hears(u, reply);
}

static inline bool greets(struct user *u, const struct port_user *who)
{
    return user_connect(u, who) && hears(u, "220 ") && say(u, "EHLO localhost\r\n", "250-");
}

#endif
