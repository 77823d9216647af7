;; fills nearly all of its 128 MiB in one instruction, again and again
(memory (export "memory") 2000)
(func (export "handle") (param i32) (result i32)
  (loop (memory.fill (i32.const 65536) (i32.const 7) (i32.const 131006464)) (br 0))
  (i32.const 1024))
