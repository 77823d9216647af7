// Counts lines, words and characters: teaches that any program is a handler, and how one discards and snoozes. This is betterC: D without its runtime,
// on C's library, whose functions are declared by hand since druntime knows no WASI.
extern (C) @nogc nothrow {
  struct FILE;
  extern __gshared FILE* stdin, stderr;
  int getc(FILE* from);
  int fputs(const(char)* text, FILE* to);
  int fprintf(FILE* to, const(char)* format, ...);
  int printf(const(char)* format, ...);
}

enum discard = 65; // bad data: never again

struct Counts {
  size_t bytes, lines, words, characters;
}

// How many bytes follow the first one of a character; -1 where it can't be a first one.
int following(int b) {
  return b < 0x80 ? 0 : b >= 0xc2 && b < 0xe0 ? 1 : (b & 0xf0) == 0xe0 ? 2 : b >= 0xf0 && b < 0xf5 ? 3 : -1;
}

// False where the text is no UTF-8 at byte `found.bytes`.
bool count(FILE* text, out Counts found) {
  int missing = 0;
  bool inWord = false;
  for (int b; (b = getc(text)) >= 0; found.bytes++) {
    if (missing > 0 && (b & 0xc0) == 0x80) {
      missing--;
      continue;
    }
    if (missing > 0 || (missing = following(b)) < 0) return false;
    const blank = b == ' ' || (b >= '\t' && b <= '\r' && b != '\v');
    found.words += !blank && !inWord;
    inWord = !blank;
    found.lines += b == '\n';
    found.characters++;
  }
  return missing == 0;
}

// The name by which WASI's library calls a `main` without arguments.
extern (C) int __main_void() {
  Counts found;
  const isText = count(stdin, found);
  if (!isText) {
    fprintf(stderr, "no UTF-8 at byte %zu\n", found.bytes);
    return discard;
  }
  if (found.bytes == 0) {
    fputs("tasq: snooze 30s: nothing to count yet\n", stderr); // whatever the status, the last line decides
    return 1;
  }
  printf("{\"lines\":%zu,\"words\":%zu,\"characters\":%zu}\n", found.lines, found.words, found.characters);
  return 0;
}
