;; hands the host a text that lies behind its memory
(import "host" "progress" (func $progress (param i32 i32 i32)))
(func (export "handle") (param i32) (result i32)
  (call $progress (i32.const 5) (i32.const 131072) (i32.const 1))
  (i32.const 1024))
