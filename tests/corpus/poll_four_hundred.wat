;; waits for 400 pollables of an hour at once
(import "host" "subscribe" (func $subscribe (param i64) (result i32)))
(import "host" "poll" (func $poll (param i32 i32 i32)))
(func (export "handle") (param i32) (result i32) (local $n i32)
  (loop
    (i32.store (i32.add (i32.const 65536) (i32.shl (local.get $n) (i32.const 2)))
      (call $subscribe (i64.const 3600000000000)))
    (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 400))))
  (call $poll (i32.const 65536) (i32.const 400) (i32.const 2048))
  (i32.const 1024))
