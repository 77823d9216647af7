//! What the host logged, by task.

use std::io::Write;
use std::sync::{Mutex, Once};

static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Written;

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        WRITTEN.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Begins to keep what guests log, from `debug` on.
pub(super) fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let lines = tracing_subscriber::fmt().with_ansi(false).with_env_filter("guest=debug").with_writer(|| Written);
        lines.try_init().unwrap();
    });
}

/// The lines of one task.
pub(super) fn of(id: &str) -> Vec<String> {
    let written = WRITTEN.lock().unwrap();
    String::from_utf8_lossy(&written).lines().filter(|line| line.contains(id)).map(str::to_owned).collect()
}
