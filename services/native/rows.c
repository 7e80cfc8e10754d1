/* The per-row work of transform and cheapest.
 *
 * Nothing here knows Python or needs librdkafka's headers: the caller passes the addresses of the few librdkafka functions that
 * are used, all of its public, stable C interface. What a row must look like is told in services/transform/rows.py; this accepts
 * a subset of it (plain rows), so that whatever it does not accept is judged there.
 */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef CFLIGHT_SOURCE
#define CFLIGHT_SOURCE ""
#endif

enum {
    ID_DIGITS = 32,
    HEAD = 18,         /* LHR,IST,2020-08-01 */
    ROW_BYTES = 120,   /* an Avro row in the wire format */
    PREFIX_BYTES = 5,  /* of the wire format */
    PRICE_AT = 24,
    ROW_ID_AT = 35,
    COPY_PAYLOAD = 2,  /* RD_KAFKA_MSG_F_COPY */
    MOST_DIGITS = 15,  /* an integer of so many digits is exact as a double, and so are powers of ten up to 22 */
};

/* rd_kafka_message_t of rdkafka.h */
typedef struct {
    int err;
    void *topic;
    int32_t partition;
    void *payload;
    size_t length;
    void *key;
    size_t key_length;
    int64_t offset;
    void *private_;
} message_t;

typedef struct {
    int (*produce_batch)(void *topic, int32_t partition, int flags, message_t *messages, int count);
    ptrdiff_t (*consume_batch_queue)(void *queue, int timeout_ms, message_t **messages, size_t most);
    void (*message_destroy)(message_t *message);
    int (*message_headers)(const message_t *message, void **headers);
    int (*header_get_last)(const void *headers, const char *name, const void **value, size_t *size);
} api_t;

/* Consecutive rows of one batch, or one message that has to be looked at alone (odd). */
typedef struct {
    int64_t first;
    int64_t last;
    int64_t expected; /* -1 where the first row does not say */
    double price;
    int32_t partition;
    int32_t rows;
    int32_t odd;
    int32_t error;
    message_t *message; /* of an odd run: to be given back by cflight_release */
    uint8_t key[ID_DIGITS];
    uint8_t row_id[ID_DIGITS];
} run_t;

const char *cflight_source(void) { return CFLIGHT_SOURCE; }

static int is_upper(uint8_t c) { return c >= 'A' && c <= 'Z'; }

static int is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

static int is_date(const uint8_t *p) {
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    for (int i = 0; i < 10; i++)
        if (i == 4 || i == 7 ? p[i] != '-' : !is_digit(p[i])) return 0;
    int year = (p[0] - '0') * 1000 + (p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0');
    int month = (p[5] - '0') * 10 + (p[6] - '0');
    int day = (p[8] - '0') * 10 + (p[9] - '0');
    if (year < 1 || month < 1 || month > 12 || day < 1) return 0;
    int leap = month == 2 && (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    return day <= days[month - 1] + leap;
}

/* Reads a price that ends at a comma. Returns its length, or 0 if it is not a plain price. */
static size_t read_price(const uint8_t *p, size_t left, double *price) {
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    uint64_t value = 0;
    size_t at = 0, digits = 0, fraction = 0;
    while (at < left && is_digit(p[at]) && digits < MOST_DIGITS) value = value * 10 + (p[at++] - '0'), digits++;
    if (!digits || at >= left) return 0;
    if (p[at] == '.') {
        at++;
        while (at < left && is_digit(p[at]) && digits < MOST_DIGITS) value = value * 10 + (p[at++] - '0'), digits++, fraction++;
        if (!fraction) return 0;
    }
    if (at >= left || p[at] != ',' || !value) return 0;
    *price = (double)value / powers[fraction];
    return at;
}

/* Returns the rows of a text all of whose lines are plain rows ended by LF, else -1. */
int64_t cflight_count_plain(const uint8_t *text, size_t length) {
    const uint8_t *p = text, *end = text + length;
    int64_t rows = 0;
    double price;
    while (p < end) {
        size_t left = (size_t)(end - p);
        if (left < HEAD + 5) return -1;
        if (!(is_upper(p[0]) && is_upper(p[1]) && is_upper(p[2]) && p[3] == ',')) return -1;
        if (!(is_upper(p[4]) && is_upper(p[5]) && is_upper(p[6]) && p[7] == ',')) return -1;
        if (!is_date(p + 8) || p[HEAD] != ',') return -1;
        size_t used = read_price(p + HEAD + 1, left - HEAD - 1, &price);
        if (!used) return -1;
        p += HEAD + 1 + used + 1;
        if (end - p < 2 || !is_upper(p[0]) || p[1] != '\n') return -1;
        p += 2;
        rows++;
    }
    return rows;
}

/* Enriches up to `most` canonical rows: appends their lines to the bundle and their Avro to the values.
 * Returns the bytes of text used; *rows and *bundle_used say what was written. A price that is not plain is left to strtod: the
 * text is canonical, so it ends at a comma. */
size_t cflight_enrich(const uint8_t *text, size_t length, int64_t most, const uint8_t *ids, const uint8_t *head, const uint8_t *avro_tail,
                      const uint8_t *bundle_tail, size_t bundle_tail_length, uint8_t *bundle, size_t *bundle_used, uint8_t *values,
                      int64_t *rows) {
    const uint8_t *p = text, *end = text + length;
    uint8_t *out = bundle, *value = values;
    int64_t row = 0;
    for (; row < most && p < end; row++) {
        const uint8_t *line_end = memchr(p, '\n', (size_t)(end - p));
        size_t line = (size_t)(line_end - p);
        double price;
        if (!read_price(p + HEAD + 1, line - HEAD - 1, &price)) price = strtod((const char *)p + HEAD + 1, NULL);

        memcpy(value, head, PREFIX_BYTES);
        value[5] = 3 << 1, memcpy(value + 6, p, 3);
        value[9] = 3 << 1, memcpy(value + 10, p + 4, 3);
        value[13] = 10 << 1, memcpy(value + 14, p + 8, 10);
        memcpy(value + PRICE_AT, &price, 8); /* little-endian machines only, see the loader */
        value[32] = 1 << 1, value[33] = line_end[-1];
        value[34] = ID_DIGITS << 1, memcpy(value + ROW_ID_AT, ids, ID_DIGITS);
        memcpy(value + 67, avro_tail, ROW_BYTES - 67);
        value += ROW_BYTES;

        memcpy(out, p, line), out += line;
        *out++ = ',';
        memcpy(out, ids, ID_DIGITS), out += ID_DIGITS, ids += ID_DIGITS;
        memcpy(out, bundle_tail, bundle_tail_length), out += bundle_tail_length;
        p = line_end + 1;
    }
    *rows = row;
    *bundle_used = (size_t)(out - bundle);
    return (size_t)(p - text);
}

/* Produces rows. Returns how many were taken. */
int cflight_produce(const api_t *api, void *topic, uint8_t *values, int count, uint8_t *key, message_t *messages) {
    memset(messages, 0, sizeof(message_t) * (size_t)count);
    for (int i = 0; i < count; i++) {
        messages[i].payload = values + (size_t)i * ROW_BYTES;
        messages[i].length = ROW_BYTES;
        messages[i].key = key;
        messages[i].key_length = ID_DIGITS;
    }
    return api->produce_batch(topic, -1, COPY_PAYLOAD, messages, count);
}

static int is_plain_row(const message_t *m, const uint8_t *prefix) {
    const uint8_t *v = m->payload;
    double price;
    if (m->err || m->length != ROW_BYTES || m->key_length != ID_DIGITS || memcmp(v, prefix, PREFIX_BYTES)) return 0;
    if (v[5] != 3 << 1 || v[9] != 3 << 1 || v[13] != 10 << 1 || v[32] != 1 << 1) return 0;
    if (v[34] != ID_DIGITS << 1 || v[67] != ID_DIGITS << 1 || v[100] != 19 << 1) return 0;
    memcpy(&price, v + PRICE_AT, 8);
    return price > 0 && price < HUGE_VAL;
}

static int64_t read_expected(const api_t *api, const message_t *m, const char *name) {
    void *headers;
    const void *value;
    size_t size;
    if (api->message_headers(m, &headers) || api->header_get_last(headers, name, &value, &size)) return -1;
    int64_t expected = 0;
    if (size < 1 || size > 12) return -1;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = ((const uint8_t *)value)[i];
        if (!is_digit(c)) return -1;
        expected = expected * 10 + (c - '0');
    }
    return expected;
}

/* Reads up to `most` messages and tells them as runs, at most one a message. Returns how many runs. */
int cflight_consume(const api_t *api, void *queue, int timeout_ms, int most, const uint8_t *prefix, const char *header,
                    message_t **messages, run_t *runs, int *read) {
    ptrdiff_t count = api->consume_batch_queue(queue, timeout_ms, messages, (size_t)most);
    int used = 0;
    run_t *run = NULL;
    *read = count < 0 ? 0 : (int)count;
    for (ptrdiff_t i = 0; i < count; i++) {
        message_t *m = messages[i];
        if (!is_plain_row(m, prefix)) {
            run_t *odd = &runs[used++];
            memset(odd, 0, sizeof *odd);
            odd->odd = 1, odd->error = m->err, odd->message = m, odd->rows = 1;
            odd->partition = m->partition, odd->first = odd->last = m->offset;
            odd->expected = m->err ? -1 : read_expected(api, m, header);
            run = NULL;
            continue;
        }
        const uint8_t *v = m->payload;
        double price;
        memcpy(&price, v + PRICE_AT, 8);
        if (run == NULL || run->partition != m->partition || memcmp(run->key, m->key, ID_DIGITS)) {
            run = &runs[used++];
            run->odd = 0, run->error = 0, run->message = NULL, run->rows = 1;
            run->partition = m->partition, run->first = run->last = m->offset;
            run->expected = read_expected(api, m, header);
            run->price = price;
            memcpy(run->key, m->key, ID_DIGITS);
            memcpy(run->row_id, v + ROW_ID_AT, ID_DIGITS);
        } else {
            run->rows++;
            run->last = m->offset;
            if (price < run->price) {
                run->price = price;
                memcpy(run->row_id, v + ROW_ID_AT, ID_DIGITS);
            }
        }
        api->message_destroy(m);
    }
    return used;
}

void cflight_release(const api_t *api, message_t *message) { api->message_destroy(message); }
