/* JSON for handlers in C and C++: reads where it lies, and copies only a string that is asked for.

     if (!tasq_json_valid(payload)) return tasq_discard("invalid-payload", "not JSON");
     double x;
     if (!tasq_json_number(tasq_json_get(payload, "x"), &x)) …

   A value is the part of the text that it stands in; one with ptr NULL is none, and every function takes it. */
#ifndef TASQ_JSON_H
#define TASQ_JSON_H
#include "tasq.h"

enum { TASQ_JSON_DEPTH = 100 }; /* lists and objects inside of each other; the stack is small */

/* ---- Inside: each returns where it stopped, NULL where it found a flaw ---- */

static inline const char *tasq_json_blank(const char *p, const char *end) {
  while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
  return p;
}

static inline const char *tasq_json_word(const char *p, const char *end, const char *word) {
  size_t n = strlen(word);
  return (size_t)(end - p) >= n && !memcmp(p, word, n) ? p + n : NULL;
}

static inline const char *tasq_json_digits(const char *p, const char *end) {
  const char *from = p;
  while (p < end && *p >= '0' && *p <= '9') p++;
  return p > from ? p : NULL;
}

static inline const char *tasq_json_end_of_number(const char *p, const char *end) {
  if (p < end && *p == '-') p++;
  const char *whole = p;
  if (!(p = tasq_json_digits(p, end)) || (*whole == '0' && p > whole + 1)) return NULL;
  if (p < end && *p == '.' && !(p = tasq_json_digits(p + 1, end))) return NULL;
  if (p < end && (*p == 'e' || *p == 'E')) {
    p++;
    if (p < end && (*p == '+' || *p == '-')) p++;
    p = tasq_json_digits(p, end);
  }
  return p;
}

static inline int tasq_json_hex(const char *p, const char *end) {
  int n = 0;
  if (end - p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    char c = p[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    n = n * 16 + digit;
  }
  return n;
}

static inline const char *tasq_json_end_of_string(const char *p, const char *end) {
  for (p++; p < end && *p != '"';) {
    if ((unsigned char)*p < 0x20) return NULL;
    if (*p != '\\') {
      size_t n = tasq_utf8_char(p, end);
      if (!n) return NULL;
      p += n;
    } else if (end - p > 1 && p[1] == 'u') {
      if (tasq_json_hex(p + 2, end) < 0) return NULL;
      p += 6;
    } else {
      if (end - p < 2 || !p[1] || !strchr("\"\\/bfnrt", p[1])) return NULL;
      p += 2;
    }
  }
  return p < end ? p + 1 : NULL;
}

static const char *tasq_json_end_of_value(const char *p, const char *end, int depth);

static inline const char *tasq_json_end_of_list(const char *p, const char *end, int depth) {
  char close = *p == '{' ? '}' : ']';
  p = tasq_json_blank(p + 1, end);
  if (p < end && *p == close) return p + 1;
  for (;;) {
    if (close == '}') {
      if (p >= end || *p != '"' || !(p = tasq_json_end_of_string(p, end))) return NULL;
      p = tasq_json_blank(p, end);
      if (p >= end || *p++ != ':') return NULL;
      p = tasq_json_blank(p, end);
    }
    if (!(p = tasq_json_end_of_value(p, end, depth + 1))) return NULL;
    p = tasq_json_blank(p, end);
    if (p >= end) return NULL;
    if (*p == close) return p + 1;
    if (*p != ',') return NULL;
    p = tasq_json_blank(p + 1, end);
  }
}

__attribute__((unused)) static const char *tasq_json_end_of_value(const char *p, const char *end, int depth) {
  if (p >= end || depth > TASQ_JSON_DEPTH) return NULL;
  switch (*p) {
    case '{': case '[': return tasq_json_end_of_list(p, end, depth);
    case '"': return tasq_json_end_of_string(p, end);
    case 't': return tasq_json_word(p, end, "true");
    case 'f': return tasq_json_word(p, end, "false");
    case 'n': return tasq_json_word(p, end, "null");
    default: return tasq_json_end_of_number(p, end);
  }
}

static inline tasq_bytes tasq_json_none(void) { tasq_bytes none = {NULL, 0}; return none; }

/* ---- Reading ---- */

/* Whether this is one JSON value in UTF-8, not nested deeper than TASQ_JSON_DEPTH. The rest wants to be asked
   about text for which this is true. */
static inline bool tasq_json_valid(tasq_bytes json) {
  const char *end = json.ptr + json.len, *p = tasq_json_end_of_value(tasq_json_blank(json.ptr, end), end, 0);
  return p && tasq_json_blank(p, end) == end;
}

static inline bool tasq_json_string(tasq_bytes value, tasq_bytes *text);

/* Walks over the members of an object or a list: starts where `at` is NULL, false after the last one.
   `key`, which may be NULL, is the member's name; for a list it stays as it is. */
static inline bool tasq_json_next(tasq_bytes value, const char **at, tasq_bytes *key, tasq_bytes *member) {
  const char *end = value.ptr + value.len, *p = *at;
  if (!value.ptr) return false;
  const char *open = tasq_json_blank(value.ptr, end);
  if (open == end || (*open != '{' && *open != '[')) return false;
  p = tasq_json_blank(p ? p : open + 1, end);
  if (p && p < end && *p == ',') p = tasq_json_blank(p + 1, end);
  if (!p || p == end || *p == '}' || *p == ']') return false;
  if (*open == '{') {
    tasq_bytes name = {p, 0};
    if (!(p = tasq_json_end_of_string(p, end))) return false;
    name.len = (size_t)(p - name.ptr);
    if (key && !tasq_json_string(name, key)) return false;
    p = tasq_json_blank(tasq_json_blank(p, end) + 1, end);
  }
  member->ptr = p;
  if (!(*at = tasq_json_end_of_value(p, end, 0))) return false;
  member->len = (size_t)(*at - p);
  return true;
}

/* The member of that name, none where there is no such member or no object. */
static inline tasq_bytes tasq_json_get(tasq_bytes object, const char *key) {
  const char *at = NULL;
  tasq_bytes name = {NULL, 0}, member;
  while (tasq_json_next(object, &at, &name, &member)) if (name.ptr && tasq_is(name, key)) return member;
  return tasq_json_none();
}

static inline bool tasq_json_number(tasq_bytes value, double *number) {
  if (!value.ptr || tasq_json_end_of_number(value.ptr, value.ptr + value.len) != value.ptr + value.len) return false;
  *number = strtod(value.ptr, NULL); /* stops where the value does: what follows it is a comma, a bracket, a blank or 0 */
  return true;
}

static inline bool tasq_json_bool(tasq_bytes value, bool *flag) {
  *flag = value.ptr && tasq_is(value, "true");
  return *flag || (value.ptr && tasq_is(value, "false"));
}

static inline bool tasq_json_is_null(tasq_bytes value) { return value.ptr && tasq_is(value, "null"); }

static inline char *tasq_json_encode(char *out, uint32_t c) {
  if (c < 0x80) { *out++ = (char)c; return out; }
  if (c < 0x800) *out++ = (char)(0xc0 | c >> 6);
  else {
    if (c < 0x10000) *out++ = (char)(0xe0 | c >> 12);
    else *out++ = (char)(0xf0 | c >> 18), *out++ = (char)(0x80 | (c >> 12 & 0x3f));
    *out++ = (char)(0x80 | (c >> 6 & 0x3f));
  }
  *out++ = (char)(0x80 | (c & 0x3f));
  return out;
}

/* The text of a string, followed by a 0. A surrogate that stands alone becomes U+FFFD. */
static inline bool tasq_json_string(tasq_bytes value, tasq_bytes *text) {
  if (!value.ptr || value.len < 2 || *value.ptr != '"') return false;
  char *from = (char *)tasq_alloc(value.len), *out = from; /* an escape is never shorter than what it stands for */
  for (const char *p = value.ptr + 1, *end = value.ptr + value.len - 1; p < end;) {
    if (*p != '\\') { *out++ = *p++; continue; }
    const char *plain = "\"\"\\\\//b\bf\fn\nr\rt\t";
    if (p[1] != 'u') {
      while (*plain != p[1]) plain += 2;
      *out++ = plain[1], p += 2;
      continue;
    }
    uint32_t c = (uint32_t)tasq_json_hex(p + 2, end);
    p += 6;
    if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
      uint32_t low = (uint32_t)tasq_json_hex(p + 2, end);
      if (low >= 0xdc00 && low < 0xe000) c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00), p += 6;
    }
    out = tasq_json_encode(out, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
  }
  *out = 0;
  text->ptr = from, text->len = (size_t)(out - from);
  return true;
}

/* ---- Writing: tasq_format does the rest ---- */

/* The text as a JSON string, quotes included. */
static inline tasq_bytes tasq_json_quote(tasq_bytes text) {
  text = tasq_utf8(text);
  char *from = (char *)tasq_alloc(text.len * 6 + 2), *out = from;
  *out++ = '"';
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    if (c == '"' || c == '\\') *out++ = '\\', *out++ = (char)c;
    else if (c >= 0x20) *out++ = (char)c;
    else out += sprintf(out, "\\u%04x", c);
  }
  *out++ = '"', *out = 0;
  tasq_bytes b = {from, (size_t)(out - from)};
  return b;
}
#endif
