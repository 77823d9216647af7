;; asks about a level of log that the contract doesn't have
(import "host" "enabled" (func $enabled (param i32) (result i32)))
(func (export "handle") (param i32) (result i32)
  (drop (call $enabled (i32.const 5)))
  (i32.const 1024))
