//! Guests made up from bytes: whatever they are, the text is valid, so that every one is compiled and run.

use std::fmt::Write;
use std::fs;
use std::sync::OnceLock;

use tasq_tests::fuzz::Dice;
use tasq_tests::texts;

use crate::files::{ends, sandbox};

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut dice = Dice::from(7);
    (0..20).map(|_| (0..400).map(|_| dice.throw(256) as u8).collect()).collect()
}

pub(crate) fn run_guest(bytes: &[u8]) {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().unwrap());
    let file = folder.path().join("made-up.wasm");
    let mut author = Author { bytes, at: 0 };
    fs::write(&file, texts::component(&author.module())).unwrap();
    fs::write(file.with_extension("toml"), "timeout = \"200ms\"\ncpu = \"20ms\"\nmemory = \"4MiB\"").unwrap();
    match sandbox().load_file(&file) {
        Ok(handler) => ends(&handler),
        Err(refusal) => panic!("{refusal}"),
    }
}

/// Writes a module as the bytes say; without any left, the shortest of everything.
struct Author<'a> {
    bytes: &'a [u8],
    at: usize,
}

const BINARY: [&str; 10] = ["add", "sub", "mul", "div_s", "rem_u", "and", "shl", "rotr", "lt_u", "eq"];
const UNARY: [&str; 6] = [
    "i32.eqz",
    "i32.load",
    "i32.load8_u offset=65535",
    "memory.grow",
    "i32.popcnt",
    "i32.trunc_f32_s (f32.convert_i32_s",
];

impl Author<'_> {
    fn choose(&mut self, sides: usize) -> usize {
        let byte = self.bytes.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        usize::from(byte) % sides
    }

    fn module(&mut self) -> String {
        let imports = r#"(import "host" "remaining" (func $remaining (result i64)))
            (import "host" "progress" (func $progress (param i32 i32 i32)))
            (import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
            (import "host" "random" (func $random (param i64 i32)))
            (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
            (import "host" "block" (func $block (param i32)))
            (import "host" "drop" (func $drop (param i32)))"#;
        let mut text = imports.to_owned();
        let (realloc, handle, post, start) = (self.body(), self.body(), self.body(), self.body());
        let realloc = if self.choose(4) == 0 { realloc } else { "(i32.const 4096)".to_owned() };
        write!(
            text,
            r#"(table 8 funcref) (func $s (local $x i32) (drop {start})) (start $s)
            (func (export "realloc") (param $x i32) (param i32 i32 i32) (result i32) {realloc})
            (func (export "handle") (param $x i32) (result i32) {handle})
            (func (export "post") (param $x i32) (drop {post}))"#
        )
        .expect("text");
        text
    }

    fn body(&mut self) -> String {
        self.number(0)
    }

    /// An expression that gives a number.
    fn number(&mut self, depth: usize) -> String {
        let kinds = if depth > 6 { 2 } else { 9 };
        match self.choose(kinds) {
            0 => format!("(i32.const {})", [0, 1, 8, 1024, 65_536, 131_071, -1, i32::MIN][self.choose(8)]),
            1 => "(local.get $x)".to_owned(),
            2 | 3 => {
                let (operation, left) = (BINARY[self.choose(BINARY.len())], self.number(depth + 1));
                format!("(i32.{operation} {left} {})", self.number(depth + 1))
            }
            4 => {
                let (operation, of) = (UNARY[self.choose(UNARY.len())], self.number(depth + 1));
                let close = if operation.contains('(') { "))" } else { ")" };
                format!("({operation} {of}{close}")
            }
            5 => format!("(local.tee $x {})", self.number(depth + 1)),
            6 => {
                let (condition, then) = (self.number(depth + 1), self.number(depth + 1));
                format!("(if (result i32) {condition} (then {then}) (else {}))", self.number(depth + 1))
            }
            7 => {
                let (act, until) = (self.act(depth + 1), self.number(depth + 1));
                format!("(loop (result i32) {act} (br_if 0 {until}) (local.get $x))")
            }
            _ => {
                let act = self.act(depth + 1);
                format!("(block (result i32) {act} {})", self.number(depth + 1))
            }
        }
    }

    /// Something done that gives nothing.
    fn act(&mut self, depth: usize) -> String {
        let (kind, a, b) = (self.choose(11), self.number(depth + 1), self.number(depth + 1));
        match kind {
            0 => format!("(i32.store {a} {b})"),
            1 => format!("(memory.fill {a} (i32.const 7) {b})"),
            2 => format!("(memory.copy {a} {b} (i32.const 4096))"),
            3 => "(drop (call $remaining))".to_owned(),
            4 => format!("(call $progress (i32.const 300) {a} {b})"),
            5 => format!("(call $log {a} (i32.const 64) {b} (i32.const 0) (i32.const 0))"),
            6 => format!("(call $random (i64.extend_i32_u {a}) {b})"),
            7 => format!("(drop (call $subscribe (i64.extend_i32_u {a})))"),
            8 => format!("(call $block {a})"),
            9 => format!("(call $drop {a})"),
            _ => format!("(drop (table.grow 0 (ref.null func) {a}))"),
        }
    }
}
