/* What a ClientHello says: see tls_hello.h. */
#include "tls_hello.h"

#include "text.h"

#define EXT_SERVER_NAME    0
#define EXT_STATUS_REQUEST 5
#define STATUS_TYPE_OCSP   1
#define NAME_TYPE_HOST     0
#define LABEL_MAX          63

bool tls_take_vector(struct slice *in, size_t len_len, struct slice *out)
{
    struct slice rest = *in;
    uint64_t len;
    if (!slice_be(&rest, len_len, &len) || !slice_take(&rest, (size_t)len, out)) {
        return false;
    }
    *in = rest;
    return true;
}

/*  struct {
 *      CertificateStatusType status_type;
 *      select (status_type) { case ocsp: OCSPStatusRequest; } request;
 *  } CertificateStatusRequest;
 *  struct {
 *      ResponderID responder_id_list<0..2^16-1>;    opaque ResponderID<1..2^16-1>;
 *      Extensions  request_extensions;              opaque Extensions<0..2^16-1>;
 *  } OCSPStatusRequest;
 * What it asks for in particular is not looked at: there is one proof. */
static bool parse_status_request(struct slice in, bool *out_is_ocsp)
{
    uint8_t type;
    struct slice responders, responder, extensions;
    if (!slice_u8(&in, &type)) {
        return false;
    }
    *out_is_ocsp = type == STATUS_TYPE_OCSP;
    if (!*out_is_ocsp) {
        return true;
    }
    if (!tls_take_vector(&in, 2, &responders) || !tls_take_vector(&in, 2, &extensions)) {
        return false;
    }
    while (!slice_is_empty(responders)) {
        if (!tls_take_vector(&responders, 2, &responder) || slice_is_empty(responder)) {
            return false;
        }
    }
    return slice_is_empty(in);
}

/*  struct { NameType name_type; select (name_type) { case host_name: HostName; } name; }
 * ServerName; struct { ServerName server_name_list<1..2^16-1> } ServerNameList;    opaque
 * HostName<1..2^16-1>; */
static struct slice parse_server_name(struct slice in)
{
    struct slice list, name;
    uint8_t type;
    if (tls_take_vector(&in, 2, &list) && slice_is_empty(in)) {
        while (slice_u8(&list, &type) && tls_take_vector(&list, 2, &name)) {
            if (type == NAME_TYPE_HOST) {
                return name;
            }
        }
    }
    return slice_make(NULL, 0);
}

/*  ProtocolVersion legacy_version;  Random random;  opaque legacy_session_id<0..32>;
 *  CipherSuite cipher_suites<2..2^16-2>;  opaque legacy_compression_methods<1..2^8-1>;
 *  Extension extensions<8..2^16-1>; */
static bool take_extensions(struct slice *body, struct slice *out)
{
    struct slice skipped;
    return slice_skip(body, 2 + 32) && tls_take_vector(body, 1, &skipped) &&
           tls_take_vector(body, 2, &skipped) && tls_take_vector(body, 1, &skipped) &&
           tls_take_vector(body, 2, out);
}

enum tls_hello_result tls_hello_parse(struct slice body, struct tls_hello *out)
{
    struct slice extensions, data;
    uint16_t type;
    bool seen_status = false;
    enum tls_hello_result result = TLS_HELLO_OK;
    memset(out, 0, sizeof *out);
    if (!take_extensions(&body, &extensions)) {
        return TLS_HELLO_OK;
    }
    if (!slice_is_empty(body)) {
        return TLS_HELLO_TRAILING;
    }
    while (slice_be16(&extensions, &type) && tls_take_vector(&extensions, 2, &data)) {
        if (type == EXT_SERVER_NAME && slice_is_empty(out->host_name)) {
            out->host_name = parse_server_name(data);
        }
        if (type != EXT_STATUS_REQUEST) {
            continue;
        }
        if (seen_status) {
            result = TLS_HELLO_STATUS_TWICE;
        } else if (!parse_status_request(data, &out->asks_for_proof)) {
            result = TLS_HELLO_STATUS_MALFORMED;
        }
        seen_status = true;
    }
    return result;
}

static bool is_label_byte(uint8_t c)
{
    return text_is_alpha(c) || text_is_digit(c) || c == '-';
}

static bool is_valid_name(struct slice name)
{
    size_t label_len = 0;
    for (size_t i = 0; i <= name.len; i++) {
        if (i == name.len || name.ptr[i] == '.') {
            bool ends_in_hyphen = label_len != 0 && name.ptr[i - 1] == '-';
            if (label_len == 0 || label_len > LABEL_MAX || ends_in_hyphen) {
                return false;
            }
            label_len = 0;
        } else if (!is_label_byte(name.ptr[i]) || (label_len == 0 && name.ptr[i] == '-')) {
            return false;
        } else {
            label_len++;
        }
    }
    return name.len <= TLS_NAME_MAX;
}

bool tls_hello_put_name(struct buf *out, struct slice host_name)
{
    if (!is_valid_name(host_name) || buf_room(out) < host_name.len) {
        return false;
    }
    for (size_t i = 0; i < host_name.len; i++) {
        (void)buf_put_u8(out, text_lower(host_name.ptr[i]));
    }
    return true;
}
