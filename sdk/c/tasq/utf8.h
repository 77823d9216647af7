/* UTF-8 that the host would refuse is a trap, so whatever leaves as text passes through here. */
#ifndef TASQ_UTF8_H
#define TASQ_UTF8_H
#include <stddef.h>

/* How many bytes the character at `p` has, 0 where none of UTF-8 stands there. */
static inline size_t tasq_utf8_char(const char *p, const char *end) {
  const unsigned char *s = (const unsigned char *)p;
  if (p >= end) return 0;
  if (s[0] < 0x80) return 1;
  size_t n = s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
  if (!n || (size_t)(end - p) < n) return 0;
  for (size_t i = 1; i < n; i++) if ((s[i] & 0xc0) != 0x80) return 0;
  /* Overlong forms, surrogates and what lies above U+10FFFF. */
  if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) return 0;
  return n;
}

/* Where the first byte lies that isn't UTF-8, `end` where there is none. */
static inline const char *tasq_utf8_flaw(const char *p, const char *end) {
  for (size_t n; p < end && (n = tasq_utf8_char(p, end)); p += n) {}
  return p;
}

/* Writes a `?` over every byte that isn't UTF-8. */
static inline void tasq_utf8_mend(char *text, size_t len) {
  for (char *end = text + len; (text = (char *)tasq_utf8_flaw(text, end)) < end; *text = '?') {}
}
#endif
