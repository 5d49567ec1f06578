/* What TLS sessions take of the heap, and what happens when it refuses. */
#include "tls_world.h"

#define IDLE_MAX_LEN 2560

/* What an idle session keeps of the heap, and that long use leaves nothing behind. */
static void test_idle_memory(void)
{
    static uint8_t data[40000];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i % 253);
    }
    for (size_t version = 0; version < 2; version++) {
        struct link l;
        world_open(world_versions[version]);
        struct tls_set *set = world_set("ec", NULL);
        CHECK_EQ(link_open(&l, set, "mail.example", true, NULL), ERR_OK);
        CHECK(link_run(&l)); /* the library's tables are made now */
        link_free(&l);
        size_t before_len = world_heap.used_len;
        CHECK_EQ(link_open(&l, set, "mail.example", true, NULL), ERR_OK);
        CHECK(link_run(&l));
        link_ping(&l);
        tls_park(&l.client);
        tls_park(&l.server);
        size_t parked_len = world_heap.used_len, largest_len = heap_largest_free(&world_heap);
        for (int cycle = 0; cycle < 300; cycle++) {
            size_t len = 1 + (size_t)cycle * 131 % sizeof data;
            CHECK(link_send(&l, &l.client, &l.server, slice_make(data, len)));
            CHECK(link_send(&l, &l.server, &l.client, slice_make(data, len)));
            tls_park(&l.client);
            tls_park(&l.server);
            /* a block may be a little longer than asked for, as the holes are */
            CHECK(world_heap.used_len <= parked_len + 4 * 24);
        }
        CHECK(heap_largest_free(&world_heap) + 64 >= largest_len);
        tls_free(&l.client);
        size_t idle_len = world_heap.used_len - before_len;
        if (sizeof(void *) == 8) {
            CHECK(idle_len <= IDLE_MAX_LEN);
        }
        CHECK(idle_len > 500); /* it is measured at all */
        tls_free(&l.server);
        CHECK_EQ(world_heap.used_len, before_len);
        tls_set_drop(set);
        world_close();
    }
}

/* A session that waits for its ClientHello holds little, and one that waits for the client's answer
 * not much more. */
static void test_waiting_memory(void)
{
    for (size_t version = 0; version < 2; version++) {
        static uint8_t hello[4096];
        struct tls server;
        world_open(world_versions[version]);
        struct tls_set *set = world_set("ec", NULL);
        size_t len = world_make_hello(hello, SLICE_LITERAL(""));
        struct slice in = slice_make(hello, len);
        size_t before_len = world_heap.used_len;
        CHECK_EQ(tls_open_server(&server, &world_env), ERR_OK);
        CHECK(world_heap.used_len - before_len <= 4096);
        tls_feed(&server, &in);
        enum tls_event event;
        do {
            event = tls_step(&server, &world_now);
            if (event == TLS_NEED_SET) {
                tls_give_set(&server, set);
            }
        } while (event == TLS_NEED_SET || event == TLS_TURN);
        CHECK_EQ(event, TLS_MORE);
        tls_sent(&server, SIZE_MAX);
        CHECK(world_heap.used_len - before_len <= 12 * 1024);
        tls_free(&server);
        tls_set_drop(set);
        world_close();
    }
}

/* No room for a record: the session waits, and goes on when there is some. */
static void test_no_room(void)
{
    static uint8_t data[16000];
    struct link l;
    world_open("");
    struct tls_set *set = world_set("ec", NULL);
    CHECK_EQ(link_open(&l, set, "mail.example", true, NULL), ERR_OK);
    CHECK(link_run(&l));
    tls_park(&l.server);
    size_t taken;
    CHECK_EQ(tls_write(&l.client, slice_make(data, sizeof data), &taken), ERR_OK);
    CHECK(taken > 3000);
    struct slice bytes = tls_pending(&l.client);
    tls_feed(&l.server, &bytes);
    void *ballast = heap_alloc(&world_heap, 1, heap_largest_free(&world_heap));
    CHECK(ballast != NULL);
    void *more[64];
    size_t num_more = 0;
    while (num_more < 64 && heap_largest_free(&world_heap) > 1000) {
        more[num_more++] = heap_alloc(&world_heap, 1, heap_largest_free(&world_heap));
    }
    CHECK_EQ(tls_step(&l.server, &world_now), TLS_NO_ROOM);
    CHECK_EQ(tls_step(&l.server, &world_now), TLS_NO_ROOM);
    size_t none;
    CHECK_EQ(tls_write(&l.server, slice_make(data, 4000), &none), ERR_AGAIN);
    while (num_more != 0) {
        heap_free(&world_heap, more[--num_more]);
    }
    heap_free(&world_heap, ballast);
    CHECK_EQ(tls_step(&l.server, &world_now), TLS_DATA);
    CHECK_EQ(tls_peek(&l.server).len, taken);
    link_free(&l);
    tls_set_drop(set);
    world_close();
}

/* A whole session, from reading the files on, with one allocation refused; whether it succeeded. */
static bool run_with_refusal(uint32_t refuse_in, bool hrr, size_t *out_lost_len)
{
    struct link l;
    bool ok = false;
    size_t before_len = world_heap.used_len;
    world_heap.refuse_in = refuse_in;
    struct tls_set *set = tls_set_new(&world_env);
    if (set != NULL && world_add(set, "ec") == TLS_SET_OK) {
        struct ocsp_verdict v = world_good(0, INT64_MAX);
        bool has_proof =
            tls_set_set_proof(set, 0, 0, slice_make(world_proof(6000), 6000), &v) == ERR_OK;
        if (hrr && tls_client_settings(&world_env) != NULL) {
            world_force_hrr();
        }
        ok = has_proof && link_open(&l, set, "mail.example", true, NULL) == ERR_OK &&
             link_run(&l) && world_proof_is(&l.client, 6000) &&
             link_send(&l, &l.client, &l.server, slice_make(world_proof(9000), 9000));
        if (has_proof) {
            tls_park(&l.server);
            link_free(&l);
        }
    }
    tls_set_drop(set);
    world_heap.refuse_in = 0;
    *out_lost_len = world_heap.used_len - before_len;
    return ok;
}

/* TLS 1.3 of the library itself loses the contexts of a half-made transform when it gets no memory
 * for the second; tls.c begins no step without a reserve, so that needs a refusal like these. */
#define LIBRARY_LOSES_LEN 1200

/* Every so-many-th allocation, one after the other; all of them if POSTERN_THOROUGH is set. */
static void test_every_refusal(void)
{
    static const char *const ciphers[] = {CIPHERS_12, CIPHERS_13};
    uint32_t stride = getenv("POSTERN_THOROUGH") != NULL ? 1 : 13;
    for (uint32_t i = 0; i < 2; i++) {
        size_t lost_len;
        uint32_t n = 1 + i, num_failed = 0, num_runs = 0, num_lossy = 0;
        world_open(ciphers[i]);
        CHECK(run_with_refusal(0, i == 1, &lost_len)); /* the library's tables, our settings */
        for (; n < 20000; n += stride) {
            uint32_t num_refused = world_heap.num_refused;
            bool ok = run_with_refusal(n, i == 1, &lost_len);
            num_runs++;
            num_failed += !ok;
            num_lossy += lost_len != 0;
            CHECK(lost_len <= (i == 0 ? 0 : LIBRARY_LOSES_LEN));
            if (world_heap.num_refused == num_refused) {
                CHECK(ok); /* it came to the end before the refusal */
                break;
            }
        }
        CHECK(n > 100 && n < 20000);
        CHECK(num_failed > num_runs / 2);
        CHECK(num_lossy <= (i == 0 ? 0 : 20));
        CHECK(run_with_refusal(0, i == 1, &lost_len)); /* and nothing is broken for good */
        CHECK_EQ(lost_len, 0);
        tls_env_close(&world_env);
        CHECK(heap_is_sound(&world_heap));
    }
}

static const struct test_case cases[] = {
    {"idle_memory", test_idle_memory},
    {"waiting_memory", test_waiting_memory},
    {"no_room", test_no_room},
    {"every_refusal", test_every_refusal},
};

int main(int argc, char **argv)
{
    world_make_files(argv[0]);
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
