// The waveform of a recording, as players draw it: teaches bytes as payload, generics over number types, and checks where nothing can be caught.
//
// A WAV file of 8, 16, 24 or 32 bits or 32-bit floats gives {"seconds": 1.5, "rate": 44100, "channels": 2, "loudness": -18.2, "peaks": [0.25, …]}: the loudness
// in decibels below full scale, and the largest sample of each part, 0 to 1. The setting `points` says how many parts, 100 by default.
import { Outcome, Task, config, context, discard, ok } from './tasq/tasq';

// The format and where the samples lie; a file has other chunks as well.
class Wav {
  format: u16 = 0;
  channels: u16 = 0;
  rate: u32 = 0;
  bits: u16 = 0;
  at: i32 = 0;
  size: i32 = -1;
  constructor(private bytes: Uint8Array) {}

  private has(at: i32, name: string): bool {
    for (let i = 0; i < name.length; i++) if (this.bytes[at + i] != name.charCodeAt(i)) return false;
    return true;
  }

  /** Empty, or what is wrong. */
  read(): string {
    const bytes = this.bytes, start = bytes.dataStart;
    if (bytes.length < 12 || !this.has(0, 'RIFF') || !this.has(8, 'WAVE')) return 'expected a WAV file';
    for (let at: i64 = 12; at + 8 <= bytes.length && this.size < 0;) {
      const chunk = <i32>at, body = chunk + 8, size = load<u32>(start + chunk + 4);
      if (this.has(chunk, 'fmt ')) {
        if (size < 16 || body + 16 > bytes.length) return 'its format is cut off';
        this.format = load<u16>(start + body);
        this.channels = load<u16>(start + body + 2);
        this.rate = load<u32>(start + body + 4);
        this.bits = load<u16>(start + body + 14);
        // The extensible format names the real one further on.
        if (this.format == 0xfffe && size >= 26 && body + 26 <= bytes.length) this.format = load<u16>(start + body + 24);
      } else if (this.has(chunk, 'data')) {
        // A recorder that was cut off has written too large a size.
        this.at = body;
        this.size = <i32>min<u32>(size, bytes.length - body);
      }
      at += 8 + <i64>size + (size & 1);
    }
    if (this.channels == 0 || this.rate == 0) return 'it has no format';
    return this.size < 0 ? 'it has no samples' : '';
  }
}

class Waveform {
  peaks: StaticArray<f64>;
  squares: f64 = 0;
  frames: i32 = 0;
  constructor(points: i32) { this.peaks = new StaticArray<f64>(points); }

  /** Samples of type T, each `step` bytes long, made f64 by dividing by `full`. */
  measure<T>(at: usize, size: i32, step: i32, channels: i32, full: f64, middle: f64): void {
    this.frames = size / (step * channels);
    const samples = this.frames * channels, points = this.peaks.length;
    for (let point = 0, i = 0; point < points; point++) {
      const end = <i32>(<i64>this.frames * (point + 1) / points) * channels;
      let peak: f64 = 0;
      for (; i < end && i < samples; i++) {
        const p = at + i * step;
        // Three bytes are read with the one before, which is a sample's or the chunk's size, and shifted out.
        const raw = step == 3 ? <f64>(load<i32>(p - 1) >> 8) : <f64>load<T>(p);
        let value = (raw - middle) / full;
        // A float may be anything.
        value = value == value ? min<f64>(abs<f64>(value), 1) : 0;
        peak = max<f64>(peak, value);
        this.squares += value * value;
      }
      this.peaks[point] = peak;
      if ((point & 63) == 0) context.progress(<u8>(point * 100 / points), 'measured');
    }
  }

  /** Below full scale in decibels; silence is as quiet as it gets. */
  loudness(channels: i32): f64 {
    const mean = this.frames ? this.squares / (<f64>this.frames * channels) : 0;
    return mean > 0 ? max<f64>(10 * Math.log10(mean), -120) : -120;
  }
}

export function handle(payload: Uint8Array, task: Task): Outcome {
  const setting = config.get('points'), wanted = setting === null ? 100.0 : parseInt(setting);
  if (!(wanted >= 1 && wanted <= 10000)) return discard('the setting points: expected a number from 1 to 10000').withCode('invalid-setting');
  const wav = new Wav(payload), wrong = wav.read();
  if (wrong != '') return discard(wrong).withCode('invalid-payload');
  const waveform = new Waveform(<i32>wanted), at = payload.dataStart + wav.at, size = wav.size, channels = <i32>wav.channels;
  if (wav.format == 1 && wav.bits == 8) waveform.measure<u8>(at, size, 1, channels, 128, 128);
  else if (wav.format == 1 && wav.bits == 16) waveform.measure<i16>(at, size, 2, channels, 32768, 0);
  else if (wav.format == 1 && wav.bits == 24) waveform.measure<i32>(at, size, 3, channels, 8388608, 0);
  else if (wav.format == 1 && wav.bits == 32) waveform.measure<i32>(at, size, 4, channels, 2147483648, 0);
  else if (wav.format == 3 && wav.bits == 32) waveform.measure<f32>(at, size, 4, channels, 1, 0);
  else return discard(`it is of format ${wav.format} with ${wav.bits} bits: expected whole numbers of 8 to 32 bits, or floats of 32`).withCode('other-format');
  return ok(
    `{"seconds":${rounded(<f64>waveform.frames / wav.rate)},"rate":${wav.rate},"channels":${channels},` +
    `"loudness":${rounded(waveform.loudness(channels))},"peaks":[${list(waveform.peaks)}]}`,
  );
}

/** To three digits, as JSON writes numbers. */
function rounded(value: f64): string {
  const n = Math.round(value * 1000) / 1000;
  return n == Math.floor(n) ? (<i64>n).toString() : n.toString();
}

function list(peaks: StaticArray<f64>): string {
  const texts = new Array<string>(peaks.length);
  for (let i = 0; i < peaks.length; i++) texts[i] = rounded(peaks[i]);
  return texts.join(',');
}
