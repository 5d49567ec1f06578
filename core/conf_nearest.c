/* The nearest option: see conf_nearest.h. */
#include "conf_nearest.h"

#include "conf.h"
#include "text.h"

#define NAME_MAX_LEN 40

#define GROUP(title)
#define OPTION(field, type, name, text, min, max, help) \
    _Static_assert(sizeof(name) - 1 <= NAME_MAX_LEN, "a row holds each name");
#include "conf.def"
#undef OPTION
#undef GROUP

/* One row of the table of distances between beginnings of two names. */
struct row {
    uint8_t cost[NAME_MAX_LEN + 1];
};

static uint8_t least(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

/* Edits that make a from b, both at most NAME_MAX_LEN long: rows are beginnings of a, columns of b.
 */
static uint8_t distance(struct slice a, struct slice b)
{
    struct row before, last, now;
    for (size_t j = 0; j <= b.len; j++) {
        last.cost[j] = (uint8_t)j;
    }
    before = last;
    for (size_t i = 1; i <= a.len; i++) {
        uint8_t c = text_lower(a.ptr[i - 1]);
        now.cost[0] = (uint8_t)i;
        for (size_t j = 1; j <= b.len; j++) {
            uint8_t d = text_lower(b.ptr[j - 1]);
            uint8_t replaced = (uint8_t)(last.cost[j - 1] + (c != d));
            uint8_t moved = least((uint8_t)(last.cost[j] + 1), (uint8_t)(now.cost[j - 1] + 1));
            now.cost[j] = least(replaced, moved);
            if (i > 1 && j > 1 && c == text_lower(b.ptr[j - 2]) && d == text_lower(a.ptr[i - 2])) {
                now.cost[j] = least(now.cost[j], (uint8_t)(before.cost[j - 2] + 1));
            }
        }
        before = last;
        last = now;
    }
    return last.cost[b.len];
}

const char *conf_nearest(struct slice name)
{
    const char *nearest = NULL;
    uint8_t nearest_distance = UINT8_MAX;
    if (name.len > NAME_MAX_LEN) {
        return NULL;
    }
    for (int i = 0; i < NUM_CONF_OPTIONS; i++) {
        struct slice option = slice_of_string(conf_option_name((enum conf_option)i));
        uint8_t d = distance(name, option);
        if (d < nearest_distance && d <= option.len / 3) {
            nearest = (const char *)option.ptr;
            nearest_distance = d;
        }
    }
    return nearest;
}
