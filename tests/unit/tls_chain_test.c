/* Chains of certificates that a peer shows: what the authorities in them may vouch for, and what
 * verifying them may cost. */
#include "tls_world.h"

#include <time.h>

static void write_file(const char *name, const char *text)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", world_dir, name);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* name.chain and name.key: a leaf of an authority of ca-ec's, both with these extensions. */
static void make_chain(const char *name, const char *authority, const char *leaf)
{
    char text[500];
    snprintf(text, sizeof text, "basicConstraints=critical,CA:TRUE\n%s\n", authority);
    write_file("sub.cnf", text);
    snprintf(text, sizeof text, "keyUsage=digitalSignature\n%s\n", leaf);
    write_file("end.cnf", text);
    world_openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout sub.key -out "
                  "sub.csr -subj /CN=Sub");
    world_openssl("x509 -req -in sub.csr -CA ca-ec.pem -CAkey ca-ec.key -set_serial 18 -days 30 "
                  "-extfile sub.cnf -out sub.crt");
    snprintf(text, sizeof text,
             "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s.key -out end.csr "
             "-subj /CN=mail.example",
             name);
    world_openssl(text);
    snprintf(text, sizeof text,
             "x509 -req -in end.csr -CA sub.crt -CAkey sub.key -set_serial 19 -days 30 -extfile "
             "end.cnf -out end.crt && cat end.crt sub.crt >%s.chain",
             name);
    world_openssl(text);
}

/* Why our client does not believe it; "" if it does. */
static const char *shake(const char *name, const char *host, bool is_told)
{
    struct link l;
    size_t num_bad;
    static char failure[64];
    struct tls_set *set = world_set(name, NULL);
    struct tls_trust *trust = tls_trust_new(&world_env, world_read("ca-ec.pem"), &num_bad);
    CHECK(trust != NULL && num_bad == 0);
    world_now.wall_s = (int64_t)time(NULL) + 60;
    CHECK_EQ(link_open(&l, set, host, false, trust), ERR_OK);
    CHECK_EQ(link_run(&l), !l.client_failed);
    CHECK(!is_told || strcmp(tls_info(&l.server)->failure, "peer-alert") == 0);
    snprintf(failure, sizeof failure, "%s", l.client_failed ? tls_info(&l.client)->failure : "");
    link_free(&l);
    tls_trust_drop(&world_env, trust);
    tls_set_drop(set);
    return failure;
}

#define SAN "subjectAltName=DNS:mail.example\n"

#define NOT_TRUSTED "certificate-not-trusted"

static const struct {
    const char *authority;
    const char *leaf;
    const char *host;
    const char *failure;
} chains[] = {
    {"", SAN, "mail.example", ""},
    {"extendedKeyUsage=serverAuth", SAN, "mail.example", ""},
    {"extendedKeyUsage=anyExtendedKeyUsage", SAN, "mail.example", ""},
    {"extendedKeyUsage=emailProtection,clientAuth", SAN, "mail.example", NOT_TRUSTED},
    {"nameConstraints=permitted;DNS:example", SAN, "mail.example", ""},
    {"nameConstraints=permitted;DNS:other.example", SAN, "mail.example", NOT_TRUSTED},
    {"nameConstraints=excluded;DNS:mail.example", SAN, "mail.example", NOT_TRUSTED},
    {"nameConstraints=permitted;IP:192.0.2.0/255.255.255.0", "subjectAltName=IP:192.0.2.1",
     "192.0.2.1", NOT_TRUSTED}, /* only the names of hosts are looked at */
    {"nameConstraints=critical,permitted;DNS:example", SAN, "mail.example", ""},
    {"nameConstraints=critical,excluded;DNS:example", SAN, "mail.example", NOT_TRUSTED},
    {"", "subjectAltName=URI:mail.example", "mail.example", NOT_TRUSTED},
    {"", "subjectAltName=DNS:*.example", "mail.example", ""},
    {"", "subjectAltName=IP:192.0.2.1", "192.0.2.1", ""},
    {"", "subjectAltName=IP:2001:db8::1", "2001:db8::1", ""},
    {"", "subjectAltName=IP:192.0.2.2,DNS:192.0.2.1", "192.0.2.1", NOT_TRUSTED},
    {"", "subjectAltName=DNS:*.0.2.1", "192.0.2.1", NOT_TRUSTED},
};

static void test_authorities(void)
{
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++) {
        make_chain("end", chains[i].authority, chains[i].leaf);
        for (size_t v = 0; v < 2; v++) {
            world_open(world_versions[v]);
            bool is_told = strcmp(chains[i].failure, NOT_TRUSTED) == 0;
            const char *failure = shake("end", chains[i].host, is_told);
            if (strcmp(failure, chains[i].failure) != 0) {
                fprintf(stderr, "row %zu: %s\n", i, failure);
                CHECK(false);
            }
            world_close();
        }
    }
}

/* Authorities whose RSA keys have an exponent as long as their modulus: one check of a signature
 * takes as long as a hundred others. */
static void make_slow_chain(void)
{
    char text[4200], ones[1025];
    memset(ones, 'F', sizeof ones - 1);
    ones[sizeof ones - 1] = 0;
    snprintf(text, sizeof text,
             "asn1=SEQUENCE:spki\n[spki]\nalg=SEQUENCE:alg\nkey=BITWRAP,SEQUENCE:key\n"
             "[alg]\noid=OID:rsaEncryption\nnull=NULL\n[key]\nn=INTEGER:0x%s\ne=INTEGER:0x7%s\n",
             ones, ones + 1);
    write_file("slow.cnf", text);
    write_file("sub.cnf", "basicConstraints=critical,CA:TRUE\n");
    write_file("end.cnf", "keyUsage=digitalSignature\n" SAN);
    world_openssl("asn1parse -genconf slow.cnf -noout -out slow.der && openssl rsa -pubin -inform "
                  "DER -in slow.der -pubout -out slow.pub");
    world_openssl("req -x509 -newkey rsa:4096 -nodes -keyout sub.key -out sub.crt -days 30 -subj "
                  "/CN=Slow");
    world_openssl("x509 -new -force_pubkey slow.pub -subj /CN=Slow -CA sub.crt -CAkey sub.key "
                  "-set_serial 20 -days 30 -extfile sub.cnf -out slow.crt");
    world_openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout slow.key -out "
                  "end.csr -subj /CN=mail.example");
    world_openssl(
        "x509 -req -in end.csr -CA sub.crt -CAkey sub.key -set_serial 19 -days 30 "
        "-extfile end.cnf -out end.crt && cat end.crt slow.crt slow.crt slow.crt slow.crt "
        "slow.crt slow.crt slow.crt >slow.chain");
}

static void test_slow_keys(void)
{
    make_slow_chain();
    for (size_t v = 0; v < 2; v++) {
        world_open(world_versions[v]);
        const char *failure = shake("slow", "mail.example", true);
        CHECK(strcmp(failure, "bad-certificate") == 0);
        world_close();
    }
}

/* A name of two bytes takes 48 of memory. */
static void make_fat_chain(void)
{
    static char text[60000];
    size_t len = (size_t)snprintf(text, sizeof text, "subjectAltName=DER:30:82:%02x:%02x",
                                  15000 / 256, 15000 % 256);
    for (int i = 0; i < 7500; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len, ":88:00");
    }
    write_file("fat.cnf", text);
    world_openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout fat.key -out "
                  "end.csr -subj /CN=mail.example");
    world_openssl("x509 -req -in end.csr -CA ca-ec.pem -CAkey ca-ec.key -set_serial 19 -days 30 "
                  "-extfile fat.cnf -out fat.chain");
}

/* Also where nobody verifies it. */
static void test_fat_chain(void)
{
    make_fat_chain();
    for (size_t v = 0; v < 2; v++) {
        struct link l;
        world_open(world_versions[v]);
        struct tls_set *set = world_set("fat", NULL);
        CHECK_EQ(link_open(&l, set, "mail.example", v == 0, NULL), ERR_OK);
        CHECK(!link_run(&l));
        CHECK(strcmp(tls_info(&l.client)->failure, "bad-certificate") == 0);
        CHECK_EQ(tls_info(&l.server)->alert, MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT);
        link_free(&l);
        tls_set_drop(set);
        world_close();
    }
}

/* A key that is known, in a certificate that Ed25519 has signed: TLS works with it, and nobody
 * believes it. */
static void test_unknown_signature(void)
{
    make_chain("odd", "", SAN);
    world_openssl("genpkey -algorithm ed25519 -out ed.key && openssl req -x509 -new -key ed.key "
                  "-subj /CN=Ed -days 30 -out ed.crt");
    world_openssl("x509 -req -in end.csr -CA ed.crt -CAkey ed.key -set_serial 19 -days 30 "
                  "-extfile end.cnf -out odd.chain");
    for (size_t v = 0; v < 2; v++) {
        struct link l;
        world_open(world_versions[v]);
        struct tls_set *set = world_set("odd", NULL);
        CHECK_EQ(link_open(&l, set, "mail.example", false, NULL), ERR_OK);
        CHECK(link_run(&l));
        link_free(&l);
        tls_set_drop(set);
        CHECK(strcmp(shake("odd", "mail.example", true), NOT_TRUSTED) == 0);
        world_close();
    }
}

/* A Certificate message of over 16 KiB, in two records, is more than there is room for. */
static void test_long_chain(void)
{
    static char text[60000];
    size_t len = (size_t)snprintf(text, sizeof text, "1.2.3.4=DER");
    for (int i = 0; i < 17000; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len, ":00");
    }
    make_chain("long", "", SAN);
    write_file("long.cnf", text);
    world_openssl("x509 -req -in end.csr -CA ca-ec.pem -CAkey ca-ec.key -set_serial 19 -days 30 "
                  "-extfile long.cnf -out long.chain");
    for (size_t v = 0; v < 2; v++) {
        world_open(world_versions[v]);
        CHECK(strcmp(shake("long", "mail.example", false), "message-too-long") == 0);
        world_close();
    }
}

static const struct test_case cases[] = {
    {"authorities", test_authorities},
    {"fat_chain", test_fat_chain},
    {"long_chain", test_long_chain},
    {"slow_keys", test_slow_keys},
    {"unknown_signature", test_unknown_signature},
};

int main(int argc, char **argv)
{
    world_make_files(argv[0]);
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
