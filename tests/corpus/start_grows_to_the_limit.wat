;; grows its memory in its start function until it is refused, then traps
(func $s (loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable) (start $s)
