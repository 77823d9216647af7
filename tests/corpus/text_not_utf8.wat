;; hands the host a text that isn't UTF-8
(import "host" "progress" (func $progress (param i32 i32 i32)))
(func (export "handle") (param i32) (result i32)
  (i32.store (i32.const 2048) (i32.const -1))
  (call $progress (i32.const 5) (i32.const 2048) (i32.const 4))
  (i32.const 1024))
