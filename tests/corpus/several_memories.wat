;; grows two memories of its own, each below the limit, then traps
(component {types} {core} {lift}
  (core module $n (memory 1)
    (func $s (loop (br_if 0 (i32.and (i32.lt_u (memory.size) (i32.const 300)) (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))))
      (if (i32.lt_u (memory.size) (i32.const 300)) (then unreachable)))
    (start $s))
  (core instance (instantiate $n))
  (core instance (instantiate $n))
  {export})
