// As much of JSON as the probe needs: a flat object of texts and numbers.

export class Parser {
  at: i32 = 0;
  texts: Map<string, string> = new Map();
  numbers: Map<string, f64> = new Map();
  constructor(private src: Uint8Array) {}

  /** False at the first thing that doesn't fit. */
  object(): bool {
    if (!this.eat(0x7b)) return false;
    do {
      const key = this.text();
      if (key === null || !this.eat(0x3a)) return false;
      if (this.peek() == 0x22) {
        const value = this.text();
        if (value === null) return false;
        this.texts.set(key, value);
      } else {
        const value = this.number();
        if (isNaN(value)) return false;
        this.numbers.set(key, value);
      }
    } while (this.eat(0x2c));
    return this.eat(0x7d) && this.peek() == -1;
  }

  private next(): i32 { return this.at < this.src.length ? this.src[this.at] : -1; }
  private peek(): i32 {
    while (this.next() == 32 || this.next() == 9 || this.next() == 10 || this.next() == 13) this.at++;
    return this.next();
  }
  private eat(c: i32): bool { if (this.peek() != c) return false; this.at++; return true; }
  private from(start: i32): string { return String.UTF8.decodeUnsafe(this.src.dataStart + start, this.at - start); }

  private number(): f64 {
    const start = this.at;
    for (let c = this.next(); (c >= 0x30 && c <= 0x39) || c == 0x2d || c == 0x2b || c == 0x2e || c == 0x65 || c == 0x45; c = this.next()) this.at++;
    return this.at == start ? NaN : parseFloat(this.from(start));
  }

  private text(): string | null {
    if (!this.eat(0x22)) return null;
    let all = '', start = this.at;
    for (let c = this.next(); c != -1; c = this.next()) {
      if (c != 0x22 && c != 0x5c) { this.at++; continue; }
      all += this.from(start);
      this.at++;
      if (c == 0x22) return all;
      const escape = this.next();
      this.at++;
      if (escape == 0x75) {
        all += String.fromCharCode(<i32>parseInt(String.UTF8.decodeUnsafe(this.src.dataStart + this.at, 4), 16));
        this.at += 4;
      } else all += escape == 0x6e ? '\n' : String.fromCharCode(escape);
      start = this.at;
    }
    return null;
  }
}

export function quoted(text: string): string {
  let all = '"';
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c == 0x22 || c == 0x5c) all += '\\' + text.charAt(i);
    else if (c < 0x20) all += '\\u' + c.toString(16).padStart(4, '0');
    else all += text.charAt(i);
  }
  return all + '"';
}
