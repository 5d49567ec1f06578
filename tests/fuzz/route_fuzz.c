/* Recipients of strangers: whatever the path, mail goes to users of ours, to what the owner's
 * aliases say, or to the domain named, which is ours or one that we are a backup for, and then
 * under no name that another server could take for an address. */
#include "route.h"

#include "fuzz.h"

static const char options[] = "primary_hostname = mx.example\n"
                              "local_domains = @ : here.example : store.example\n"
                              "relay_to_domains = backup.example : *.sub.example\n"
                              "route_list = store.example lmtp:/s ; * mx\n";
static const char aliases[] = "list: ann, far@elsewhere.example\npostmaster: ann\n";

static struct conf conf;

static void read_conf(void)
{
    static uint8_t memory[CONF_MEMORY_LEN], error_bytes[CONF_ERRORS_CAP];
    struct conf_env env = {"fuzz", SLICE_LITERAL("mx.example")};
    struct arena arena = {memory, sizeof memory, 0};
    struct buf errors = buf_make(error_bytes, sizeof error_bytes);
    MUST(conf_read(&conf, &arena, slice_of_string(options), &env, &errors) == ERR_OK);
    MUST(conf_read_aliases(&conf, &arena, slice_of_string(aliases), &errors) == ERR_OK);
}

static bool may_receive(struct slice domain)
{
    return domainlist_match(&conf.local_domains, domain) ||
           domainlist_match(&conf.relay_to_domains, domain);
}

static void look_at(const struct address *recipient, const struct route_target *target)
{
    struct address a;
    if (slice_equal(target->address, SLICE_LITERAL("far@elsewhere.example")) ||
        slice_equal(target->user, SLICE_LITERAL("postmaster"))) {
        return;
    }
    MUST(target->user.len == 0); /* there are no users here */
    MUST(address_parse(target->address, &a) == ADDRESS_OK);
    MUST(slice_equal(a.domain, recipient->domain) || recipient->domain.len == 0);
    MUST(may_receive(a.domain) || recipient->domain.len == 0);
    for (size_t i = 0; i < a.local.len; i++) {
        MUST(memchr("%!@", a.local.ptr[i], 3) == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t room[ROUTE_ROOM_LEN];
    struct slice in = slice_make(data, len);
    struct address a, again;
    struct route_result r;
    if (conf.primary_hostname.len == 0) {
        read_conf();
    }
    if (address_take_path(&in, &a) != ADDRESS_OK) {
        return 0;
    }
    enum route_verdict verdict = route_address(&conf, &a, false, buf_make(room, sizeof room), &r);
    bool is_taken = verdict == ROUTE_LOCAL || verdict == ROUTE_REMOTE;
    MUST(is_taken == (r.num_targets != 0));
    for (uint32_t i = 0; i < r.num_targets; i++) {
        look_at(&a, &r.targets[i]);
    }
    /* Who may relay gets an address out as it came in. */
    verdict = route_address(&conf, &a, true, buf_make(room, sizeof room), &r);
    if (a.domain.len != 0) {
        MUST(verdict == ROUTE_LOCAL || verdict == ROUTE_REMOTE || verdict == ROUTE_UNKNOWN_USER);
    }
    if (verdict == ROUTE_REMOTE) {
        MUST(r.num_targets == 1 && slice_equal(r.targets[0].address, a.text));
    }
    /* A local part that is put together again means the same. */
    uint8_t memory[ADDRESS_LOCAL_MAX], more[ADDRESS_LOCAL_MAX], whole[3 * ADDRESS_MAX];
    struct buf local = buf_make(memory, sizeof memory), local_again = buf_make(more, sizeof more);
    struct buf text = buf_make(whole, sizeof whole);
    if (a.domain.len != 0 && address_put_local(&local, &a)) {
        MUST(address_put(&text, buf_slice(&local), a.domain));
        enum address_result result = address_parse(buf_slice(&text), &again);
        MUST(result != ADDRESS_MALFORMED);
        if (result == ADDRESS_OK) {
            MUST(address_put_local(&local_again, &again));
            MUST(slice_equal(buf_slice(&local), buf_slice(&local_again)));
        }
    }
    return 0;
}
