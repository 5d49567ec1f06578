/* From the options to a loaded set: see ocsp_staple_files.h. */
#include "ocsp_staple_files.h"

#include "ocsp_check_signature.h"
#include "pem.h"

#include <mbedtls/platform_util.h>

static const char *const option_names[] = {
    [STAPLE_CERTIFICATE] = "tls_certificate",
    [STAPLE_KEY] = "tls_privatekey",
    [STAPLE_PROOF] = "tls_ocsp_file",
    [STAPLE_VERIFY] = "tls_verify_certificates",
};

/* --- Names --- */

static struct slice trimmed(struct slice text)
{
    while (text.len != 0 && text.ptr[0] == ' ') {
        slice_skip(&text, 1);
    }
    while (text.len != 0 && text.ptr[text.len - 1] == ' ') {
        text.len--;
    }
    return text;
}

/* The next item of a list; false at its end. An empty list has no items. */
static bool next_item(struct slice *list, bool *is_more, struct slice *out)
{
    if (!*is_more) {
        return false;
    }
    const uint8_t *colon = list->len != 0 ? memchr(list->ptr, ':', list->len) : NULL;
    size_t len = colon != NULL ? (size_t)(colon - list->ptr) : list->len;
    slice_take(list, len, out);
    *is_more = colon != NULL && slice_skip(list, 1);
    *out = trimmed(*out);
    return true;
}

static struct slice text_of(const char *option)
{
    return trimmed(slice_of_string(option != NULL ? option : ""));
}

static bool put_path(struct slice path, enum staple_file file, size_t pair,
                     struct staple_files *out, struct buf *errors)
{
    if (path.len >= STAPLE_PATH_CAP) {
        buf_put_string(errors, option_names[file]);
        buf_put_string(errors, " has a file name of more than 255 bytes\n");
        return false;
    }
    if (path.len != 0) {
        memcpy(out->paths[staple_index(file, pair)], path.ptr, path.len);
    }
    return true;
}

/* Puts the items of a list into their places; *out_num is how many there are. */
static bool split_list(const char *list, enum staple_file file, struct staple_files *out,
                       uint32_t *out_num, struct buf *errors)
{
    struct slice rest = text_of(list), item;
    bool is_more = rest.len != 0;
    for (*out_num = 0; next_item(&rest, &is_more, &item); ++*out_num) {
        if (*out_num == STAPLE_MAX_PAIRS) {
            buf_put_string(errors, option_names[file]);
            buf_put_string(errors, " names more files than the two that can be served\n");
            return false;
        }
        if (!put_path(item, file, *out_num, out, errors)) {
            return false;
        }
    }
    return true;
}

static bool fits(uint32_t num, uint32_t num_pairs, enum staple_file file, struct buf *errors)
{
    if (num == 0 || num == num_pairs) {
        return true;
    }
    buf_put_string(errors, option_names[file]);
    buf_put_string(errors, " must name as many files as tls_certificate\n");
    return false;
}

bool staple_split(const struct staple_conf *conf, struct staple_files *out, struct buf *errors)
{
    uint32_t num_keys, num_proofs;
    memset(out, 0, sizeof *out);
    if (!split_list(conf->certificate, STAPLE_CERTIFICATE, out, &out->num_pairs, errors) ||
        !split_list(conf->privatekey, STAPLE_KEY, out, &num_keys, errors) ||
        !split_list(conf->ocsp_file, STAPLE_PROOF, out, &num_proofs, errors) ||
        !put_path(text_of(conf->verify_certificates), STAPLE_VERIFY, 0, out, errors)) {
        return false;
    }
    for (size_t pair = 0; num_keys == 0 && pair < out->num_pairs; pair++) {
        memcpy(out->paths[staple_index(STAPLE_KEY, pair)],
               out->paths[staple_index(STAPLE_CERTIFICATE, pair)], STAPLE_PATH_CAP);
    }
    return fits(num_keys, out->num_pairs, STAPLE_KEY, errors) &&
           fits(num_proofs, out->num_pairs, STAPLE_PROOF, errors);
}

/* --- Reading --- */

void staple_stamp(const struct port_files *files, const struct staple_files *names,
                  struct port_stamp *out_stamps)
{
    for (size_t i = 0; i < STAPLE_MAX_FILES; i++) {
        out_stamps[i] = (struct port_stamp){{0}};
        if (names->paths[i][0] != '\0' &&
            files->stamp(files->ctx, &out_stamps[i], names->paths[i]) != ERR_OK) {
            out_stamps[i] = (struct port_stamp){{0}};
        }
    }
}

/* The whole file at the front of *room, which begins behind it afterwards. */
static enum err read_file(struct staple *s, const char *path, struct buf *room, struct slice *out)
{
    const struct port_files *files = &s->port->files;
    size_t len;
    enum err err = files->read(files->ctx, &len, path, room->ptr, room->cap);
    if (err == ERR_OK) {
        *out = slice_make(room->ptr, len);
        *room = buf_make(room->ptr + len, room->cap - len);
    }
    return err;
}

static enum err complain(struct buf *errors, enum staple_file file, const char *path,
                         const char *what, enum err err)
{
    buf_put_string(errors, option_names[file]);
    buf_put_string(errors, " ");
    text_put_escaped(errors, slice_of_string(path), STAPLE_PATH_CAP);
    buf_put_string(errors, ": ");
    buf_put_string(errors, what);
    buf_put_string(errors, "\n");
    return err;
}

static enum err complain_unreadable(struct buf *errors, enum staple_file file, const char *path,
                                    enum err err)
{
    err = err == ERR_OK ? ERR_IO : err;
    const char *what = err == ERR_ABSENT   ? "there is no such file"
                       : err == ERR_DENIED ? "may not be read (permission denied)"
                                           : err_name(err);
    return complain(errors, file, path, what, err);
}

/* Whose fault it is: the key's file or the certificate's. */
static enum staple_file file_of(enum tls_set_error e)
{
    switch (e) {
    case TLS_SET_NO_KEY:
    case TLS_SET_BAD_KEY:
    case TLS_SET_KEY_ENCRYPTED:
    case TLS_SET_KEY_MISMATCH:
        return STAPLE_KEY;
    default:
        return STAPLE_CERTIFICATE;
    }
}

static enum err load_pair(struct staple *s, struct staple_load *load, size_t pair, struct buf room,
                          struct buf *errors)
{
    const char *cert_path = load->files.paths[staple_index(STAPLE_CERTIFICATE, pair)];
    const char *key_path = load->files.paths[staple_index(STAPLE_KEY, pair)];
    struct slice chain, key;
    enum err err = read_file(s, cert_path, &room, &chain);
    if (err != ERR_OK) {
        return complain_unreadable(errors, STAPLE_CERTIFICATE, cert_path, err);
    }
    key = chain;
    if (!slice_equal(slice_of_string(cert_path), slice_of_string(key_path))) {
        err = read_file(s, key_path, &room, &key);
    }
    if (err != ERR_OK) {
        mbedtls_platform_zeroize(room.ptr, room.cap); /* part of it may be here */
        return complain_unreadable(errors, STAPLE_KEY, key_path, err);
    }
    enum tls_set_error e = tls_set_add_pair(load->set, chain, key);
    mbedtls_platform_zeroize((void *)(uintptr_t)key.ptr, key.len);
    if (e == TLS_SET_OK) {
        return ERR_OK;
    }
    return complain(errors, file_of(e), file_of(e) == STAPLE_KEY ? key_path : cert_path,
                    tls_set_error_text(e), e == TLS_SET_MEMORY ? ERR_NO_MEMORY : ERR_MALFORMED);
}

/* --- Issuers --- */

/* Whether it is the leaf's issuer, not only by name: its key has signed. Of several with that key,
 * as where an authority has renewed its own, *best becomes the one that ends last. False: there was
 * no memory, and whoever took that for a no would serve no proof until the next reload. */
static bool consider(struct slice der, const struct x509_cert *leaf, struct x509_cert *best)
{
    struct x509_cert cert;
    const char *hash;
    if (!x509_parse_cert(der, &cert) || !x509_is_same_name(cert.subject, leaf->issuer) ||
        (!slice_is_empty(best->whole) && cert.not_after_s <= best->not_after_s)) {
        return true;
    }
    switch (ocsp_signature_check(&leaf->sealed, &cert, true, &hash)) {
    case OCSP_GOOD:
    case OCSP_WEAK_KEY: /* of which its proofs tell */
        *best = cert;
        return true;
    case OCSP_NO_MEMORY:
        return false;
    default:
        return true;
    }
}

static void warn_unreadable(struct staple *s, enum staple_file file, const char *path, enum err err)
{
    uint8_t bytes[STAPLE_PATH_CAP + 128];
    struct buf text = buf_make(bytes, sizeof bytes);
    struct log_line line;
    complain_unreadable(&text, file, path, err);
    log_begin(&line, "certificate");
    log_peer_text(&line, "error", slice_make(text.ptr, text.len != 0 ? text.len - 1 : 0));
    s->port->log.line(s->port->log.ctx, LOG_WARNING, log_end(&line));
}

static bool find_in_text(struct slice text, const struct x509_cert *leaf, struct buf room,
                         struct x509_cert *best)
{
    while (pem_next(&text, SLICE_LITERAL("CERTIFICATE"), &room) == ERR_OK) {
        if (!consider(buf_slice(&room), leaf, best)) {
            return false;
        }
        if (best->whole.ptr == room.ptr) {
            room = buf_make(room.ptr + room.len, room.cap - room.len);
        }
        room.len = 0;
        room.overflow = false;
    }
    return true;
}

/* Goes through tls_verify_certificates, PEM or one certificate in DER; as consider. */
static bool find_in_file(struct staple *s, const char *path, const struct x509_cert *leaf,
                         struct buf room, struct x509_cert *best)
{
    struct slice text;
    if (path[0] == '\0') {
        return true;
    }
    enum err err = read_file(s, path, &room, &text);
    if (err != ERR_OK) {
        warn_unreadable(s, STAPLE_VERIFY, path, err);
        return true;
    }
    return pem_is_text(text) ? find_in_text(text, leaf, room, best) : consider(text, leaf, best);
}

static bool is_root(const struct x509_cert *cert)
{
    return slice_equal(cert->subject, cert->issuer);
}

/* One of the chain; if that has none, or a root, to which clients may have a newer one, one of
 * tls_verify_certificates; else none. ERR_OK or ERR_NO_MEMORY. */
static enum err find_issuer(struct staple *s, struct staple_load *load, size_t pair, size_t index,
                            struct buf room)
{
    const char *path = load->files.paths[staple_index(STAPLE_VERIFY, 0)];
    size_t num_certs = tls_set_num_certs(load->set, pair);
    struct staple_issuer *issuer = &load->issuers[pair][index];
    struct x509_cert cert, best = {.whole = {NULL, 0}};
    if (!x509_parse_cert(tls_set_cert_der(load->set, pair, index), &cert)) {
        return ERR_OK;
    }
    for (size_t i = 1; i < num_certs; i++) {
        if (!consider(tls_set_cert_der(load->set, pair, (index + i) % num_certs), &cert, &best)) {
            return ERR_NO_MEMORY;
        }
    }
    issuer->der = best.whole;
    /* What issued itself needs no proof. */
    if ((index != 0 && is_root(&cert)) || (!slice_is_empty(best.whole) && !is_root(&best))) {
        return ERR_OK;
    }
    if (!find_in_file(s, path, &cert, room, &best)) {
        return ERR_NO_MEMORY;
    }
    if (best.whole.ptr == issuer->der.ptr) {
        return ERR_OK;
    }
    uint8_t *copy = heap_alloc(s->env->heap, best.whole.len, 1);
    if (copy == NULL) {
        return ERR_NO_MEMORY;
    }
    memcpy(copy, best.whole.ptr, best.whole.len);
    *issuer = (struct staple_issuer){slice_make(copy, best.whole.len), true};
    return ERR_OK;
}

/* --- A set --- */

void staple_unload(struct staple *s, struct staple_load *load)
{
    for (size_t i = 0; i < STAPLE_MAX_PAIRS * TLS_SET_CHAIN_MAX; i++) {
        struct staple_issuer *issuer = &load->issuers[i / TLS_SET_CHAIN_MAX][i % TLS_SET_CHAIN_MAX];
        if (issuer->is_copy) {
            heap_free(s->env->heap, (void *)(uintptr_t)issuer->der.ptr);
        }
        *issuer = (struct staple_issuer){{NULL, 0}, false};
    }
    tls_set_drop(load->set);
    load->set = NULL;
}

/* Of those certificates for which a proof may come. */
static enum err find_issuers(struct staple *s, struct staple_load *load, struct buf scratch)
{
    enum err err = ERR_OK;
    for (size_t pair = 0; pair < load->files.num_pairs; pair++) {
        bool is_wanted = load->files.paths[staple_index(STAPLE_PROOF, pair)][0] != '\0';
        for (size_t i = 0; is_wanted && err == ERR_OK && i < tls_set_num_certs(load->set, pair);
             i++) {
            err = find_issuer(s, load, pair, i, scratch);
        }
    }
    return err;
}

static enum err lack_memory(struct buf *errors)
{
    buf_put_string(errors, "there is not enough memory for TLS\n");
    return ERR_NO_MEMORY;
}

enum err staple_load(struct staple *s, struct staple_load *load, struct buf scratch,
                     struct buf *errors)
{
    enum err err = ERR_OK, first_err = ERR_OK;
    staple_stamp(&s->port->files, &load->files, load->stamps);
    if (load->files.num_pairs == 0) {
        return ERR_OK;
    }
    load->set = tls_set_new(s->env);
    if (load->set == NULL) {
        return lack_memory(errors);
    }
    for (size_t pair = 0; pair < load->files.num_pairs; pair++) {
        err = load_pair(s, load, pair, scratch, errors);
        first_err = first_err == ERR_OK ? err : first_err;
    }
    if (first_err == ERR_OK && find_issuers(s, load, scratch) != ERR_OK) {
        first_err = lack_memory(errors);
    }
    if (first_err != ERR_OK) {
        staple_unload(s, load);
    }
    return first_err;
}

/* --- Proofs --- */

bool staple_is_pem_name(const char *path)
{
    size_t len = strlen(path);
    return len >= 4 && memcmp(path + len - 4, ".pem", 4) == 0;
}

enum ocsp_reason staple_read_proofs(struct staple *s, const char *path, struct buf scratch,
                                    struct staple_proofs *out)
{
    struct slice text;
    memset(out, 0, sizeof *out);
    out->memory = scratch;
    struct buf room = scratch;
    enum err err = read_file(s, path, &room, &text);
    if (err != ERR_OK) {
        return err == ERR_ABSENT    ? OCSP_NO_FILE
               : err == ERR_TOO_BIG ? OCSP_TOO_BIG
                                    : OCSP_UNREADABLE;
    }
    out->is_pem = pem_is_text(text);
    out->text = out->der = text;
    return OCSP_GOOD;
}

bool staple_next_proof(struct staple_proofs *p, struct slice *out, bool *out_whole)
{
    *out_whole = true;
    if (!p->is_pem) {
        *out = p->der;
        return p->num++ == 0;
    }
    /* Decoding never overtakes reading: it may be done in place. */
    struct buf der = buf_make(p->memory.ptr, p->memory.cap);
    enum err err = pem_next(&p->text, SLICE_LITERAL("OCSP RESPONSE"), &der);
    if (err != ERR_OK) {
        *out_whole = err == ERR_ABSENT && p->num != 0;
        return false;
    }
    p->num++;
    *out = buf_slice(&der);
    return true;
}

void staple_judge(const struct staple *s, const struct staple_load *load, size_t pair, size_t index,
                  struct slice der, struct ocsp_verdict *out)
{
    struct ocsp_question q = {.options = s->judging};
    struct x509_cert issuer, leaf;
    if (x509_parse_cert(tls_set_cert_der(load->set, pair, index), &leaf)) {
        q.leaf = &leaf;
    }
    if (x509_parse_cert(load->issuers[pair][index].der, &issuer)) {
        q.issuer = &issuer;
    }
    ocsp_check(&q, der, out);
}
