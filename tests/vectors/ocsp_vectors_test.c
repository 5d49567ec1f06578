/* Judges the responses that other projects test themselves with:  ocsp_vectors_test DIR
 *
 * DIR/manifest.tsv says of each what a strict verifier answers; SHA-1 signatures allowed, no skew,
 * no margin. Rows of class 'policy' pass if the answer is the one documented here. */
#include "ocsp_check.h"
#include "pem.h"
#include "proof_maker.h"
#include "text.h"

enum { ID, CLASS, RESPONSE, ISSUER, SUBJECT, SERIAL, AT, VERDICT, NUM_COLUMNS };

/* What Postern answers where the source leaves it to the verifier. */
static const struct {
    const char *id;
    enum ocsp_reason reason;
} policies[] = {
    {"bssl:old_response", OCSP_NO_NEXT_UPDATE},
    /* Its serial number is not minimal DER. */
    {"bssl:good_response_invalid_serial", OCSP_MALFORMED},
    /* When a response was produced is not judged, but when it was true. */
    {"bssl:produced_early_response", OCSP_NO_NEXT_UPDATE},
};

static uint8_t response_bytes[OCSP_PROOF_CAP + 1];
static int num_passed, num_failed, num_skipped;

static bool read_file(const char *dir, const char *name, uint8_t *into, size_t cap, size_t *out_len)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    *out_len = fread(into, 1, cap, file);
    fclose(file);
    return true;
}

/* der holds what *out points into. */
static bool read_cert(const char *dir, const char *name, struct buf *der, struct x509_cert *out)
{
    static uint8_t text[65536];
    size_t len;
    if (strcmp(name, "-") == 0 || !read_file(dir, name, text, sizeof text, &len)) {
        return false;
    }
    struct slice in = slice_make(text, len);
    return pem_next(&in, SLICE_LITERAL("CERTIFICATE"), der) == ERR_OK &&
           x509_parse_cert(buf_slice(der), out);
}

static size_t read_serial(const char *hex, uint8_t *out)
{
    size_t len = strlen(hex), num = 0;
    char padded[130] = "0";
    snprintf(padded + len % 2, sizeof padded - 1, "%s", hex);
    for (const char *p = padded; p[0] != 0 && p[1] != 0; p += 2) {
        unsigned byte;
        sscanf(p, "%2x", &byte);
        out[num++] = (uint8_t)byte;
    }
    return num;
}

static bool agrees(const char *const *row, enum ocsp_reason got)
{
    if (strcmp(row[VERDICT], "accept") == 0) {
        return got == OCSP_GOOD;
    }
    if (strcmp(row[VERDICT], "reject") == 0) {
        return got != OCSP_GOOD;
    }
    if (strncmp(row[VERDICT], "reject:", 7) == 0) {
        return strcmp(row[VERDICT] + 7, ocsp_reason_name(got)) == 0;
    }
    if (strcmp(row[VERDICT], "accept-unless-nextUpdate-required") == 0) {
        return got == OCSP_NO_NEXT_UPDATE;
    }
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        if (strcmp(row[ID], policies[i].id) == 0) {
            printf("policy: %s: %s\n", row[ID], ocsp_reason_name(got));
            return got == policies[i].reason;
        }
    }
    return strcmp(row[VERDICT], "-") == 0; /* it was judged, and nothing broke */
}

static enum ocsp_reason judge(const char *dir, const char *const *row, struct slice response)
{
    static uint8_t issuer_bytes[16384], leaf_bytes[16384];
    struct buf issuer_der = buf_make(issuer_bytes, sizeof issuer_bytes);
    struct buf leaf_der = buf_make(leaf_bytes, sizeof leaf_bytes);
    struct x509_cert issuer, leaf;
    uint8_t serial[64];
    struct ocsp_verdict v;
    struct ocsp_question q = {.options = {0, 0, 0, true}};
    int64_t at_s;
    if (read_cert(dir, row[ISSUER], &issuer_der, &issuer)) {
        q.issuer = &issuer;
    }
    if (read_cert(dir, row[SUBJECT], &leaf_der, &leaf)) {
        q.leaf = &leaf;
    } else if (strcmp(row[SERIAL], "-") != 0) {
        q.serial = slice_make(serial, read_serial(row[SERIAL], serial));
    }
    ocsp_check(&q, response, &v);
    bool timed = text_parse_time(slice_of_string(row[AT]), &at_s);
    return ocsp_verdict_at(&v, timed ? at_s : v.begin_s);
}

static void run_row(const char *dir, char *line)
{
    const char *row[NUM_COLUMNS];
    size_t num = 0, len;
    for (char *at = line; at != NULL && num < NUM_COLUMNS; num++) {
        row[num] = at;
        at = strchr(at, '\t');
        if (at != NULL) {
            *at++ = 0;
        }
    }
    if (num < NUM_COLUMNS || strcmp(row[ID], "id") == 0) {
        return;
    }
    if (!read_file(dir, row[RESPONSE], response_bytes, sizeof response_bytes, &len)) {
        printf("skipped: %s: %s cannot be read\n", row[ID], row[RESPONSE]);
        num_skipped++;
        return;
    }
    enum ocsp_reason got = judge(dir, row, slice_make(response_bytes, len));
    bool ok = agrees(row, got);
    num_passed += ok;
    num_failed += !ok;
    if (!ok || getenv("VERBOSE") != NULL) {
        printf("%s%s: %s (%s, %s)\n", ok ? "" : "FAILED: ", row[ID], ocsp_reason_name(got),
               row[VERDICT], row[CLASS]);
    }
}

/* Inputs that fuzzers kept: judged against nothing, they must only not break anything. */
static void run_seed(const char *dir, const char *name)
{
    const char *row[NUM_COLUMNS] = {name, "seed", name, "-", "-", "-", "-", "reject"};
    size_t len;
    if (!read_file(dir, name, response_bytes, sizeof response_bytes, &len)) {
        return;
    }
    enum ocsp_reason got = judge(dir, row, slice_make(response_bytes, len));
    num_passed += got != OCSP_GOOD;
    num_failed += got == OCSP_GOOD;
}

int main(int argc, char **argv)
{
    static char line[65536];
    mbedtls_platform_set_calloc_free(calloc, free);
    if (argc < 2) {
        return 2;
    }
    snprintf(line, sizeof line, "%s/manifest.tsv", argv[1]);
    FILE *manifest = fopen(line, "r");
    if (manifest == NULL) {
        fprintf(stderr, "%s cannot be read\n", line);
        return 2;
    }
    while (fgets(line, sizeof line, manifest) != NULL) {
        line[strcspn(line, "\r\n")] = 0;
        run_row(argv[1], line);
    }
    fclose(manifest);
    for (int i = 2; i < argc; i++) {
        run_seed(argv[1], argv[i]);
    }
    printf("%d passed, %d failed", num_passed, num_failed);
    printf(num_skipped != 0 ? ", %d skipped\n" : "\n", num_skipped);
    return num_failed == 0 ? 0 : 1;
}
