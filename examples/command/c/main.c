// Counts lines, words and characters: teaches that any program is a handler, and how one discards and snoozes.
#include <stdio.h>

enum { DISCARD = 65 }; // bad data: never again

// How many bytes follow the first one of a character; -1 where it can't be a first one.
static int following(int byte) {
  return byte < 0x80 ? 0 : byte >= 0xc2 && byte < 0xe0 ? 1 : (byte & 0xf0) == 0xe0 ? 2 : byte >= 0xf0 && byte < 0xf5 ? 3 : -1;
}

int main(void) {
  size_t bytes = 0, lines = 0, words = 0, characters = 0;
  int missing = 0, in_word = 0;
  for (int byte; (byte = getchar()) != EOF; bytes++) {
    if (missing > 0 && (byte & 0xc0) == 0x80) {
      missing--;
      continue;
    }
    if (missing > 0 || (missing = following(byte)) < 0) {
      fprintf(stderr, "no UTF-8 at byte %zu\n", bytes);
      return DISCARD;
    }
    int blank = byte == ' ' || (byte >= '\t' && byte <= '\r' && byte != '\v');
    words += !blank && !in_word;
    in_word = !blank;
    lines += byte == '\n';
    characters++;
  }
  if (bytes == 0) {
    fputs("tasq: snooze 30s: nothing to count yet\n", stderr); // whatever the status, the last line decides
    return 1;
  }
  if (missing > 0) {
    fputs("no UTF-8 at the end\n", stderr);
    return DISCARD;
  }
  printf("{\"lines\":%zu,\"words\":%zu,\"characters\":%zu}\n", lines, words, characters);
}
