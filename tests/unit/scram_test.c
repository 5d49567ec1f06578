/* SCRAM: the vectors of RFC 7677 and RFC 6070's kind, the client's side against the formulas, and
 * what no message may look like. */
#include "base64.h"
#include "scram_client.h"
#include "text.h"

#include "test.h"

#define NONCE "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define FIRST "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define FINAL "c=biws,r=" NONCE
#define BARE  "n=user,r=rOprNGfwEbeRWgbNEkqO"

static struct slice salted_by(const char *password, const char *salt_text, uint32_t iterations,
                              uint32_t piece)
{
    static struct scram_salting w;
    uint8_t bytes[SCRAM_SALT_MAX];
    struct buf salt = buf_make(bytes, sizeof bytes);
    CHECK(base64_take(slice_of_string(salt_text), &salt));
    scram_salting_begin(&w, slice_of_string(password), buf_slice(&salt), iterations);
    while (!scram_salting_step(&w, piece)) {
    }
    return slice_make(w.salted, sizeof w.salted);
}

/* RFC 7677 section 3. */
static void test_rfc7677(void)
{
    const struct slice auth_message[] = {SLICE_LITERAL(BARE), SLICE_LITERAL(","),
                                         SLICE_LITERAL(FIRST), SLICE_LITERAL(","),
                                         SLICE_LITERAL(FINAL)};
    uint8_t proof[32], stored[32], server[32], signature[32], bytes[64];
    struct slice salted = salted_by("pencil", "W22ZaJ0SNY7soEsUEjb6gQ==", 4096, 1000);
    scram_proof_make(proof, salted.ptr, auth_message, 5);
    struct buf text = buf_make(bytes, sizeof bytes);
    base64_put(&text, slice_make(proof, 32));
    CHECK_TEXT(text, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    scram_keys_make(salted.ptr, stored, server);
    CHECK(scram_proof_is_good(proof, stored, auth_message, 5));
    CHECK(!scram_proof_is_good(proof, stored, auth_message, 4));
    proof[31] ^= 1;
    CHECK(!scram_proof_is_good(proof, stored, auth_message, 5));
    scram_hmac(signature, slice_make(server, 32), auth_message, 5);
    text = buf_make(bytes, sizeof bytes);
    base64_put(&text, slice_make(signature, 32));
    CHECK_TEXT(text, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

/* PBKDF2-HMAC-SHA256 of published vectors (RFC 7914 section 11 has the first), and a password over
 * a block's length; the size of the pieces changes nothing. */
static void test_salting(void)
{
    static const struct {
        const char *password, *salt;
        uint32_t iterations;
        const char *hex;
    } vectors[] = {
        {"passwd", "c2FsdA==", 1,
         "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"},
        {"password", "c2FsdA==", 4096,
         "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        for (uint32_t piece = 1; piece < 5000; piece = piece * 7 + 1) {
            uint8_t bytes[64];
            struct buf hex = buf_make(bytes, sizeof bytes);
            text_put_hex(&hex, salted_by(vectors[i].password, vectors[i].salt,
                                         vectors[i].iterations, piece));
            CHECK_TEXT(hex, vectors[i].hex);
        }
    }
}

static void test_client_first(void)
{
    static const char *const right[] = {
        "n,,n=user,r=abc",           "y,,n=u,r=abc",
        "p=tls-exporter,,n=u,r=abc", "n,a=boss,n=u,r=abc",
        "n,,n=a=2Cb=3Dc,r=abc,x=y",
    };
    static const char *const wrong[] = {
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=,r=abc",
        "n,,n=u",
        "n,,n=u,r=",
        "n,,r=abc,n=u",
        "n,,m=x,n=u,r=abc",
        "x,,n=u,r=abc",
        "p=,,n=u,r=a",
        "n,b=c,n=u,r=a",
        "n,,n=u,r=a b",
        "n,,n=u,r=abc,",
        "n,,n=u,r=abc,m=1",
        "n,,n=u,r=abc,1=2",
        "nn,,n=u,r=abc",
        "N,,n=u,r=abc",
        "n,,n=u,r=\x80",
    };
    struct scram_client_first m;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        CHECK(scram_parse_client_first(slice_of_string(right[i]), &m));
        CHECK_EQ(m.gs2.len + m.bare.len, strlen(right[i]));
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (scram_parse_client_first(slice_of_string(wrong[i]), &m)) {
            fprintf(stderr, "taken: %s\n", wrong[i]);
            CHECK(false);
        }
    }
    CHECK(!scram_parse_client_first(SLICE_LITERAL("n,,n=u\0x,r=abc"), &m));
    CHECK(scram_parse_client_first(SLICE_LITERAL("p=tls-exporter,a=b,n=u=2Cv,r=abc"), &m));
    CHECK_TEXT(m.gs2, "p=tls-exporter,a=b,");
    CHECK_TEXT(m.binding_type, "tls-exporter");
    CHECK_TEXT(m.authzid, "b");
    CHECK_TEXT(m.bare, "n=u=2Cv,r=abc");
    CHECK_TEXT(m.name, "u=2Cv");
}

static void test_names(void)
{
    uint8_t bytes[16];
    struct buf b = buf_make(bytes, sizeof bytes);
    CHECK(scram_unescape_name(&b, SLICE_LITERAL("a=2Cb=3Dc")));
    CHECK_TEXT(b, "a,b=c");
    b = buf_make(bytes, sizeof bytes);
    CHECK(scram_escape_name(&b, SLICE_LITERAL("a,b=c")));
    CHECK_TEXT(b, "a=2Cb=3Dc");
    static const char *const wrong[] = {"a=", "a=2", "a=2c", "a=41", "=3d"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        b = buf_make(bytes, sizeof bytes);
        CHECK(!scram_unescape_name(&b, slice_of_string(wrong[i])));
    }
    b = buf_make(bytes, 2);
    CHECK(!scram_unescape_name(&b, SLICE_LITERAL("abc")) && b.overflow);
}

static void test_server_first(void)
{
    static const char *const wrong[] = {
        "r=abc,s=c2FsdA==,i=4095",  "r=abc,s=c2FsdA==,i=1000001",
        "r=abc,s=c2FsdA==",         "r=abc,s=,i=4096",
        "s=c2FsdA==,r=abc,i=4096",  "m=x,r=abc,s=c2FsdA==,i=4096",
        "r=abc,s=c2FsdA==,i=4096,", "e=other-error",
        "r=abc,s=c2FsdA==,i=-4096",
    };
    struct scram_server_first m;
    CHECK(scram_parse_server_first(SLICE_LITERAL("r=abc,s=c2FsdA==,i=4096,x=y"), &m));
    CHECK_TEXT(m.nonce, "abc");
    CHECK_EQ(m.iterations, 4096);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK(!scram_parse_server_first(slice_of_string(wrong[i]), &m));
    }
}

static void test_client_final(void)
{
    static const char *const wrong[] = {
        "c=biws,r=abc",         "c=biws,p=eA==",
        "c=biws,r=abc,p=",      "c=biws,r=abc,p=eA==,x=y",
        "r=abc,c=biws,p=eA==",  "c=biws,r=abc,m=1,p=eA==",
        "c=biws,r=abc,,p=eA==", "",
    };
    struct scram_client_final m;
    CHECK(scram_parse_client_final(SLICE_LITERAL("c=biws,r=abc,x=y,p=eA=="), &m));
    CHECK_TEXT(m.without_proof, "c=biws,r=abc,x=y");
    CHECK_TEXT(m.proof, "eA==");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (scram_parse_client_final(slice_of_string(wrong[i]), &m)) {
            fprintf(stderr, "taken: %s\n", wrong[i]);
            CHECK(false);
        }
    }
}

/* The client's two messages, and the answers that end its exchange. */
static void test_client(void)
{
    struct scram_client c;
    uint8_t bytes[512], more[256];
    struct buf out = buf_make(bytes, sizeof bytes);
    struct slice exporter = SLICE_LITERAL("0123456789abcdef0123456789abcdef");
    CHECK(scram_client_first(&c, SLICE_LITERAL("us,er"), SLICE_LITERAL("123456789012345678"),
                             SCRAM_BINDING, exporter, &out));
    CHECK_TEXT(out, "p=tls-exporter,,n=us=2Cer,r=MTIzNDU2Nzg5MDEyMzQ1Njc4");
    struct slice password = SLICE_LITERAL("pencil");
    CHECK(!scram_client_challenge(&c, SLICE_LITERAL("r=MTIzNDU2Nzg5MDEyMzQ1Njc4,s=c2FsdA==,i=4096"),
                                  password));
    CHECK(!scram_client_challenge(
        &c, SLICE_LITERAL("r=XTIzNDU2Nzg5MDEyMzQ1Njc4xyz,s=c2FsdA==,i=4096"), password));
    struct slice challenge = SLICE_LITERAL("r=MTIzNDU2Nzg5MDEyMzQ1Njc4xyz,s=c2FsdA==,i=4096");
    CHECK(scram_client_challenge(&c, challenge, password));
    size_t num_steps = 1;
    while (!scram_client_step(&c)) {
        num_steps++;
    }
    CHECK_EQ(num_steps, 4);
    out = buf_make(bytes, sizeof bytes);
    CHECK(scram_client_final(&c, &out));
    struct scram_client_final final;
    CHECK(scram_parse_client_final(buf_slice(&out), &final));
    struct buf binding = buf_make(more, sizeof more);
    CHECK(base64_take(final.binding, &binding));
    CHECK_TEXT(binding, "p=tls-exporter,,0123456789abcdef0123456789abcdef");
    struct slice salted = salted_by("pencil", "c2FsdA==", 4096, 4096);
    const struct slice auth_message[] = {SLICE_LITERAL("n=us=2Cer,r=MTIzNDU2Nzg5MDEyMzQ1Njc4,"),
                                         challenge, SLICE_LITERAL(","), final.without_proof};
    uint8_t proof[32], stored[32], server[32], signature[32];
    CHECK(base64_take_exactly(final.proof, proof, 32));
    scram_keys_make(salted.ptr, stored, server);
    CHECK(scram_proof_is_good(proof, stored, auth_message, 4));
    scram_hmac(signature, slice_make(server, 32), auth_message, 4);
    struct buf answer = buf_make(more, sizeof more);
    buf_put_string(&answer, "v=");
    base64_put(&answer, slice_make(signature, 32));
    CHECK(scram_client_verify(&c, buf_slice(&answer)));
    answer.ptr[5] ^= 1;
    CHECK(!scram_client_verify(&c, buf_slice(&answer)));
    CHECK(!scram_client_verify(&c, SLICE_LITERAL("e=invalid-proof")));
    CHECK(!scram_client_verify(&c, SLICE_LITERAL("")));
}

static void test_bindings(void)
{
    struct scram_client c;
    uint8_t bytes[1024];
    struct slice random = SLICE_LITERAL("123456789012345678"), none = {NULL, 0};
    struct buf out = buf_make(bytes, sizeof bytes);
    CHECK(scram_client_first(&c, SLICE_LITERAL("u"), random, SCRAM_NOT_OFFERED, none, &out));
    CHECK_TEXT(out, "y,,n=u,r=MTIzNDU2Nzg5MDEyMzQ1Njc4");
    out = buf_make(bytes, sizeof bytes);
    CHECK(scram_client_first(&c, SLICE_LITERAL("u"), random, SCRAM_NO_BINDING, none, &out));
    CHECK_TEXT(out, "n,,n=u,r=MTIzNDU2Nzg5MDEyMzQ1Njc4");
    CHECK(!scram_client_first(&c, none, random, SCRAM_NO_BINDING, none, &out));
    CHECK(!scram_client_first(&c, SLICE_LITERAL("u"), SLICE_LITERAL("short"), SCRAM_NO_BINDING,
                              none, &out));
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"rfc7677", test_rfc7677},
        {"salting", test_salting},
        {"client_first", test_client_first},
        {"names", test_names},
        {"server_first", test_server_first},
        {"client_final", test_client_final},
        {"client", test_client},
        {"bindings", test_bindings},
    };
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
