/* The ciphersuites: see tls_ciphers.h. */
#include "tls_ciphers.h"

#include "text.h"

#include <mbedtls/ssl_ciphersuites.h>

struct cipher {
    int id;
    bool is_13;
    const char *iana;
    const char *openssl;
};

/* In the default order: AES-128 is the fastest where there is an instruction for it and enough
 * everywhere; ECDSA before RSA, for its signatures cost the server far less. */
static const struct cipher ciphers[] = {
    {0x1301, true, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"},
    {0x1303, true, "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"},
    {0x1302, true, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"},
    {0xc02b, false, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {0xcca9, false, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
     "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {0xc02c, false, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {0xc02f, false, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
    {0xcca8, false, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
    {0xc030, false, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
};

#define NUM_CIPHERS (sizeof ciphers / sizeof ciphers[0])
_Static_assert(NUM_CIPHERS <= TLS_CIPHERS_MAX, "a list holds them all");

/* Whether the library was built with it. */
static bool is_there(const struct cipher *c)
{
    return mbedtls_ssl_ciphersuite_from_id(c->id) != NULL;
}

static void add(struct tls_ciphers *list, size_t *num, const struct cipher *c)
{
    for (size_t i = 0; i < *num; i++) {
        if (list->ids[i] == c->id) {
            return;
        }
    }
    list->ids[(*num)++] = c->id;
    list->ids[*num] = 0;
    list->has_12 = list->has_12 || !c->is_13;
    list->has_13 = list->has_13 || c->is_13;
}

static const struct cipher *find(struct slice name)
{
    for (size_t i = 0; i < NUM_CIPHERS; i++) {
        if (text_equal_nocase(name, slice_of_string(ciphers[i].iana)) ||
            text_equal_nocase(name, slice_of_string(ciphers[i].openssl))) {
            return &ciphers[i];
        }
    }
    return NULL;
}

static bool is_separator(uint8_t c)
{
    return c == ':' || c == ',' || c == ' ' || c == '\t';
}

/* The next name, without what separates names; empty at the end. */
static struct slice next_name(struct slice *text)
{
    while (text->len != 0 && is_separator(*text->ptr)) {
        slice_skip(text, 1);
    }
    size_t len = 0;
    while (len < text->len && !is_separator(text->ptr[len])) {
        len++;
    }
    struct slice name = {NULL, 0};
    (void)slice_take(text, len, &name);
    return name;
}

bool tls_ciphers_parse(struct slice text, struct tls_ciphers *out, struct slice *bad_name)
{
    size_t num = 0;
    struct slice name;
    memset(out, 0, sizeof *out);
    *bad_name = slice_make(NULL, 0);
    while (name = next_name(&text), name.len != 0) {
        const struct cipher *c = find(name);
        if (c == NULL || !is_there(c)) {
            *bad_name = name;
            return false;
        }
        add(out, &num, c);
    }
    if (num == 0) {
        for (size_t i = 0; i < NUM_CIPHERS; i++) {
            if (is_there(&ciphers[i])) {
                add(out, &num, &ciphers[i]);
            }
        }
    }
    return true;
}

const char *tls_cipher_name(int id)
{
    for (size_t i = 0; i < NUM_CIPHERS; i++) {
        if (ciphers[i].id == id) {
            return ciphers[i].iana;
        }
    }
    return "unknown";
}
