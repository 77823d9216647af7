//! A program that knows nothing of tasq-host. Its first line of stdin says what to do with the rest:
//!
//! | line | what happens |
//! |---|---|
//! | `echo` | prints the rest |
//! | `environment` | prints every variable as `NAME=VALUE`, a line each, sorted |
//! | `exit STATUS` | prints the rest to stderr and exits |
//! | `flood BYTES` | prints that many `x` |
//! | `loop` | spins for ever |
//! | `panic` | panics with the rest as its message |
//! | `files` | prints whether it could list `/` or write a file |

use std::io::{self, Read, Write};

fn main() -> io::Result<()> {
    let mut input = Vec::new();
    io::stdin().read_to_end(&mut input)?;
    let end = input.iter().position(|&byte| byte == b'\n').unwrap_or(input.len());
    let line = String::from_utf8_lossy(&input[..end]).into_owned();
    let rest = input.get(end + 1..).unwrap_or_default();
    let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
    let mut out = io::stdout().lock();
    match verb {
        "echo" => out.write_all(rest)?,
        "environment" => {
            let mut lines: Vec<String> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
            lines.sort();
            out.write_all(lines.join("\n").as_bytes())?;
        }
        "exit" => {
            io::stderr().write_all(rest)?;
            std::process::exit(argument.parse().unwrap_or(1));
        }
        "flood" => {
            let mut left: usize = argument.parse().unwrap_or(0);
            while left > 0 {
                let piece = left.min(4096);
                out.write_all(&[b'x'; 4096][..piece])?;
                left -= piece;
            }
        }
        "loop" => loop {
            std::hint::spin_loop();
        },
        "panic" => panic!("{}", String::from_utf8_lossy(rest)),
        "files" => {
            let listed = std::fs::read_dir("/").is_ok();
            let written = std::fs::write("/tmp/x", "x").is_ok();
            write!(out, "listed {listed}, written {written}")?;
        }
        other => {
            eprintln!("no such verb: {other}");
            std::process::exit(65);
        }
    }
    out.flush()
}
