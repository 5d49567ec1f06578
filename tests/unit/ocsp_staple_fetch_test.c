/* What becomes of proofs that were fetched: judged by the table, written into their file without
 * harm to what else is in it, and not read back. */
#include "ocsp_staple_fetch.h"

#include "pem.h"
#include "staple_world.h"

#define LABEL "OCSP RESPONSE"

static const char *why;

static struct slice later(void)
{
    return proof_of("20260614120000Z", "20260622000000Z", MAKE_GOOD);
}

static enum fetch_verdict offer(struct slice der)
{
    return staple_offer(&t.staple, 0, 0, &der, &t.now, scratch(), &why);
}

static struct slice file(const char *path)
{
    size_t i = find_file(path);
    return i == NUM_FILES ? slice_make(NULL, 0) : t.files[i].bytes;
}

static void open_good(void)
{
    setup();
    CHECK_EQ(open_it(), ERR_OK);
}

/* --- What is wanted --- */

static void test_wants(void)
{
    struct staple_wanted w;
    open_good();
    CHECK(staple_wants(&t.staple, 0, 0, 0, &w));
    CHECK(strcmp(w.path, "/proof") == 0 && strcmp(w.certificate, "/chain") == 0);
    CHECK(strcmp(w.why_not, "no-responder") == 0);
    CHECK_EQ(w.id.serial_len, 4);
    CHECK(!staple_wants(&t.staple, 0, 1, 0, &w)); /* a file in DER */
    put("/proof", maker_pem(LABEL, good_proof()));
    next_second();
    CHECK(!staple_wants(&t.staple, 0, 1, 0, &w)); /* nobody issued it, and nobody is to be asked */
    CHECK(!staple_wants(&t.staple, 1, 0, 0, &w)); /* no such pair */
    struct fetch_life life;
    staple_life(&t.staple, 0, 0, &life);
    CHECK(life.exists && !life.is_refusal);
    CHECK_EQ(life.end_s - life.begin_s, 7 * 86400); /* with skew and margin */
    staple_life(&t.staple, 0, 1, &life);
    CHECK(!life.exists);
    staple_life(&t.staple, 1, 0, &life);
    CHECK(!life.exists);
    teardown();
    setup();
    put("/chain", maker_pem("CERTIFICATE", t.keys.leaf.whole));
    CHECK_EQ(open_it(), ERR_OK);
    CHECK(staple_wants(&t.staple, 0, 0, 0, &w) && strcmp(w.why_not, "no-issuer") == 0);
    teardown();
    setup();
    t.conf.ocsp_file = "";
    CHECK_EQ(open_it(), ERR_OK);
    CHECK(!staple_wants(&t.staple, 0, 0, 0, &w));
    teardown();
}

/* --- Judging --- */

static void test_offers(void)
{
    struct fetch_life life;
    open_good();
    struct slice first = file("/proof"), new = later();
    CHECK_EQ(offer(SLICE_LITERAL("junk")), FETCH_REFUSED);
    CHECK(strcmp(why, "malformed") == 0);
    CHECK_EQ(offer(proof_of("20260601000000Z", "20260608000000Z", MAKE_GOOD)), FETCH_REFUSED);
    CHECK(strcmp(why, "expired") == 0);
    CHECK_EQ(offer(proof_of("20260616000000Z", "20260622000000Z", MAKE_GOOD)), FETCH_REFUSED);
    CHECK(strcmp(why, "not-yet-valid") == 0);
    CHECK_EQ(offer(proof_of("20260613000000Z", "20260622000000Z", MAKE_GOOD)), FETCH_NOT_NEWER);
    CHECK_EQ(offer(proof_of("20260613000000Z", "20260622000000Z", MAKE_REVOKED)), FETCH_NOT_NEWER);
    CHECK_EQ(offer(first), FETCH_NOT_NEWER);
    CHECK(strcmp(why, "not-newer") == 0);
    CHECK(serves(first));
    CHECK_EQ(offer(new), FETCH_TAKEN);
    CHECK(strcmp(why, "good") == 0);
    CHECK(serves(new));
    /* A refusal that is as old counts, and leaves nothing to serve. */
    const struct ocsp_verdict *v;
    struct slice der;
    CHECK_EQ(offer(proof_of("20260614120000Z", "20260622000000Z", MAKE_UNKNOWN)), FETCH_TAKEN);
    CHECK(strcmp(why, "unknown") == 0);
    CHECK_EQ(reason(), OCSP_UNKNOWN);
    CHECK(tls_set_proof(t.staple.now.set, 0, 0, &der, &v) && slice_is_empty(der));
    staple_life(&t.staple, 0, 0, &life);
    CHECK(!life.exists); /* so it is asked for again soon */
    CHECK_EQ(offer(proof_of("20260614123000Z", "20260622000000Z", MAKE_UNKNOWN)), FETCH_NOT_NEWER);
    CHECK(strcmp(why, "unknown") == 0);
    struct slice no = proof_of("20260614130000Z", "20260622000000Z", MAKE_REVOKED);
    CHECK_EQ(offer(no), FETCH_TAKEN);
    CHECK_EQ(reason(), OCSP_REVOKED);
    staple_life(&t.staple, 0, 0, &life);
    CHECK(life.exists && life.is_refusal);
    CHECK_EQ(offer(no), FETCH_NOT_NEWER);
    CHECK_EQ(offer(later()), FETCH_NOT_NEWER);
    CHECK_EQ(reason(), OCSP_REVOKED);
    teardown();
}

/* Certificates in a response that are neither its signer's nor its issuer's: nobody has signed what
 * stands there. */
static void test_trimmed(void)
{
    for (int i = 0; i < 4; i++) {
        open_good();
        struct maker_cert d = world_delegate(&t.keys), fake = d;
        fake.issuer_key = &t.keys.other_key;
        struct slice issuer = t.keys.issuer.whole, delegate = maker_certificate(&d);
        struct maker_response r = i == 0 ? world_good(&t.keys) : world_delegated(&t.keys, &d);
        r.singles[0].this_update = "20260614120000Z";
        struct slice data = maker_data(&r), signature = maker_sign(r.key, data);
        struct slice algorithm = maker_signature_algorithm(r.key);
        struct slice junk = SEQ(TLV(DER_NULL, SLICE_LITERAL("junk")));
        struct slice wants[] = {issuer, delegate, JOIN(delegate, issuer), JOIN(issuer, delegate)};
        struct slice manys[] = {JOIN(junk, issuer, issuer, junk),
                                JOIN(maker_certificate(&fake), junk, delegate, junk),
                                JOIN(junk, delegate, junk, issuer, delegate, issuer),
                                JOIN(issuer, issuer, junk, delegate, issuer, junk)};
        struct slice der = maker_basic(data, algorithm, signature, manys[i]);
        struct slice want = maker_basic(data, algorithm, signature, wants[i]);
        CHECK_EQ(staple_offer(&t.staple, 0, 0, &der, &t.now, scratch(), &why), FETCH_TAKEN);
        CHECK(slice_equal(der, want));
        CHECK(serves(want));
        /* So have those that come in a file, which somebody else has fetched. */
        staple_close(&t.staple);
        der = maker_basic(data, algorithm, signature, manys[i]);
        put("/proof", i % 2 == 0 ? der : maker_pem("OCSP RESPONSE", der));
        CHECK_EQ(open_it(), ERR_OK);
        CHECK(serves(want));
        teardown();
    }
}

/* Signed by a delegate that ends at that time; the same dates each time, as of an authority that
 * says what its revocation list does. */
static struct slice signed_until(const char *not_after)
{
    struct maker_cert d = world_delegate(&t.keys);
    d.not_after = not_after;
    struct maker_response r = world_delegated(&t.keys, &d);
    return maker_proof(&r);
}

/* The same word again is not news, unless it holds for longer: its signer has been renewed. */
static void test_signer_renewed(void)
{
    setup();
    struct slice same = signed_until("20260616000000Z"), shorter = signed_until("20260615120000Z");
    struct slice longer = signed_until("20260618000000Z");
    put("/proof", signed_until("20260616000000Z"));
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(offer(same), FETCH_NOT_NEWER);
    CHECK_EQ(offer(shorter), FETCH_NOT_NEWER);
    CHECK_EQ(offer(longer), FETCH_TAKEN);
    CHECK(serves(longer));
    CHECK_EQ(offer(same), FETCH_NOT_NEWER);
    teardown();
}

/* A refusal that was fetched outlives a restart. */
static void test_evicts(void)
{
    setup();
    staple_ledger_open(&t.ledger, &t.port, "/spool", scratch());
    t.conf.ledger = &t.ledger;
    CHECK_EQ(open_it(), ERR_OK);
    CHECK_EQ(offer(proof_of("20260614130000Z", "20260622000000Z", MAKE_REVOKED)), FETCH_TAKEN);
    CHECK(file(EVICTED).len != 0);
    teardown();
}

/* What somebody else has put into the file counts first. */
static void test_file_first(void)
{
    open_good();
    put("/proof", proof_of("20260614180000Z", "20260622000000Z", MAKE_GOOD));
    CHECK_EQ(offer(later()), FETCH_NOT_NEWER);
    CHECK(serves(file("/proof")));
    teardown();
}

/* --- Writing --- */

enum form {
    DER_FILE,
    JUNK_FILE,
    ONE,
    FIRST_OF_TWO,
    BETWEEN,
    WITHOUT_END_OF_LINE,
    ONLY_OTHERS,
    OTHERS_WITHOUT_END_OF_LINE,
    DAMAGED_BEHIND,
    DAMAGED_ITSELF,
    NUM_FORMS
};

/* A file, and what it is to be with der in it. */
static void make_form(enum form form, struct slice der, struct slice *out, struct slice *out_want)
{
    struct slice old = maker_pem(LABEL, good_proof()), new = maker_pem(LABEL, der);
    struct slice other = maker_pem(LABEL, SLICE_LITERAL("no response at all"));
    struct slice note = SLICE_LITERAL("a note\n"), end = SLICE_LITERAL("\n");
    struct slice cert = maker_pem("CERTIFICATE", t.keys.leaf.whole);
    struct slice cut = slice_make(old.ptr, old.len - 10), open_end = old, other_open = other;
    open_end.len--;
    other_open.len--;
    const struct slice rows[NUM_FORMS][2] = {
        [DER_FILE] = {good_proof(), der},
        [JUNK_FILE] = {SLICE_LITERAL("junk"), der},
        [ONE] = {old, new},
        [FIRST_OF_TWO] = {JOIN(old, other), JOIN(new, other)},
        [BETWEEN] = {JOIN(note, other, cert, note, old, note, cert),
                     JOIN(note, other, cert, note, new, note, cert)},
        [WITHOUT_END_OF_LINE] = {open_end, new},
        [ONLY_OTHERS] = {JOIN(cert, other, note), JOIN(cert, other, note, new)},
        [OTHERS_WITHOUT_END_OF_LINE] = {other_open, JOIN(other_open, end, new)},
        /* What cannot be read by anybody goes. */
        [DAMAGED_BEHIND] = {JOIN(old, cut), JOIN(new, cut)},
        [DAMAGED_ITSELF] = {JOIN(other, cut), JOIN(other, new)},
    };
    *out = rows[form][0];
    *out_want = rows[form][1];
}

static void test_forms(void)
{
    for (int form = 0; form < NUM_FORMS; form++) {
        struct slice before, want;
        setup();
        struct slice der = later();
        make_form((enum form)form, der, &before, &want);
        put("/proof", before);
        CHECK_EQ(open_it(), ERR_OK);
        CHECK_EQ(offer(der), FETCH_TAKEN);
        CHECK_EQ(staple_save(&t.staple, 0, 0, der, scratch()), ERR_OK);
        if (!slice_equal(file("/proof"), want)) {
            fprintf(stderr, "form %d:\n%.*s\n", form, (int)file("/proof").len,
                    (const char *)file("/proof").ptr);
            CHECK(false);
        }
        /* It is not read back; a restart reads it. */
        int num_reads = t.num_reads;
        next_second();
        next_second();
        CHECK_EQ(t.num_reads, num_reads);
        CHECK(serves(der));
        staple_close(&t.staple);
        CHECK_EQ(open_it(), ERR_OK);
        CHECK(serves(der));
        teardown();
    }
}

/* A month later there is another certificate, and a proof for it. */
static void renew(int month)
{
    char serial[2] = {(char)month, 0}, from[16], to[16], now[24];
    snprintf(from, sizeof from, "2027%02d01000000Z", month);
    snprintf(to, sizeof to, "2027%02d08000000Z", month);
    snprintf(now, sizeof now, "2027-%02d-02T00:00:00Z", month);
    struct maker_cert leaf = {"mail.example",     "Issuer",         &t.keys.leaf_key,
                              &t.keys.issuer_key, serial,           "20260101000000Z",
                              "20300101000000Z",  .key_usage = 0x80};
    put("/chain", JOIN(maker_pem("CERTIFICATE", maker_certificate(&leaf)),
                       maker_pem("CERTIFICATE", t.keys.issuer.whole)));
    struct maker_response r = world_good(&t.keys);
    r.singles[0].serial = slice_make((const uint8_t *)serial, 1);
    r.singles[0].this_update = from;
    r.singles[0].next_update = to;
    struct slice der = maker_proof(&r);
    CHECK(text_parse_time(slice_of_string(now), &t.now.wall_s));
    next_second();
    CHECK_EQ(offer(der), FETCH_TAKEN);
    CHECK_EQ(staple_save(&t.staple, 0, 0, der, scratch()), ERR_OK);
    CHECK(serves(der));
}

/* What is over for good makes room: the file does not grow with each certificate. What it says of
 * others stays. */
static void test_renewed(void)
{
    open_good();
    struct slice refusal =
        maker_pem(LABEL, proof_of("20260601000000Z", "20260608000000Z", MAKE_REVOKED));
    struct slice note = SLICE_LITERAL("a note\n");
    put("/proof", JOIN(note, maker_pem(LABEL, good_proof()), refusal));
    for (int month = 1; month <= 12; month++) {
        renew(month);
    }
    struct slice text = file("/proof"), block;
    uint8_t bytes[4096];
    struct buf der = buf_make(bytes, sizeof bytes);
    int num = 0;
    for (; pem_next_block(&text, SLICE_LITERAL(LABEL), &der, &block) == ERR_OK; num++) {
        der.len = 0;
        CHECK(num != 1 || slice_equal(block, refusal));
    }
    CHECK_EQ(num, 2);
    CHECK(memcmp(file("/proof").ptr, note.ptr, note.len) == 0);
    teardown();
}

/* The name of an absent file says its form. */
static void test_absent(void)
{
    static const char *const names[] = {"/proof", "/proof.pem", "/proofpem", "/proof.pem.der"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        setup();
        struct slice der = later();
        bool is_pem = i == 1;
        t.conf.ocsp_file = names[i];
        drop("/proof");
        put(names[i], slice_make(NULL, 0)); /* so that it may be written */
        t.files[find_file(names[i])].fails = ERR_ABSENT;
        CHECK_EQ(open_it(), ERR_OK);
        struct staple_wanted w;
        CHECK(staple_wants(&t.staple, 0, 0, 0, &w));
        CHECK_EQ(offer(der), FETCH_TAKEN);
        CHECK_EQ(staple_save(&t.staple, 0, 0, der, scratch()), ERR_OK);
        CHECK(slice_equal(file(names[i]), is_pem ? maker_pem(LABEL, der) : der));
        teardown();
    }
}

static void test_save_fails(void)
{
    open_good();
    struct slice der = later(), before = file("/proof");
    CHECK_EQ(offer(der), FETCH_TAKEN);
    t.replace_fails = true;
    CHECK_EQ(staple_save(&t.staple, 0, 0, der, scratch()), ERR_IO);
    t.replace_fails = false;
    t.files[find_file("/proof")].fails = ERR_DENIED;
    CHECK_EQ(staple_save(&t.staple, 0, 0, der, scratch()), ERR_DENIED);
    t.files[find_file("/proof")].fails = ERR_OK;
    CHECK_EQ(staple_save(&t.staple, 0, 1, der, scratch()), ERR_UNSUPPORTED); /* a file in DER */
    CHECK(slice_equal(file("/proof"), before));
    next_second();
    CHECK(serves(der)); /* the old file does not come back */
    /* There is no room for one more beside the others. */
    static uint8_t text[90 * 1024];
    memset(text, '\n', sizeof text);
    memcpy(text, "-----BEGIN X-----\n", 18);
    put("/proof", slice_make(text, sizeof text));
    next_second();
    static uint8_t big[8000];
    CHECK_EQ(staple_save(&t.staple, 0, 0, slice_make(big, sizeof big), scratch()), ERR_TOO_BIG);
    CHECK_EQ(file("/proof").len, sizeof text);
    CHECK_EQ(staple_save(&t.staple, 0, 0, der, scratch()), ERR_OK);
    CHECK(file("/proof").len > sizeof text);
    /* Nor where it would take an old one's place, in front of the others. */
    struct slice old = maker_pem(LABEL, der);
    memcpy(text, old.ptr, old.len);
    put("/proof", slice_make(text, sizeof text));
    next_second();
    CHECK_EQ(staple_save(&t.staple, 0, 0, slice_make(big, sizeof big), scratch()), ERR_TOO_BIG);
    CHECK(slice_equal(file("/proof"), slice_make(text, sizeof text)));
    teardown();
}

/* What somebody else put into the file while the fetched one was judged is not written over. */
static void test_save_overtaken(void)
{
    open_good();
    struct slice der = later(), revoked;
    CHECK_EQ(offer(der), FETCH_TAKEN);
    revoked = proof_of("20260614130000Z", "20260622000000Z", MAKE_REVOKED);
    put("/proof", revoked);
    CHECK_EQ(staple_save(&t.staple, 0, 0, der, scratch()), ERR_BUSY);
    CHECK(slice_equal(file("/proof"), revoked));
    next_second();
    CHECK_EQ(reason(), OCSP_REVOKED);
    CHECK(!staple_save_again(&t.staple, scratch())); /* it is good no more */
    CHECK(slice_equal(file("/proof"), revoked));
    teardown();
}

/* A serial number longer than a request can hold: it stays out of what is compared. */
static void test_long_serial(void)
{
    static char serial[201];
    static struct ocsp_fetch f;
    static struct fetch_target target;
    static uint8_t memory[FETCH_MEMORY_LEN];
    struct staple_wanted w;
    memset(serial, 'A', sizeof serial - 1);
    setup();
    struct maker_cert leaf = {"mail.example",     "Issuer",         &t.keys.leaf_key,
                              &t.keys.issuer_key, serial,           "20260101000000Z",
                              "20270101000000Z",  .key_usage = 0x80};
    put("/chain", JOIN(maker_pem("CERTIFICATE", maker_certificate(&leaf)),
                       maker_pem("CERTIFICATE", t.keys.issuer.whole)));
    CHECK_EQ(open_it(), ERR_OK);
    CHECK(staple_wants(&t.staple, 0, 0, 0, &w));
    CHECK(w.id.serial_len <= OCSP_SERIAL_MAX);
    ocsp_fetch_open(&f, &t.port, 1, &(struct ocsp_fetch_conf){.alarm_s = 0}, &target, 1,
                    buf_make(memory, sizeof memory));
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(ocsp_fetch_set_target(&f, 0, &w.id, slice_make(NULL, 0), w.path), URL_OK);
    }
    teardown();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"wants", test_wants},
        {"offers", test_offers},
        {"trimmed", test_trimmed},
        {"signer_renewed", test_signer_renewed},
        {"evicts", test_evicts},
        {"file_first", test_file_first},
        {"forms", test_forms},
        {"renewed", test_renewed},
        {"absent", test_absent},
        {"save_fails", test_save_fails},
        {"save_overtaken", test_save_overtaken},
        {"long_serial", test_long_serial},
    };
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
