// Counts what is in a text: teaches raw payloads, memory that lives as long as the run, and a result that is written bit by bit.
//
// The payload is text in UTF-8; the result is {"lines": …, "words": …, "different": …, "characters": …, "longest": "…", "frequent": [["the", 3], …]}. A word is a row
// of letters, digits and whatever isn't ASCII; upper and lower case are told apart.
#include "tasq/tasq.h"
#include "tasq/json.h"

enum { FREQUENT = 5 };

typedef struct { tasq_bytes word; size_t count; } entry;

static bool in_word(unsigned char c) { return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

static int by_word(const void *a, const void *b) {
  const tasq_bytes *x = a, *y = b;
  int order = memcmp(x->ptr, y->ptr, x->len < y->len ? x->len : y->len);
  return order ? order : (x->len > y->len) - (x->len < y->len);
}

// The most frequent first; of those that are equally frequent, in the order of the alphabet.
static int by_count(const void *a, const void *b) {
  const entry *x = a, *y = b;
  return x->count != y->count ? (x->count < y->count) - (x->count > y->count) : by_word(&x->word, &y->word);
}

// The words where they lie in the text. Writes how many there are.
static tasq_bytes *words_of(tasq_bytes text, size_t *count) {
  // Words are parted by at least a byte.
  tasq_bytes *words = tasq_alloc((text.len / 2 + 1) * sizeof *words);
  *count = 0;
  for (size_t i = 0; i < text.len; i++) {
    if (!in_word((unsigned char)text.ptr[i])) continue;
    size_t from = i;
    while (i < text.len && in_word((unsigned char)text.ptr[i])) i++;
    words[(*count)++] = (tasq_bytes){text.ptr + from, i - from};
  }
  return words;
}

// `words` sorted, each once with its count.
static entry *counted(tasq_bytes *words, size_t count, size_t *different) {
  entry *entries = tasq_alloc((count + 1) * sizeof *entries);
  qsort(words, count, sizeof *words, by_word);
  *different = 0;
  for (size_t i = 0; i < count; i++) {
    if (i > 0 && !by_word(&words[i], &words[i - 1])) entries[*different - 1].count++;
    else entries[(*different)++] = (entry){words[i], 1};
  }
  qsort(entries, *different, sizeof *entries, by_count);
  return entries;
}

static tasq_result tasq_handle(tasq_bytes text, const tasq_task *task) {
  (void)task;
  const char *end = text.ptr + text.len, *flaw = tasq_utf8_flaw(text.ptr, end);
  if (flaw < end) return tasq_discard("invalid-payload", "no UTF-8 at byte %zu", (size_t)(flaw - text.ptr));
  size_t lines = 0, characters = 0, count, different;
  for (size_t i = 0; i < text.len; i++) lines += text.ptr[i] == '\n', characters += (text.ptr[i] & 0xc0) != 0x80;
  tasq_bytes *words = words_of(text, &count), longest = tasq_text("");
  tasq_progress(50, "read");
  for (size_t i = 0; i < count; i++) longest = words[i].len > longest.len ? words[i] : longest;
  entry *entries = counted(words, count, &different);
  tasq_bytes frequent = tasq_text("");
  for (size_t i = 0; i < different && i < FREQUENT; i++)
    frequent = tasq_format("%s%s[%s,%zu]", frequent.ptr, i ? "," : "", tasq_json_quote(entries[i].word).ptr, entries[i].count);
  return tasq_ok(tasq_format("{\"lines\":%zu,\"words\":%zu,\"different\":%zu,\"characters\":%zu,\"longest\":%s,\"frequent\":[%s]}",
                             lines, count, different, characters, tasq_json_quote(longest).ptr, frequent.ptr));
}
