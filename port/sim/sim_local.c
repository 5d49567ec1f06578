/* Local connections of the simulated network, which have a path and two users instead of two
 * addresses: see sim_net.h. What a dead server leaves at its path is not simulated. */
#include "sim_net_inside.h"

static const struct net_addr nowhere = {.family = NET_NONE};
static const struct port_user root = {0, "root"}, server = {SIM_UID, "postern"};

/* h is NULL: the test's only. */
static struct sim_listener *find(const struct sim_world *w, const struct sim_host *h,
                                 const char *path)
{
    for (struct sim_listener *l = sim_net_listeners(w); l != NULL; l = l->next) {
        if (l->path != NULL && (l->host == NULL || l->host == h) && strcmp(l->path, path) == 0) {
            return l;
        }
    }
    return NULL;
}

static bool may_connect(const struct sim_listener *l, const struct port_user *user)
{
    return l->access == PORT_EVERYBODY || user->uid == 0 || user->uid == SIM_UID ||
           (l->access == PORT_GROUP && strcmp(user->name, l->group) == 0);
}

static void connect_as(struct sim_client *near, const struct sim_listener *l,
                       const struct port_user *user)
{
    near->is_local = true;
    near->peer->is_local = true;
    near->peer_user = l->host != NULL ? server : root;
    near->peer->peer_user = *user;
}

enum err sim_local_listen(void *ctx, uint32_t *out_handle, const struct port_local *at)
{
    struct sim_host *h = ctx;
    if (strlen(at->path) > PORT_LOCAL_PATH_MAX) {
        return ERR_TOO_BIG;
    }
    if (find(h->world, h, at->path) != NULL) {
        return ERR_IN_USE;
    }
    uint32_t handle = sim_net_take_handle(h);
    if (handle == 0) {
        return ERR_NO_HANDLE;
    }
    struct sim_listener *l = sim_net_add_listener(h->world, h, &nowhere);
    l->path = sim_copy_string(at->path);
    l->group = at->access == PORT_GROUP ? sim_copy_string(at->group) : NULL;
    l->access = at->access;
    h->net->slots[handle - 1].listener = l;
    *out_handle = handle;
    return ERR_OK;
}

enum err sim_local_connect(void *ctx, uint32_t *out_handle, const char *path)
{
    struct sim_host *h = ctx;
    if (strlen(path) > PORT_LOCAL_PATH_MAX) {
        return ERR_TOO_BIG;
    }
    struct sim_listener *l = find(h->world, h, path);
    if (l == NULL) {
        return ERR_ABSENT;
    }
    uint32_t handle = sim_net_take_handle(h);
    if (handle == 0) {
        return ERR_NO_HANDLE;
    }
    struct sim_client *end = sim_net_connect_to(h->world, l, &nowhere, &nowhere);
    connect_as(end, l, &server);
    h->net->slots[handle - 1].end = end;
    *out_handle = handle;
    return ERR_OK;
}

enum err sim_local_peer_user(void *ctx, struct port_user *out, uint32_t handle)
{
    const struct sim_net_slot *s = sim_net_slot_of(ctx, handle);
    if (s == NULL || s->end == NULL || !s->end->is_local) {
        return ERR_UNSUPPORTED;
    }
    *out = s->end->peer_user;
    return ERR_OK;
}

struct sim_client *sim_connect_local(struct sim_host *h, const char *path,
                                     const struct port_user *user)
{
    struct sim_listener *l = find(h->world, h, path);
    if (l == NULL || !may_connect(l, user)) {
        return NULL;
    }
    struct sim_client *end = sim_net_connect_to(h->world, l, &nowhere, &nowhere);
    connect_as(end, l, user);
    return end;
}

void sim_listen_local(struct sim_world *w, const char *path)
{
    struct sim_listener *l = sim_net_add_listener(w, NULL, &nowhere);
    l->path = sim_copy_string(path);
    l->access = PORT_EVERYBODY;
}

struct sim_client *sim_accept_local(struct sim_world *w, const char *path)
{
    struct sim_listener *l = find(w, NULL, path);
    return l != NULL ? sim_net_take_waiting(w, l) : NULL;
}
