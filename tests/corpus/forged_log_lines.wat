;; logs a text and a field with line ends, NULs and escapes, in which another line of the log is forged
(import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
(data (i32.const 2048) "hello\r\n2026-11-24T06:44:20Z ERROR forged\00\1b[2J")
(data (i32.const 3000) "\00\08\00\00\2d\00\00\00\00\08\00\00\2d\00\00\00")
(func (export "handle") (param i32) (result i32)
  (call $log (i32.const 4) (i32.const 2048) (i32.const 45) (i32.const 3000) (i32.const 1))
  (i32.const 1024))
