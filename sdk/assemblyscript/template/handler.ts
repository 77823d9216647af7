import { Outcome, Task, discard, log, ok } from './tasq/tasq';

export function handle(payload: Uint8Array, task: Task): Outcome {
  log.info(`adding, attempt ${task.attempt}`);
  const p = new Parser(payload);
  if (!p.numbers()) return discard(`bad payload: unexpected input at byte ${p.at}`).withCode('invalid-payload');
  if (!p.found.has('arg1') || !p.found.has('arg2')) return discard('expected an object with the numbers arg1 and arg2').withCode('invalid-payload');
  const sum = p.found.get('arg1') + p.found.get('arg2');
  if (!isFinite(sum)) return discard('the sum is too large for a double').withCode('overflow');
  return ok(`{"result":${sum == Math.floor(sum) && Math.abs(sum) < 9e15 ? (<i64>sum).toString() : sum.toString()}}`);
}

// Without exceptions, a JSON library that throws would trap: this reads a flat object of numbers and says false on anything else.
class Parser {
  at: i32 = 0;
  found: Map<string, f64> = new Map();
  constructor(private src: Uint8Array) {}

  private next(): i32 { return this.at < this.src.length ? this.src[this.at] : -1; }
  private peek(): i32 {
    while (this.next() == 32 || this.next() == 9 || this.next() == 10 || this.next() == 13) this.at++;
    return this.next();
  }
  private eat(c: i32): bool { if (this.peek() != c) return false; this.at++; return true; }
  private from(start: i32): string { return String.UTF8.decodeUnsafe(this.src.dataStart + start, this.at - start); }

  numbers(): bool {
    if (!this.eat(0x7b)) return false;
    do {
      if (!this.eat(0x22)) return false;
      let start = this.at;
      while (this.next() != -1 && this.next() != 0x22 && this.next() != 0x5c) this.at++;
      const key = this.from(start);
      if (!this.eat(0x22) || !this.eat(0x3a)) return false;
      this.peek();
      start = this.at;
      for (let c = this.next(); (c >= 0x30 && c <= 0x39) || c == 0x2d || c == 0x2b || c == 0x2e || c == 0x65 || c == 0x45; c = this.next()) this.at++;
      if (this.at == start) return false;
      const v = parseFloat(this.from(start));
      if (isNaN(v)) return false;
      this.found.set(key, v);
    } while (this.eat(0x2c));
    return this.eat(0x7d) && this.peek() == -1;
  }
}
