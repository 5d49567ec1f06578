/* The texts of options, users and aliases: read or refused with a complaint, and what was read may
 * be looked at. */
#include "conf.h"

#include "fuzz.h"

static uint8_t memory[2 * CONF_MEMORY_LEN], error_bytes[CONF_ERRORS_CAP];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct conf_env env = {"fuzz.conf", {(const uint8_t *)"mx.example.org", 14}};
    static struct conf conf;
    struct arena arena = {memory, sizeof memory, 0};
    struct buf errors = buf_make(error_bytes, sizeof error_bytes);
    struct slice text = slice_make(data, len), user;
    enum err err = conf_read(&conf, &arena, text, &env, &errors);
    MUST((err == ERR_OK) == (errors.len == 0) && !errors.overflow);
    MUST(err == ERR_OK || arena.used == 0);
    for (size_t i = 0; i < errors.len; i++) {
        MUST(error_bytes[i] == '\n' || (error_bytes[i] >= ' ' && error_bytes[i] < 0x7f));
    }
    if (err != ERR_OK) {
        errors.len = 0;
        err = conf_read(&conf, &arena, SLICE_LITERAL("local_users = alice : bob\n"), &env, &errors);
        MUST(err == ERR_OK);
        err = conf_read_users(&conf, &arena, text, &errors);
        MUST(err == ERR_OK || errors.len > 0);
        err = conf_read_aliases(&conf, &arena, text, &errors);
        MUST(err == ERR_OK || errors.len > 0);
    }
    (void)conf_check(&conf, &env, &errors);
    (void)conf_find_user(&conf, text, &user);
    (void)domainlist_match(&conf.local_domains, text);
    return 0;
}
