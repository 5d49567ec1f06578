/* Users and groups: see posix_ids.h. Both files have lines of the form NAME:WHATEVER:NUMBER:REST.
 */
#include "posix_ids.h"

#include "text.h"

#include <fcntl.h>
#include <unistd.h>

#define PIECE_LEN 512

struct line {
    char name[PORT_USER_NAME_CAP];
    size_t name_len; /* over the cap: too long to be kept */
    uint64_t number;
    uint64_t group; /* of a user: his first group; UINT32_MAX or more: none */
    uint32_t num_digits;
    uint32_t field;
    bool is_odd; /* something else than digits stands where the number belongs */
};

static bool is_plain(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        bool word = text_is_alpha(c) || text_is_digit(c);
        if (!word && (i == 0 || (c != '.' && c != '-' && c != '_'))) {
            return false;
        }
    }
    return name.len > 0;
}

static void take_byte(struct line *l, char c)
{
    if (c == ':') {
        l->field++;
    } else if (l->field == 0) {
        if (l->name_len < sizeof l->name - 1) {
            l->name[l->name_len] = c;
        }
        l->name_len++;
    } else if (l->field == 2) {
        l->is_odd = l->is_odd || c < '0' || c > '9' || l->num_digits >= 10;
        l->number = l->number * 10 + (uint64_t)(c - '0');
        l->num_digits++;
    } else if (l->field == 3) { /* of a group its members stand here */
        bool is_digit = c >= '0' && c <= '9' && l->group < UINT32_MAX;
        l->group = is_digit ? l->group * 10 + (uint64_t)(c - '0') : UINT32_MAX;
    }
}

/* Whether the line is whole as far as it matters here. */
static bool is_entry(const struct line *l)
{
    return l->field >= 3 && !l->is_odd && l->num_digits > 0 && l->number < UINT32_MAX &&
           l->name_len > 0 && l->name_len < sizeof l->name;
}

/* Whether that is the line looked for: by name, or by *number if name is NULL. */
static bool is_wanted(const struct line *l, const char *name, const uint32_t *number)
{
    if (!is_entry(l)) {
        return false;
    }
    return name != NULL ? strcmp(l->name, name) == 0 : l->number == *number;
}

static bool find(struct line *out, const char *file, const char *name, const uint32_t *number)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    char piece[PIECE_LEN];
    ssize_t len;
    bool found = false;
    memset(out, 0, sizeof *out);
    while (fd >= 0 && !found && (len = read(fd, piece, sizeof piece)) > 0) {
        for (ssize_t i = 0; i < len && !found; i++) {
            if (piece[i] != '\n') {
                take_byte(out, piece[i]);
                continue;
            }
            found = is_wanted(out, name, number);
            if (!found) {
                memset(out, 0, sizeof *out);
            }
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return found || is_wanted(out, name, number);
}

void posix_id_name(char out[PORT_USER_NAME_CAP], const char *file, uint32_t id)
{
    struct line l;
    bool found = find(&l, file, NULL, &id) && is_plain(slice_make(l.name, l.name_len));
    memcpy(out, found ? l.name : "", found ? l.name_len + 1 : 1);
}

bool posix_id_number(uint32_t *out, const char *file, const char *name)
{
    struct line l;
    uint64_t number = 0;
    bool is_number = text_parse_u64(slice_of_string(name), UINT32_MAX - 1, &number);
    if (!is_number && !find(&l, file, name, NULL)) {
        return false;
    }
    *out = (uint32_t)(is_number ? number : l.number);
    return true;
}

bool posix_id_of_user(uint32_t *out_uid, uint32_t *out_gid, const char *name)
{
    struct line l;
    if (!posix_id_number(out_uid, POSIX_USERS_FILE, name)) {
        return false;
    }
    bool found = find(&l, POSIX_USERS_FILE, NULL, out_uid) && l.group < UINT32_MAX;
    *out_gid = found ? (uint32_t)l.group : *out_uid;
    return true;
}
