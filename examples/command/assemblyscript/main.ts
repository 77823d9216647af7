// Counts lines, words and characters: teaches that any program is a handler, and how one discards and snoozes. WASI's functions are called by hand; their
// answers go to `out`.
// @ts-ignore: decorator
@external('wasi_snapshot_preview1', 'fd_read')
declare function fd_read(fd: u32, pieces: usize, count: u32, read: usize): u32;
// @ts-ignore: decorator
@external('wasi_snapshot_preview1', 'fd_write')
declare function fd_write(fd: u32, pieces: usize, count: u32, written: usize): u32;
// @ts-ignore: decorator
@external('wasi_snapshot_preview1', 'proc_exit')
declare function proc_exit(status: u32): void;

const piece = memory.data(8, 4), out = memory.data(4, 4), chunk: i32 = 65536;

/** All of stdin. */
function input(): Uint8Array {
  let bytes = new Uint8Array(chunk), length = 0;
  while (true) {
    if (length == bytes.length) {
      const more = new Uint8Array(2 * length);
      more.set(bytes);
      bytes = more;
    }
    store<u32>(piece, <u32>(bytes.dataStart + length));
    store<u32>(piece, bytes.length - length, 4);
    if (fd_read(0, piece, 1, out) != 0) end('stdin can not be read', 1);
    const read = load<u32>(out);
    if (read == 0) return bytes.subarray(0, length);
    length += read;
  }
}

function write(fd: u32, text: string): void {
  const bytes = String.UTF8.encode(text + '\n');
  for (let at: u32 = 0; at < <u32>bytes.byteLength; at += load<u32>(out)) {
    store<u32>(piece, <u32>changetype<usize>(bytes) + at);
    store<u32>(piece, bytes.byteLength - at, 4);
    if (fd_write(fd, piece, 1, out) != 0) return;
  }
}

function end(text: string, status: u32): void {
  write(2, text);
  proc_exit(status);
}

/** `--use abort=main/abort`: what a failed check has to say, and a status that is tried again. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  end(`${message === null ? 'abort' : message} (${file === null ? '' : file}:${line}:${column})`, 1);
}

/** How many bytes the character at `p` has, 0 where none of UTF-8 stands there. */
function character(p: usize, left: i32): i32 {
  const first = load<u8>(p);
  if (first < 0x80) return 1;
  const size = first >= 0xc2 && first < 0xe0 ? 2 : (first & 0xf0) == 0xe0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  if (size == 0 || left < size) return 0;
  for (let i = 1; i < size; i++) if ((load<u8>(p + i) & 0xc0) != 0x80) return 0;
  const second = load<u8>(p + 1);
  // Overlong forms, surrogates and what lies above U+10FFFF.
  const is_bad = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
  return is_bad ? 0 : size;
}

const text = input();
let lines = 0, words = 0, characters = 0, in_word = false;
if (text.length == 0) end('tasq: snooze 30s: nothing to count yet', 1); // whatever the status, the last line decides
for (let i = 0; i < text.length; characters++) {
  const size = character(text.dataStart + i, text.length - i), byte = text[i];
  if (size == 0) end(`no UTF-8 at byte ${i}`, 65); // bad data: never again
  const is_blank = byte == 0x20 || (byte >= 0x09 && byte <= 0x0d && byte != 0x0b);
  if (!is_blank && !in_word) words++;
  in_word = !is_blank;
  if (byte == 0x0a) lines++;
  i += size;
}
write(1, `{"lines":${lines},"words":${words},"characters":${characters}}`);
