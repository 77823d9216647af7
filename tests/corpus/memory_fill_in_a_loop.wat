;; fills 1 MiB of memory again and again: one instruction takes long
(memory (export "memory") 32)
(func (export "handle") (param i32) (result i32)
  (loop (memory.fill (i32.const 65536) (i32.const 7) (i32.const 1048576)) (br 0))
  (i32.const 1024))
