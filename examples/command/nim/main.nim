## Counts lines, words and characters: teaches that any program is a handler, and how one discards and snoozes.
import std/[json, strutils, unicode]

const noGood = 65 # bad data: never again

proc count() =
  let text = stdin.readAll()
  if text.len == 0:
    quit("tasq: snooze 30s: nothing to count yet", 1) # whatever the status, the last line decides
  let bad = text.validateUtf8()
  if bad >= 0:
    quit("no UTF-8 at byte " & $bad, noGood)
  var words = 0
  for word in text.split({' ', '\t', '\n', '\r', '\x0c'}):
    if word.len > 0: words += 1
  stdout.write($ %*{"lines": text.count('\n'), "words": words, "characters": text.runeLen})

# zig cc's C library calls a `main` with two parameters; Nim's own has three.
{.emit: "N_CDECL(void, NimMain)(void); int main(int argc, char **argv) { NimMain(); return 0; }".}
count()
