/* A heap over one region: see heap.h.
 *
 * A block is a head of eight bytes and what follows up to the next head. Lengths count the head and
 * are multiples of 8. Each head also has the length of the block before it, so both neighbours are
 * found in one step. Requests are rounded up to the lower bound of a list, by a sixteenth at most:
 * what was freed is then found by the next request of its size, instead of a longer block being
 * cut. */
#include "heap.h"

#include <string.h>

#define ALIGN    8u
#define HEAD_LEN 8u
#define MIN_LEN  32u
#define MIN_LOG  5 /* of MIN_LEN */
#define STEP_LOG 4 /* of HEAP_NUM_STEPS */
#define MAX_LEN  (UINT32_C(1) << 31)
#define IS_FREE  1u
#define LEN_MASK (~(uint32_t)(ALIGN - 1))

_Static_assert(1 << STEP_LOG == HEAP_NUM_STEPS, "steps of a class");
_Static_assert(HEAP_NUM_CLASSES + MIN_LOG == 31, "the longest block is just under 2 GiB");

struct heap_block {
    uint32_t len_flags;
    uint32_t before_len;            /* 0: the first */
    struct heap_block *next, *prev; /* only while it is free */
};

_Static_assert(offsetof(struct heap_block, next) == HEAD_LEN, "the head");
_Static_assert(sizeof(struct heap_block) <= MIN_LEN, "a free block must hold its links");

static uint32_t len_of(const struct heap_block *b)
{
    return b->len_flags & LEN_MASK;
}

static bool is_free(const struct heap_block *b)
{
    return (b->len_flags & IS_FREE) != 0;
}

static struct heap_block *block_at(struct heap_block *b, ptrdiff_t offset)
{
    return (struct heap_block *)(void *)((uint8_t *)b + offset);
}

static struct heap_block *block_after(struct heap_block *b)
{
    return block_at(b, (ptrdiff_t)len_of(b));
}

static uint32_t log_of(uint32_t len)
{
    return 31u - (uint32_t)__builtin_clz(len);
}

static void list_of(uint32_t len, uint32_t *out_class, uint32_t *out_step)
{
    uint32_t log = log_of(len);
    *out_class = log - MIN_LOG;
    *out_step = (len >> (log - STEP_LOG)) & (HEAP_NUM_STEPS - 1);
}

/* The block length for a request: the lower bound of a list. 0 if there is none so long. */
static uint32_t len_for(size_t size)
{
    if (size > MAX_LEN / 2) {
        return 0;
    }
    uint32_t len = (uint32_t)(size + HEAD_LEN + ALIGN - 1) & LEN_MASK;
    if (len < MIN_LEN) {
        return MIN_LEN;
    }
    uint32_t step_len = UINT32_C(1) << (log_of(len) - STEP_LOG);
    return step_len <= ALIGN ? len : (len + step_len - 1) & ~(step_len - 1);
}

static void list_add(struct heap *h, struct heap_block *b)
{
    uint32_t class, step;
    list_of(len_of(b), &class, &step);
    struct heap_block **head = &h->lists[class][step];
    b->len_flags |= IS_FREE;
    b->prev = NULL;
    b->next = *head;
    if (*head != NULL) {
        (*head)->prev = b;
    }
    *head = b;
    h->steps[class] |= UINT32_C(1) << step;
    h->classes |= UINT32_C(1) << class;
}

static void list_remove(struct heap *h, struct heap_block *b)
{
    uint32_t class, step;
    list_of(len_of(b), &class, &step);
    b->len_flags &= ~IS_FREE;
    if (b->next != NULL) {
        b->next->prev = b->prev;
    }
    if (b->prev != NULL) {
        b->prev->next = b->next;
        return;
    }
    h->lists[class][step] = b->next;
    if (b->next == NULL) {
        h->steps[class] &= ~(UINT32_C(1) << step);
        if (h->steps[class] == 0) {
            h->classes &= ~(UINT32_C(1) << class);
        }
    }
}

static void set_len(struct heap_block *b, uint32_t len)
{
    b->len_flags = len;
    block_after(b)->before_len = len;
}

/* A free block of at least len, which is the lower bound of a list; NULL if there is none. */
static struct heap_block *find(const struct heap *h, uint32_t len)
{
    uint32_t class, step;
    list_of(len, &class, &step);
    uint32_t steps = h->steps[class] & ~UINT32_C(0) << step;
    if (steps == 0) {
        uint32_t classes = h->classes & ~UINT32_C(0) << class & ~(UINT32_C(1) << class);
        if (classes == 0) {
            return NULL;
        }
        class = (uint32_t)__builtin_ctz(classes);
        steps = h->steps[class];
    }
    return h->lists[class][__builtin_ctz(steps)];
}

bool heap_open(struct heap *h, void *region, size_t len)
{
    size_t skip = (ALIGN - (uintptr_t)region % ALIGN) % ALIGN;
    if (region == NULL || len >= MAX_LEN || len < skip + MIN_LEN + HEAD_LEN) {
        return false;
    }
    memset(h, 0, sizeof *h);
    struct heap_block *first = (struct heap_block *)(void *)((uint8_t *)region + skip);
    uint32_t block_len = (uint32_t)(len - skip - HEAD_LEN) & LEN_MASK;
    first->before_len = 0;
    set_len(first, block_len);
    block_after(first)->len_flags = 0; /* the end: a head that is never free */
    list_add(h, first);
    h->total_len = block_len;
    return true;
}

void *heap_alloc(struct heap *h, size_t num, size_t size)
{
    if (num == 0 || size == 0) {
        return NULL;
    }
    uint32_t len = num > SIZE_MAX / size ? 0 : len_for(num * size);
    bool is_refused = h->refuse_in != 0 && --h->refuse_in == 0;
    struct heap_block *b = len == 0 || is_refused ? NULL : find(h, len);
    if (b == NULL) {
        h->num_refused++;
        return NULL;
    }
    list_remove(h, b);
    uint32_t rest_len = len_of(b) - len;
    if (rest_len >= MIN_LEN) {
        set_len(b, len);
        set_len(block_after(b), rest_len);
        list_add(h, block_after(b));
    }
    h->used_len += len_of(b);
    h->num_used++;
    if (h->used_len > h->used_max_len) {
        h->used_max_len = h->used_len;
    }
    void *bytes = (uint8_t *)b + HEAD_LEN;
    memset(bytes, 0, num * size);
    return bytes;
}

void heap_free(struct heap *h, void *ptr)
{
    if (ptr == NULL) {
        return;
    }
    struct heap_block *b = (struct heap_block *)(void *)((uint8_t *)ptr - HEAD_LEN);
    uint32_t len = len_of(b);
    h->used_len -= len;
    h->num_used--;
    struct heap_block *after = block_after(b);
    if (is_free(after)) {
        list_remove(h, after);
        len += len_of(after);
    }
    if (b->before_len != 0) {
        struct heap_block *before = block_at(b, -(ptrdiff_t)b->before_len);
        if (is_free(before)) {
            list_remove(h, before);
            len += len_of(before);
            b = before;
        }
    }
    set_len(b, len);
    list_add(h, b);
}

size_t heap_block_len(size_t size)
{
    return len_for(size);
}

size_t heap_largest_free(const struct heap *h)
{
    if (h->classes == 0) {
        return 0;
    }
    uint32_t class = log_of(h->classes);
    uint32_t step = log_of(h->steps[class]);
    uint32_t len = (HEAP_NUM_STEPS + step) << (class + MIN_LOG - STEP_LOG);
    return len - HEAD_LEN;
}

static bool list_is_sound(const struct heap *h, uint32_t class, uint32_t step, uint32_t *num_free)
{
    const struct heap_block *prev = NULL;
    bool is_marked = (h->steps[class] >> step & 1) != 0;
    if (is_marked != (h->lists[class][step] != NULL)) {
        return false;
    }
    for (const struct heap_block *b = h->lists[class][step]; b != NULL; b = b->next) {
        uint32_t own_class, own_step;
        list_of(len_of(b), &own_class, &own_step);
        if (!is_free(b) || b->prev != prev || own_class != class || own_step != step) {
            return false;
        }
        prev = b;
        (*num_free)++;
    }
    return true;
}

/* The blocks of the region in their order: their lengths, and no two free ones side by side. */
static bool region_is_sound(const struct heap *h, struct heap_block *first, uint32_t num_free)
{
    size_t used_len = 0, free_len = 0;
    uint32_t num_used = 0, before_len = 0;
    bool after_free = false;
    for (struct heap_block *b = first; len_of(b) != 0; b = block_after(b)) {
        if (b->before_len != before_len || (after_free && is_free(b))) {
            return false;
        }
        after_free = is_free(b);
        before_len = len_of(b);
        if (after_free) {
            free_len += before_len;
            num_free--;
        } else {
            used_len += before_len;
            num_used++;
        }
    }
    return num_free == 0 && used_len == h->used_len && num_used == h->num_used &&
           used_len + free_len == h->total_len;
}

bool heap_is_sound(const struct heap *h)
{
    uint32_t num_free = 0;
    struct heap_block *any = NULL;
    for (uint32_t class = 0; class < HEAP_NUM_CLASSES; class ++) {
        if ((h->classes >> class & 1) != (h->steps[class] != 0)) {
            return false;
        }
        for (uint32_t step = 0; step < HEAP_NUM_STEPS; step++) {
            if (!list_is_sound(h, class, step, &num_free)) {
                return false;
            }
            any = h->lists[class][step] != NULL ? h->lists[class][step] : any;
        }
    }
    if (any == NULL) {
        return h->used_len == h->total_len;
    }
    while (any->before_len != 0) {
        any = block_at(any, -(ptrdiff_t)any->before_len);
    }
    return region_is_sound(h, any, num_free);
}
